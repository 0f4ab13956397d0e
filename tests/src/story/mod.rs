//! A story: one update of a few files, from the first program to a successor that has finished, which goes on whatever
//! faults it meets.
//!
//! Whoever meets a fault and lives tries again; whoever dies is replaced as the fault model allows. Stories are
//! deterministic, so that the places of faults are those of the story without them, up to the first fault.
//!
//! What has to hold: before the offer the death of the owner is a plain crash, and nobody adopts half a handover; from
//! the offer on the guest goes on exactly once, with every byte; a fault that is no death is told, undone in reverse,
//! and the next attempt goes through; at the end nothing is left. A story in which anything else happens panics.

mod schedules;
mod score;

use core::cell::{Cell, RefCell};
use std::collections::BTreeSet;

use luo_core::{FinishError, Frozen, Phase, PhaseError, Prepared, PreserveError, Stuck, Token};
use luo_kho::carrier::{Carrier, CarrierError};
use luo_kho::ownership::{self, Holding, Offer, OwnershipError};
use luo_kho::sim::{Counters, FaultPlan, Party, SimKho};

use crate::build::Build;
use crate::file::SimFile;
use crate::host::{By, Host, carrier, refused, session};
use crate::journal::Who;
use crate::keeper::LATE;
use crate::program::{Program, Successor};
use crate::vcpus::Vcpus;

pub use schedules::{Depth, Swept, sweep};
pub use score::{Fault, Score};

fn build(size: Size) -> Build {
    if size == Size::Four {
        return Build::standard();
    }
    let build = Build::empty().subsystem("vcpus", 1..=1).subsystem("clock", 1..=2);
    let build = build.pool("pool", 1..=1).pool("ledger", 1..=1);
    build.file_on("note", 1..=2, &["pool"]).file_on("log", 1..=2, &["pool", "ledger"]).file("loner", 1..=2)
}

/// One file and where it is preserved.
#[derive(Clone, Debug)]
pub struct Placed {
    session: &'static str,
    token: u64,
    file: SimFile,
}

/// What somebody was told went wrong.
#[derive(Debug)]
pub struct Report {
    /// The phase that was named.
    pub phase: Phase,
    /// The whole message.
    pub text: String,
}

/// How a story ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// A successor has finished, and nothing is left.
    Completed,
    /// Who owned the guest died, and nothing was on offer: a plain crash.
    OwnerDied,
}

/// How many files a story has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// Eight, in two sessions, with two subsystems and two shared objects.
    Eight,
    /// Four, in two sessions, with one of each.
    Four,
}

/// One update and what was seen of it.
#[derive(Debug)]
pub struct Story<'h> {
    host: &'h Host,
    by: By,
    size: Size,
    /// How many faults may come: so many attempts fail at most.
    faults: usize,
    placed: Vec<Placed>,
    reports: RefCell<Vec<Report>>,
    /// How much had happened when the far side began for the first time, and when a successor had committed.
    gap: Cell<Option<Counters>>,
    committed: Cell<Option<Counters>>,
    /// The machine as it was then, where somebody wants to begin there.
    fork: Option<RefCell<Option<Host>>>,
}

impl<'h> Story<'h> {
    /// A story in which so many faults may come.
    pub fn new(host: &'h Host, by: By, size: Size, faults: usize) -> Self {
        let placed = match size {
            Size::Eight => Self::eight(host),
            Size::Four => Self::four(host),
        };
        Self::with(host, by, (size, faults), placed)
    }

    /// An empty file, one of more than a frame, one that depends on another.
    fn four(host: &Host) -> Vec<Placed> {
        let place = |session, token, file| Placed { session, token, file };
        let placed = vec![
            place("a", 0, host.note("")),
            place("a", 1, host.note(vec![0x55; 4096 + 16])),
            place("b", 0, host.note([5; 9])),
            place("b", 7, host.note("and another")),
        ];
        if let [.., one, other] = &placed[..] {
            other.file.depend_on(&one.file);
        }
        placed
    }

    /// An empty file, one of more than a frame, one that depends on two others, one that does so late.
    fn eight(host: &Host) -> Vec<Placed> {
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
        placed
    }

    fn with(host: &'h Host, by: By, (size, faults): (Size, usize), placed: Vec<Placed>) -> Self {
        let (reports, gap, committed) = (RefCell::default(), Cell::default(), Cell::default());
        Self { host, by, size, faults, placed, reports, gap, committed, fork: None }
    }

    /// Runs it.
    ///
    /// # Panics
    ///
    /// If anything is not as it has to be.
    pub fn tell(&self) -> Ending {
        let Some(mut program) = self.begin() else { return self.nobody_adopts() };
        let arrived = RefCell::new(None);
        let mut far = carrier(self.by, |_| self.far_side(&arrived));
        self.near_side(&mut program, &mut *far);
        drop(far);
        drop(program);
        assert!(self.placed.iter().all(|placed| placed.file.pins() == 0), "the predecessor has let go");
        self.rest(arrived.into_inner())
    }

    /// What was told, in order.
    pub fn reports(&self) -> core::cell::Ref<'_, Vec<Report>> {
        self.reports.borrow()
    }

    /// How much had happened when a successor had committed, if one did.
    pub fn committed(&self) -> Option<Counters> {
        self.committed.get()
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
        let mut program = loop {
            match host.try_found(&build(self.size)) {
                Ok(program) => break program,
                Err(error) => {
                    self.report(&error);
                    assert!(self.reports.borrow().len() <= self.faults, "a fault comes once");
                    if host.machine.counters().crashed > 0 {
                        return None;
                    }
                }
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
                assert!(attempt < self.faults && file.pins() == 0, "a fault comes once, and is undone");
            }
        }
        Some(program)
    }

    /// From prepare on. Comes back when the guest is elsewhere, or the program died.
    fn near_side(&self, program: &mut Program<'_>, far: &mut dyn Carrier<SimKho>) {
        let (party, vcpus) = (program.party, program.vcpus.clone());
        let before = program.luo.memory().census().expect("the tracker is whole");
        for _attempt in 0..=self.faults {
            let error = match program.luo.prepare(far) {
                Ok(prepared) => return self.freeze_and_hand_over(prepared, party, &vcpus),
                Err(error) => error,
            };
            self.report(&error);
            if !self.lives(party) {
                return;
            }
            assert_eq!(program.luo.memory().census().as_ref(), Ok(&before), "a failed prepare is undone");
            assert!(self.placed.iter().all(|placed| placed.file.pins() == 1));
        }
        panic!("a prepare that fails once succeeds the next time");
    }

    fn freeze_and_hand_over(&self, prepared: Prepared<'_, SimKho>, party: Party, vcpus: &[Vcpus]) {
        let Some(mut frozen) = self.freeze(prepared, party, vcpus) else { return };
        for _attempt in 0..self.faults + 2 {
            let Err(Stuck { kept, error }) = frozen.hand_over() else { return };
            self.report(&error);
            if !self.lives(party) {
                return;
            }
            match kept.unfreeze() {
                Ok((prepared, right)) => {
                    self.host.guest.enter(&self.host.machine, party, right, vcpus);
                    match self.freeze(prepared, party, vcpus) {
                        Some(again) => frozen = again,
                        None => return,
                    }
                }
                // The word could not be asked, and the guest runs elsewhere: the guard lets go of everything.
                Err(Stuck { error: OwnershipError::Departed(_), .. }) => return,
                Err(Stuck { kept, error }) => {
                    self.report_text(Phase::HandOver, &error);
                    frozen = kept;
                }
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
        for _attempt in 0..=self.faults {
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
        let attempts = if self.by == By::Kexec { self.faults + 1 } else { 1 };
        let Some(successor) = (0..attempts).find_map(|_| self.take_over()) else {
            return Err(refused("it could not be taken over"));
        };
        *arrived.borrow_mut() = Some(successor);
        Ok(())
    }

    /// One program that adopts, restores, retrieves one session and commits. `None` if anything stood in the way.
    fn take_over(&self) -> Option<Successor<'h>> {
        let mut arrived = self
            .host
            .adopt(&build(self.size))
            .map_err(|error| self.report_text(Phase::HandOver, &error))
            .ok()?;
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
        for _attempt in 0..self.faults + 3 {
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
        self.host.adopt(&build(self.size)).expect_err("there is nothing to adopt");
        machine.kexec();
        self.host.adopt(&build(self.size)).expect_err("there is nothing to adopt in the next kernel either");
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
        for _attempt in 0..self.faults + 2 {
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
    pub(crate) fn name_of(&self, who: Who) -> String {
        match who {
            Who::Subsystem(name) => format!("subsystem `{name}`"),
            Who::Shared(kind) => format!("shared object `{kind}`"),
            Who::File(mark) => {
                let placed = self.placed.iter().find(|placed| placed.file.mark() == mark);
                let Placed { session, token, .. } = placed.expect("it is one of the files");
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
