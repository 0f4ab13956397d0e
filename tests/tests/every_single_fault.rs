//! Every single fault, one after the other: each callback refuses once, each call on memory fails once, and a side dies
//! at each call and on either side of each store and each swap of the ownership word, on both sides of the gap, by exec
//! and by kexec, and once more while somebody recovers.
//!
//! The story and what has to hold are `luo_tests::story`'s. All pairs of faults, and all triples of a smaller story,
//! are what `cargo xtask sim --schedules` runs.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};

use luo_kho::sim::Crash;
use luo_tests::By;
use luo_tests::story::{Ending, Fault, Score, Size};

/// One fault, or two deaths of which the second comes in the recovery from the first.
#[derive(Clone, Copy, Debug)]
enum Schedule {
    One(Fault),
    Deaths(Crash, Crash),
}

/// Runs schedules on all cores. How many there were; panics if one went wrong.
fn run_all(what: &str, schedules: &[(&Score, Schedule)]) {
    let (next, violations) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let work = || {
        while let Some((score, fault)) = schedules.get(next.fetch_add(1, Ordering::Relaxed)) {
            let from_the_gap = |first: &Crash| {
                score.by == By::Kexec && matches!(first, Crash::AtCall(nth) if *nth >= score.gap.calls)
            };
            let outcome = catch_unwind(AssertUnwindSafe(|| match fault {
                Schedule::One(fault) => drop(score.run_single(*fault)),
                Schedule::Deaths(first, second) if from_the_gap(first) => {
                    score.run_from_the_gap([*first, *second]);
                }
                Schedule::Deaths(first, second) => {
                    score.run(&[Fault::Death(*first), Fault::Death(*second)]);
                }
            }));
            if outcome.is_err() {
                eprintln!("{:?} with {fault:?}", score.by);
                violations.fetch_add(1, Ordering::Relaxed);
            }
        }
    };
    std::thread::scope(|scope| {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        (1..cores).for_each(|_| drop(scope.spawn(work)));
        work();
    });
    let violations = violations.into_inner();
    println!("{what}: {} schedules, {violations} violations", schedules.len());
    assert_eq!(violations, 0);
}

#[test]
fn one_fault_anywhere() {
    let scores = By::ALL.map(|by| Score::of(by, Size::Eight));
    let schedules: Vec<_> = scores
        .iter()
        .flat_map(|score| score.single_faults().into_iter().map(move |fault| (score, Schedule::One(fault))))
        .collect();
    run_all("one fault", &schedules);
}

/// Whoever recovers dies too, at each call, on either side of each swap and before each store, until somebody has
/// committed. That loses the guest where nothing is on offer, and never doubles it.
///
/// Stores are made by a predecessor that seals again, to which it is the same where its successor died: every fifth
/// first death stands for all.
#[test]
fn a_death_anywhere_in_the_recovery_from_a_death() {
    let scores = By::ALL.map(|by| Score::of(by, Size::Eight));
    let mut schedules = Vec::new();
    for score in &scores {
        let in_the_gap = (score.offer + 1..=score.commit).map(Crash::AtCall);
        let swaps = [Crash::AfterSwap(1), Crash::BeforeSwap(2)];
        for (nth, first) in in_the_gap.chain(swaps).enumerate() {
            let (ending, recovered) = score.run_single(Fault::Death(first));
            assert_eq!(ending, Ending::Completed);
            let from = match first {
                Crash::AtCall(nth) => nth + 1,
                Crash::AfterSwap(1) => score.offer + 1,
                _ => score.commit + 1,
            };
            let calls = (from..recovered.calls).map(Crash::AtCall);
            let swaps = (2..recovered.swaps).flat_map(|nth| [Crash::BeforeSwap(nth), Crash::AfterSwap(nth)]);
            let stores = (score.gap.stores..recovered.stores).map(Crash::BeforeStore);
            let stores = stores.filter(|_| nth % 5 == 0);
            let second = calls.chain(swaps).chain(stores).filter(|second| *second != first);
            schedules.extend(second.map(|second| (score, Schedule::Deaths(first, second))));
        }
    }
    run_all("a death and another in the recovery", &schedules);
}
