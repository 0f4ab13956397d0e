//! A crew: threads that live one life after the other, until there were enough updates or somebody has a finding.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::time::Duration;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use super::classes::Class;
use super::finding::Finding;
use super::life::Outcome;
use super::plan::Plan;

/// Every so many lives one is lived twice, and has to go the same way.
const TWICE: u64 = 512;
/// How often progress is told.
const TELL: Duration = Duration::from_secs(5);

/// What is to be done.
#[derive(Clone, Copy, Debug)]
pub struct Crew {
    /// Updates, at least.
    pub updates: u64,
    /// The first seed comes from it.
    pub seed: u64,
    /// Threads.
    pub jobs: usize,
    /// Stops after this time.
    pub deadline: Option<Duration>,
}

/// What was done.
#[derive(Clone, Copy, Debug, Default)]
pub struct Totals {
    /// Lives.
    pub lives: u64,
    /// Updates.
    pub updates: u64,
    /// Updates with at least one fault.
    pub faulty: u64,
    /// Faults that came.
    pub faults: u64,
    /// Guests lost as they may be.
    pub lost: u64,
    /// Lives that were lived twice, and went the same way.
    pub twice: u64,
    /// Generations in which each class was planned.
    pub planned: [u64; Class::ALL.len()],
}

/// How far things are.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// So far.
    pub totals: Totals,
    /// Since the beginning.
    pub elapsed: Duration,
}

struct Work {
    crew: Crew,
    begun: Instant,
    next: AtomicU64,
    over: AtomicBool,
    totals: Mutex<(Totals, Instant)>,
    findings: Mutex<Vec<Finding>>,
}

impl Crew {
    /// Works until there were enough updates, or something was found.
    pub fn work(self, tell: impl Fn(Progress) + Sync) -> (Totals, Vec<Finding>) {
        let begun = Instant::now();
        let work = Work {
            crew: self,
            begun,
            next: AtomicU64::new(0),
            over: AtomicBool::new(false),
            totals: Mutex::new((Totals::default(), begun)),
            findings: Mutex::default(),
        };
        std::thread::scope(|scope| {
            for _ in 0..self.jobs.max(1) {
                scope.spawn(|| work.run(&tell));
            }
        });
        let totals = work.totals.into_inner().unwrap_or_else(PoisonError::into_inner).0;
        (totals, work.findings.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    /// The seed of a life.
    fn seed_of(self, nth: u64) -> u64 {
        self.seed.wrapping_add(nth)
    }
}

impl Work {
    fn run(&self, tell: &(impl Fn(Progress) + Sync)) {
        let mut own = Totals::default();
        while !self.over.load(Ordering::Relaxed) {
            let nth = self.next.fetch_add(1, Ordering::Relaxed);
            let plan = Plan::of(self.crew.seed_of(nth));
            match Self::live(&plan, nth) {
                Ok(outcome) => own.add(&plan, outcome, nth.is_multiple_of(TWICE)),
                Err(finding) => {
                    self.over.store(true, Ordering::Relaxed);
                    self.findings.lock().unwrap_or_else(PoisonError::into_inner).push(finding);
                }
            }
            if own.lives == 64 {
                self.report(&mut own, tell);
            }
        }
        self.report(&mut own, tell);
    }

    fn live(plan: &Plan, nth: u64) -> Result<Outcome, Finding> {
        let outcome = plan.try_live()?;
        if nth.is_multiple_of(TWICE) {
            let again = plan.try_live()?;
            if again != outcome {
                let what = format!("it went another way the second time: {outcome:?}, {again:?}");
                return Err(Finding { what, plan: plan.clone() });
            }
        }
        Ok(outcome)
    }

    fn report(&self, own: &mut Totals, tell: &impl Fn(Progress)) {
        let mut totals = self.totals.lock().unwrap_or_else(PoisonError::into_inner);
        let (all, told) = &mut *totals;
        all.join(core::mem::take(own));
        let late = self.crew.deadline.is_some_and(|deadline| self.begun.elapsed() >= deadline);
        if all.updates >= self.crew.updates || late {
            self.over.store(true, Ordering::Relaxed);
        }
        if told.elapsed() >= TELL {
            *told = Instant::now();
            tell(Progress { totals: *all, elapsed: self.begun.elapsed() });
        }
    }
}

impl Totals {
    fn add(&mut self, plan: &Plan, outcome: Outcome, twice: bool) {
        self.lives += 1;
        self.updates += outcome.updates;
        self.faulty += outcome.faulty;
        self.faults += outcome.faults;
        self.lost += outcome.lost;
        self.twice += u64::from(twice);
        for class in plan.classes() {
            if let Some(count) = self.planned.get_mut(class.index()) {
                *count += 1;
            }
        }
    }

    fn join(&mut self, other: Self) {
        self.lives += other.lives;
        self.updates += other.updates;
        self.faulty += other.faulty;
        self.faults += other.faults;
        self.lost += other.lost;
        self.twice += other.twice;
        for (count, more) in self.planned.iter_mut().zip(other.planned) {
            *count += more;
        }
    }
}
