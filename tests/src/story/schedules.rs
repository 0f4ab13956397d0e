//! All schedules of a depth: every fault of a story, after each of them every fault of the story that it leaves, and so
//! on.
//!
//! - A **place** is where a fault can come. Its number counts what came before it.
//! - The **grain** says which places there are. At the full grain every question, every call, and either side of every
//!   store and swap is one. At the coarse grain those between the same two questions that differ only in how many calls
//!   or stores of a participant went before are one place, the first of them.
//!
//! Two faults come in an order, so a pair is run once: the second is looked for from the place of the first on, in the
//! story as the first leaves it. A story that has ended has no further places.

use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};

use luo_kho::sim::Crash;

use super::score::{Fault, Score, Walk};
use super::{Ending, Size};
use crate::host::By;

/// Which schedules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// Two faults, eight files, full grain.
    Double,
    /// Three faults, four files, coarse grain.
    Triple,
}

/// What came of a sweep.
#[derive(Clone, Debug, Default)]
pub struct Swept {
    /// Stories that were told.
    pub schedules: u64,
    /// The schedules in which something went wrong.
    pub violations: Vec<(By, Vec<Fault>)>,
}

/// One sweep on all its threads.
struct Sweep<'s> {
    depth: Depth,
    /// First faults: the score and the fault.
    firsts: Vec<(&'s Score, Fault)>,
    next: AtomicUsize,
    done: AtomicU64,
    violations: Mutex<Vec<(By, Vec<Fault>)>>,
}

/// Runs every schedule of this depth on so many threads. `progress` is told now and then how many are done, and of how
/// many first faults how many.
pub fn sweep(depth: Depth, jobs: usize, progress: impl Fn(u64, usize, usize) + Sync) -> Swept {
    let scores = By::ALL.map(|by| Score::of(by, depth.size()));
    let firsts = scores
        .iter()
        .flat_map(|score| depth.places(&score.walk, None).into_iter().map(move |fault| (score, fault)));
    let sweep = Sweep {
        depth,
        firsts: firsts.collect(),
        next: AtomicUsize::new(0),
        done: AtomicU64::new(0),
        violations: Mutex::default(),
    };
    std::thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(|| sweep.work(&progress));
        }
    });
    let Sweep { done, violations, .. } = sweep;
    let violations = violations.into_inner().unwrap_or_else(PoisonError::into_inner);
    Swept { schedules: done.into_inner(), violations }
}

impl Sweep<'_> {
    fn work(&self, progress: &(impl Fn(u64, usize, usize) + Sync)) {
        loop {
            let at = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(&(score, first)) = self.firsts.get(at) else { return };
            self.from(score, &mut vec![first]);
            if at.is_multiple_of(64) {
                progress(self.done.load(Ordering::Relaxed), at, self.firsts.len());
            }
        }
    }

    /// Runs this schedule, and all that begin with it.
    fn from(&self, score: &Score, faults: &mut Vec<Fault>) {
        self.done.fetch_add(1, Ordering::Relaxed);
        let deepest = self.depth.faults();
        let ran = catch_unwind(AssertUnwindSafe(|| {
            if faults.len() == deepest {
                score.run(faults);
                return None;
            }
            Some(score.walk(faults)).filter(|walk| walk.ending == Ending::Completed)
        }));
        let Ok(walk) = ran else {
            let mut violations = self.violations.lock().unwrap_or_else(PoisonError::into_inner);
            violations.push((score.by, faults.clone()));
            return;
        };
        let Some(walk) = walk else { return };
        for fault in self.depth.places(&walk, faults.last().copied()) {
            faults.push(fault);
            self.from(score, faults);
            faults.pop();
        }
    }
}

impl Depth {
    /// How many faults a schedule has.
    fn faults(self) -> usize {
        match self {
            Self::Double => 2,
            Self::Triple => 3,
        }
    }

    fn size(self) -> Size {
        match self {
            Self::Double => Size::Eight,
            Self::Triple => Size::Four,
        }
    }

    /// The places behind `last`, at the grain of this depth.
    fn places(self, walk: &Walk, last: Option<Fault>) -> Vec<Fault> {
        let all = walk.places(last);
        match self {
            Self::Double => all.collect(),
            Self::Triple => coarse(walk, all),
        }
    }
}

/// Of these places every question and every swap, and of what lies between two questions the first call of each kind.
fn coarse(walk: &Walk, places: impl Iterator<Item = Fault>) -> Vec<Fault> {
    let mut seen = BTreeSet::new();
    let mut is_first = |fault: &Fault| match *fault {
        Fault::Question(_) | Fault::Death(Crash::BeforeSwap(_) | Crash::AfterSwap(_)) => true,
        Fault::Call(nth) | Fault::Death(Crash::AtCall(nth)) => {
            let dies = matches!(fault, Fault::Death(_));
            seen.insert((walk.question_before(*fault), walk.call(nth), dies))
        }
        // A death before or after a store is one at the call that makes it, or at the next one.
        Fault::Death(Crash::BeforeStore(_) | Crash::AfterStore(_)) => false,
    };
    places.filter(|fault| is_first(fault)).collect()
}
