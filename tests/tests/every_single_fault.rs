//! Every single fault, one after the other: each callback refuses once, each call on memory fails once, and a side dies
//! at each call and on either side of each store and each swap of the ownership word, on both sides of the gap, by exec
//! and by kexec, and once more while somebody recovers.
//!
//! - A **story** is one update from the first program to a successor that has finished. Whoever meets a fault and lives
//!   tries again; whoever dies is replaced as the fault model allows.
//! - A **schedule** is a story with a fault at one place, or two. Stories are deterministic, so that the places are those
//!   of the story without faults.
//!
//! What has to hold: before the offer the death of the owner is a plain crash, and nobody adopts half a handover; from
//! the offer on the guest goes on exactly once, with every byte; a fault that is no death is told with participant, phase
//! and cause, undone in reverse, and the next attempt goes through; at the end nothing is left.

use core::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};

use luo_core::{FinishError, Frozen, Phase, PhaseError, Prepared, PreserveError, Stuck, Token};
use luo_kho::carrier::{Carrier, CarrierError};
use luo_kho::ownership::{self, Holding, Offer};
use luo_kho::sim::{Call, Counters, Crash, FaultPlan, Party, SimKho};
use luo_tests::{
    Act, Build, By, Host, LATE, Program, SimFile, Successor, Vcpus, Who, carrier, refused, session,
};

fn build() -> Build {
    let build = Build::empty().subsystem("vcpus", 1..=1).subsystem("clock", 1..=2);
    let build = build.pool("pool", 1..=1).pool("ledger", 1..=1);
    build.file_on("note", 1..=2, &["pool"]).file_on("log", 1..=2, &["pool", "ledger"]).file("loner", 1..=2)
}

/// One file and where it is preserved.
#[derive(Clone, Debug)]
struct Placed {
    session: &'static str,
    token: u64,
    file: SimFile,
}

/// What somebody was told went wrong.
#[derive(Debug)]
struct Report {
    phase: Phase,
    text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// A successor has finished, and nothing is left.
    Completed,
    /// Who owned the guest died, and nothing was on offer: a plain crash.
    OwnerDied,
}

/// One update and what was seen of it.
struct Story<'h> {
    host: &'h Host,
    by: By,
    placed: Vec<Placed>,
    reports: RefCell<Vec<Report>>,
    /// How much had happened when the far side began for the first time, and when a successor had committed.
    gap: Cell<Option<Counters>>,
    committed: Cell<Option<Counters>>,
    /// The machine as it was then, where somebody wants to begin there.
    fork: Option<RefCell<Option<Host>>>,
}

impl<'h> Story<'h> {
    /// Two sessions, eight files: an empty one, one of more than a frame, one that depends on two others.
    fn new(host: &'h Host, by: By) -> Self {
        let place = |session, token, file| Placed { session, token, file };
        let placed = vec![
            place("a", 0, host.note("the first")),
            place("a", 1, host.note("")),
            place("a", 0x1A, host.file("loner", vec![0x55; 4096 + 16])),
            place("a", u64::MAX, host.note([3; 24])),
            place("b", 0, host.file("log", "of session b")),
            place("b", 1, host.note([5; 9])),
            place("b", 2, host.file("log", "and another")),
            place("b", 3, host.file("loner", [7; 100])),
        ];
        if let [.., log, note, second, last] = &placed[..] {
            log.file.depend_on(&note.file);
            log.file.depend_on(&last.file);
            second.file.depend_on(&note.file);
            second.file.change(|contents| contents.flags = LATE);
        }
        Self::with(host, by, placed)
    }

    fn with(host: &'h Host, by: By, placed: Vec<Placed>) -> Self {
        let (reports, gap, committed) = (RefCell::default(), Cell::default(), Cell::default());
        Self { host, by, placed, reports, gap, committed, fork: None }
    }

    fn tell(&self) -> Ending {
        let Some(mut program) = self.begin() else { return self.nobody_adopts() };
        let arrived = RefCell::new(None);
        let mut far = carrier(self.by, |_| self.far_side(&arrived));
        self.near_side(&mut program, &mut *far);
        drop(far);
        drop(program);
        assert!(self.placed.iter().all(|placed| placed.file.pins() == 0), "the predecessor has let go");
        self.rest(arrived.into_inner())
    }

    /// From the gap on, on a machine that a predecessor has left with its offer standing.
    fn tell_from_the_gap(&self) -> Ending {
        let arrived = RefCell::new(None);
        let _unheard = self.far_side(&arrived);
        self.rest(arrived.into_inner())
    }

    fn rest(&self, arrived: Option<Successor<'h>>) -> Ending {
        match arrived.or_else(|| self.recover()) {
            Some(successor) => self.finish(successor),
            None => self.nobody_adopts(),
        }
    }

    /// Founds, and preserves everything. `None` if the program died.
    fn begin(&self) -> Option<Program<'h>> {
        let host = self.host;
        let mut program = match host.try_found(&build()) {
            Ok(program) => program,
            Err(error) => {
                self.report(&error);
                if host.machine.counters().crashed > 0 {
                    return None;
                }
                host.try_found(&build()).expect("a fault comes once")
            }
        };
        for name in ["a", "b"] {
            program.luo.open_session(session(name)).expect("the name is free");
        }
        for Placed { session: name, token, file } in &self.placed {
            for attempt in 0.. {
                let Err(stuck) = program.luo.preserve(session(name), Token(*token), file.clone()) else {
                    break;
                };
                let PreserveError::Failed(error) = stuck.error else { panic!("{stuck}") };
                self.report(&error);
                assert_eq!((attempt, file.pins()), (0, 0), "a fault comes once, and is undone");
            }
        }
        Some(program)
    }

    /// From prepare on. Comes back when the guest is elsewhere, or the program died.
    fn near_side(&self, program: &mut Program<'_>, far: &mut dyn Carrier<SimKho>) {
        let (party, vcpus) = (program.party, program.vcpus.clone());
        let before = program.luo.memory().census().expect("the tracker is whole");
        let error = match program.luo.prepare(far) {
            Ok(prepared) => return self.freeze_and_hand_over(prepared, party, &vcpus),
            Err(error) => error,
        };
        self.report(&error);
        if self.lives(party) {
            assert_eq!(program.luo.memory().census(), Ok(before), "a failed prepare is undone");
            assert!(self.placed.iter().all(|placed| placed.file.pins() == 1));
            let prepared = program.luo.prepare(far).expect("a fault comes once");
            self.freeze_and_hand_over(prepared, party, &vcpus);
        }
    }

    fn freeze_and_hand_over(&self, prepared: Prepared<'_, SimKho>, party: Party, vcpus: &[Vcpus]) {
        let Some(mut frozen) = self.freeze(prepared, party, vcpus) else { return };
        for _attempt in 0..3 {
            let Err(Stuck { kept, error }) = frozen.hand_over() else { return };
            self.report(&error);
            if !self.lives(party) {
                return;
            }
            let (prepared, right) = kept.unfreeze().expect("who lives takes its guest back");
            self.host.guest.enter(&self.host.machine, party, right, vcpus);
            match self.freeze(prepared, party, vcpus) {
                Some(again) => frozen = again,
                None => return,
            }
        }
        panic!("a handover that fails once succeeds the next time");
    }

    /// The guest works a little more, and is frozen. `None` if the program died.
    fn freeze<'l>(
        &self,
        mut prepared: Prepared<'l, SimKho>,
        party: Party,
        vcpus: &[Vcpus],
    ) -> Option<Frozen<'l, SimKho>> {
        for _attempt in 0..2 {
            vcpus.iter().for_each(Vcpus::tick);
            let ticks = vcpus.first().map_or(0, Vcpus::ticks);
            for placed in self.placed.iter().filter(|placed| placed.session == "b") {
                placed.file.change(|contents| {
                    contents.position = ticks;
                    contents.bytes.iter_mut().take(8).for_each(|byte| *byte = byte.wrapping_add(1));
                });
            }
            match prepared.freeze(self.host.guest.leave(party)) {
                Ok(frozen) => return Some(frozen),
                Err(Stuck { kept: (kept, right), error }) => {
                    self.report(&error);
                    if !self.lives(party) {
                        return None;
                    }
                    self.host.guest.enter(&self.host.machine, party, right, vcpus);
                    prepared = kept;
                }
            }
        }
        panic!("a freeze that fails once succeeds the next time");
    }

    /// With exec the predecessor is there to try again; with kexec somebody else has to.
    fn far_side(&self, arrived: &RefCell<Option<Successor<'h>>>) -> Result<(), CarrierError> {
        if self.gap.get().is_none() {
            self.gap.set(Some(self.host.machine.counters()));
            if let Some(fork) = &self.fork {
                *fork.borrow_mut() = Some(self.host.fork());
            }
        }
        let attempts = if self.by == By::Kexec { 2 } else { 1 };
        let Some(successor) = (0..attempts).find_map(|_| self.take_over()) else {
            return Err(refused("it could not be taken over"));
        };
        *arrived.borrow_mut() = Some(successor);
        Ok(())
    }

    /// One program that adopts, restores, retrieves one session and commits. `None` if anything stood in the way.
    fn take_over(&self) -> Option<Successor<'h>> {
        let mut arrived =
            self.host.adopt(&build()).map_err(|error| self.report_text(Phase::HandOver, &error)).ok()?;
        arrived.adopted.restore().map_err(|error| self.report(&error)).ok()?;
        for placed in self.placed.iter().filter(|placed| placed.session == "a") {
            let found = arrived.retrieve(placed.session, placed.token);
            let found = found.map_err(|error| self.report_text(Phase::Retrieve, &error)).ok()?;
            compare(placed, &found);
        }
        let successor = arrived.commit().map_err(|stuck| self.report(&stuck.error)).ok()?;
        self.committed.set(Some(self.host.machine.counters()));
        Some(successor)
    }

    /// Nobody has the guest. As long as an offer stands, a guardian shuts out whoever else might take it, and starts
    /// another program. `None` if nothing is on offer.
    fn recover(&self) -> Option<Successor<'h>> {
        for _attempt in 0..4 {
            assert_eq!(self.host.guest.runner(&self.host.machine), None);
            let offer = Offer::from_word(self.host.machine.word())?;
            let renewed = ownership::reoffer(&mut self.host.machine.guardian(), offer);
            if let Err(error) = renewed {
                self.report_text(Phase::HandOver, &error);
            }
            if let Some(successor) = self.take_over() {
                return Some(successor);
            }
        }
        panic!("what is on offer can be taken over");
    }

    /// The owner died with nothing on offer: no program of this kernel adopts anything, nor any of the next.
    fn nobody_adopts(&self) -> Ending {
        let machine = &self.host.machine;
        assert!(machine.counters().crashed > 0, "only death ends a story before its end");
        assert_eq!(self.host.guest.runner(machine), None);
        assert_ne!(machine.word().holding(), Holding::Offered);
        machine.inject(FaultPlan::none());
        self.host.adopt(&build()).expect_err("there is nothing to adopt");
        machine.kexec();
        self.host.adopt(&build()).expect_err("there is nothing to adopt in the next kernel either");
        self.host.check();
        Ending::OwnerDied
    }

    /// The rest of the way: session `b` is retrieved with the guest running, and everything is finished.
    fn finish(&self, mut successor: Successor<'h>) -> Ending {
        let host = self.host;
        assert_eq!(
            host.guest.runner(&host.machine),
            Some(successor.party),
            "the guest goes on, here and only here"
        );
        let mut lost = Vec::new();
        for placed in self.placed.iter().filter(|placed| placed.session == "b") {
            match successor.retrieve(placed.session, placed.token) {
                Ok(found) => compare(placed, &found),
                Err(error) => {
                    self.report_text(Phase::Retrieve, &error);
                    lost.push((session(placed.session), Token(placed.token)));
                }
            }
        }
        for _attempt in 0..3 {
            if !self.lives(successor.party) {
                return self.nobody_adopts();
            }
            match successor.finish_discarding(&lost) {
                Ok(program) => return self.complete(&program),
                Err(Stuck { kept, error }) => {
                    match &error {
                        FinishError::NotYet(error) => self.report(error),
                        error => self.report_text(Phase::Finish, error),
                    }
                    successor = kept;
                }
            }
        }
        assert!(!self.lives(successor.party), "a finish that fails once succeeds the next time");
        self.nobody_adopts()
    }

    fn complete(&self, program: &Program<'_>) -> Ending {
        if !self.lives(program.party) {
            return self.nobody_adopts();
        }
        program.assert_clean();
        assert_eq!(self.host.guest.runner(&self.host.machine), Some(program.party));
        let programs: Vec<_> = self.host.journal.entries().iter().map(|entry| entry.program).collect();
        for program in programs.into_iter().collect::<BTreeSet<_>>() {
            self.host.journal.check_settled(program);
        }
        Ending::Completed
    }

    fn lives(&self, party: Party) -> bool {
        self.host.machine.is_alive(party)
    }

    fn report(&self, error: &PhaseError) {
        self.report_text(error.phase, error);
    }

    fn report_text(&self, phase: Phase, error: &impl core::fmt::Display) {
        self.reports.borrow_mut().push(Report { phase, text: error.to_string() });
    }

    /// How messages name a participant.
    fn name_of(&self, who: Who) -> String {
        match who {
            Who::Subsystem(name) => format!("subsystem `{name}`"),
            Who::Shared(kind) => format!("shared object `{kind}`"),
            Who::File(mark) => {
                let placed = self.placed.iter().find(|placed| placed.file.mark() == mark);
                let Placed { session, token, .. } = placed.expect("it is one of the eight");
                format!("{token:#x} of session `{session}`")
            }
        }
    }
}

/// A file is what it was when the guest was stopped, and depends on the same files.
fn compare(placed: &Placed, found: &SimFile) {
    assert_eq!((found.mark(), found.contents()), (placed.file.mark(), placed.file.contents()));
    let marks = |file: &SimFile| file.depends_on().iter().map(SimFile::mark).collect::<Vec<_>>();
    assert_eq!(marks(found), marks(&placed.file));
}

fn phase_of(act: Act) -> Phase {
    match act {
        Act::Preserve => Phase::Preserve,
        Act::Survey | Act::Prepare => Phase::Prepare,
        Act::Freeze => Phase::Freeze,
        Act::Restore => Phase::Restore,
        Act::Retrieve => Phase::Retrieve,
        Act::CanFinish => Phase::Finish,
        other => panic!("{other:?} cannot fail"),
    }
}

/// A fault, or two.
#[derive(Clone, Copy, Debug)]
enum Fault {
    /// The callback with this question refuses.
    Question(u64),
    /// The call with this number fails.
    Call(u64),
    Death(Crash),
    /// Two deaths, the second during the recovery from the first.
    Deaths(Crash, Crash),
}

/// The story without faults, by which all places are known.
struct Score {
    by: By,
    questions: BTreeMap<u64, (Who, Act)>,
    trace: BTreeMap<u64, (Party, Call)>,
    total: Counters,
    gap: Counters,
    /// The call that makes the offer, and the one that commits.
    offer: u64,
    commit: u64,
    /// The machine at the gap, and what its predecessor had.
    fork: Host,
    placed: Vec<Placed>,
}

impl Score {
    fn of(by: By) -> Self {
        let host = Host::new();
        host.machine.begin_trace();
        let story = Story { fork: Some(RefCell::default()), ..Story::new(&host, by) };
        assert_eq!(story.tell(), Ending::Completed);
        assert!(story.reports.borrow().is_empty());
        let trace: BTreeMap<_, _> = (0..).zip(host.machine.trace()).collect();
        let swaps = trace.iter().filter(|(_, (_, call))| *call == Call::Swap).map(|(nth, _)| *nth);
        let [_found, offer, commit] = swaps.collect::<Vec<_>>()[..] else {
            panic!("three swaps make an update")
        };
        Self {
            by,
            questions: (0..).zip(host.journal.questions()).collect(),
            total: host.machine.counters(),
            gap: story.gap.get().expect("the far side has begun"),
            trace,
            offer,
            commit,
            fork: story.fork.and_then(RefCell::into_inner).expect("the far side has begun"),
            placed: story.placed,
        }
    }

    /// Every fault that is no death, and every death.
    fn single_faults(&self) -> Vec<Fault> {
        let questions = (0..self.questions.len() as u64).map(Fault::Question);
        let calls =
            (0..self.total.calls).flat_map(|nth| [Fault::Call(nth), Fault::Death(Crash::AtCall(nth))]);
        let stores = (0..self.total.stores)
            .flat_map(|nth| [Crash::BeforeStore(nth), Crash::AfterStore(nth)].map(Fault::Death));
        let swaps = (0..self.total.swaps)
            .flat_map(|nth| [Crash::BeforeSwap(nth), Crash::AfterSwap(nth)].map(Fault::Death));
        questions.chain(calls).chain(stores).chain(swaps).collect()
    }

    /// How a story ends in which somebody dies here.
    fn ending(&self, crash: Crash) -> Ending {
        let goes_on = match crash {
            Crash::AtCall(nth) => {
                let maker = |nth| self.trace.get(&nth).expect("it was made").0;
                // After the commit only the death of the one that committed is of any concern.
                (self.offer < nth && nth <= self.commit)
                    || (nth > self.commit && maker(nth) != maker(self.commit))
            }
            Crash::BeforeStore(_) | Crash::AfterStore(_) => false,
            Crash::BeforeSwap(nth) => nth == 2,
            Crash::AfterSwap(nth) => nth == 1,
        };
        if goes_on { Ending::Completed } else { Ending::OwnerDied }
    }
}

/// Runs one schedule, and says how it ended. Panics where anything is as it should not be.
fn run(score: &Score, fault: Fault) -> (Ending, Counters) {
    let host = Host::new();
    let story = Story::new(&host, score.by);
    match fault {
        Fault::Question(nth) => host.journal.refuse(nth),
        Fault::Call(nth) => host.machine.inject(FaultPlan::none().fail(nth)),
        Fault::Death(crash) => host.machine.inject(FaultPlan::none().crash(crash)),
        Fault::Deaths(first, second) => host.machine.inject(FaultPlan::none().crash(first).crash(second)),
    }
    let ending = story.tell();
    let counters = host.machine.counters();
    let reports = story.reports.borrow();
    match fault {
        Fault::Question(nth) => {
            assert_eq!(ending, Ending::Completed);
            let (who, act) = *score.questions.get(&nth).expect("it was asked");
            let first = reports.first().expect("a refusal is told");
            assert_eq!(first.phase, phase_of(act), "{first:?}");
            assert!(first.text.contains(&story.name_of(who)), "{first:?} names {who:?}");
            assert!(first.text.contains(&format!("question {nth} was to be refused")), "{first:?}");
        }
        Fault::Call(nth) => {
            assert_eq!(ending, Ending::Completed);
            assert!(counters.failed <= 1);
            let told = reports.iter().any(|report| report.text.contains(&format!("call {nth} (")));
            let (_, call) = *score.trace.get(&nth).expect("it was made");
            // Undo does not fail. After the commit the predecessor learns from its own swap what it could not read, and
            // frames of which nobody could say whether they are a file's are released as the frames that they are.
            let nobody_minds =
                call.undoes() || (nth > score.commit && matches!(call, Call::Word | Call::Attached));
            assert_eq!(told, !nobody_minds, "{call:?}: {reports:?}");
        }
        Fault::Death(crash) => {
            assert_eq!(counters.crashed, 1);
            assert_eq!(ending, score.ending(crash));
        }
        // More faults may lose the guest; that they never double it, the story has seen to.
        Fault::Deaths(..) => {}
    }
    (ending, story.committed.get().unwrap_or(counters))
}

/// Runs a schedule of two deaths of which neither comes before the gap, where the predecessor died in the gap: nothing
/// before it can differ.
fn run_from_the_gap(score: &Score, first: Crash, second: Crash) {
    let host = score.fork.fork();
    host.machine.inject(FaultPlan::none().crash(first).crash(second));
    let _ending = Story::with(&host, score.by, score.placed.clone()).tell_from_the_gap();
}

/// Runs schedules on all cores. How many there were; panics if one went wrong.
fn run_all(what: &str, schedules: &[(&Score, Fault)]) {
    let (next, violations) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let work = || {
        while let Some((score, fault)) = schedules.get(next.fetch_add(1, Ordering::Relaxed)) {
            let from_the_gap = |first: &Crash| {
                score.by == By::Kexec && matches!(first, Crash::AtCall(nth) if *nth >= score.gap.calls)
            };
            let outcome = catch_unwind(AssertUnwindSafe(|| match fault {
                Fault::Deaths(first, second) if from_the_gap(first) => {
                    run_from_the_gap(score, *first, *second);
                }
                fault => drop(run(score, *fault)),
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
    let scores = By::ALL.map(Score::of);
    let schedules: Vec<_> = scores
        .iter()
        .flat_map(|score| score.single_faults().into_iter().map(move |fault| (score, fault)))
        .collect();
    run_all("one fault", &schedules);
}

/// Whoever recovers dies too, at each call, on either side of each swap and before each store, until somebody has
/// committed. That loses the guest where nothing is on offer, and never doubles it.
///
/// Stores are made by a predecessor that seals again, to which it is the same where its successor died: every fifth first
/// death stands for all.
#[test]
fn a_death_anywhere_in_the_recovery_from_a_death() {
    let scores = By::ALL.map(Score::of);
    let mut schedules = Vec::new();
    for score in &scores {
        let in_the_gap = (score.offer + 1..=score.commit).map(Crash::AtCall);
        let swaps = [Crash::AfterSwap(1), Crash::BeforeSwap(2)];
        for (nth, first) in in_the_gap.chain(swaps).enumerate() {
            let (ending, recovered) = run(score, Fault::Death(first));
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
            schedules.extend(second.map(|second| (score, Fault::Deaths(first, second))));
        }
    }
    run_all("a death and another in the recovery", &schedules);
}
