//! A finding: a plan whose life the oracle does not like, and the shortest that was found of which the same is true.

use core::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook};

use super::life::{Outcome, live};
use super::plan::Plan;
use crate::journal::PlannedPanic;

/// A life in which something was wrong.
#[derive(Clone, Debug)]
pub struct Finding {
    /// What the oracle said.
    pub what: String,
    /// The plan, shortened or not.
    pub plan: Plan,
}

thread_local! {
    /// What the last panic of this thread said, and where.
    static LAST: RefCell<String> = const { RefCell::new(String::new()) };
}

/// From now on panics are kept to be asked for, and not printed: a simulation has many that are planned.
pub fn quieten() {
    set_hook(Box::new(|info| {
        if !info.payload().is::<PlannedPanic>() {
            LAST.with(|last| *last.borrow_mut() = info.to_string());
        }
    }));
}

impl Plan {
    /// Lives it.
    ///
    /// # Errors
    ///
    /// What the oracle did not like.
    pub fn try_live(&self) -> Result<Outcome, Finding> {
        let outcome = catch_unwind(AssertUnwindSafe(|| live(self)));
        outcome.map_err(|_| Finding { what: LAST.take(), plan: self.clone() })
    }
}

impl Finding {
    /// Where the panic was: what tells findings apart.
    fn place(&self) -> &str {
        self.what.lines().next().unwrap_or_default()
    }

    /// Leaves out of the plan what can be left out, as long as the oracle dislikes the same.
    #[must_use]
    pub fn shortened(mut self) -> Self {
        loop {
            let size = self.plan.size();
            for shorter in self.plan.shorter() {
                if let Err(found) = shorter.try_live()
                    && found.place() == self.place()
                {
                    self = found;
                    break;
                }
            }
            if self.plan.size() == size {
                return self;
            }
        }
    }
}

impl Plan {
    /// Plans with one part less, largest parts first.
    fn shorter(&self) -> Vec<Self> {
        let mut plans = Vec::new();
        let mut with = |change: &dyn Fn(&mut Self)| {
            let mut plan = self.clone();
            change(&mut plan);
            plans.push(plan);
        };
        for at in (1..self.generations.len()).rev() {
            with(&|plan| {
                plan.generations.remove(at);
                plan.speaks.remove(at + 1);
            });
        }
        if self.generations.len() > 1 {
            with(&|plan| {
                plan.generations.remove(0);
                plan.speaks.remove(0);
            });
        }
        for (at, generation) in self.generations.iter().enumerate() {
            for fault in 0..generation.faults.len() {
                with(&|plan| {
                    plan.generations.get_mut(at).map(|generation| generation.faults.remove(fault));
                });
            }
            for deed in (0..generation.near.len()).rev() {
                with(&|plan| {
                    plan.generations.get_mut(at).map(|generation| generation.near.remove(deed));
                });
            }
        }
        plans
    }
}
