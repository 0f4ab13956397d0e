//! A life: one machine, and a guest that is carried through a few updates while things go wrong.
//!
//! Each generation has two phases. In the first, faults come as planned: a step may fail then, if it says so, changes
//! nothing, and a fault has come since it began; the guest may be lost if its owner has died and nothing was on offer.
//! In the second, faults have **stopped**, and everything has to go through.

use core::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use luo_kho::ownership::Holding;
use luo_kho::sim::{Crash, FaultPlan, Party};

use super::books::{Books, Expected};
use super::plan::{Fault, Generation, Plan, Speaks};
use crate::file::SimFile;
use crate::host::Host;
use crate::journal::PlannedPanic;
use crate::program::{Arrived, Program, Successor};

/// What came of a life in which nothing was wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Updates that were begun.
    pub updates: u64,
    /// Of those, updates in which at least one fault came.
    pub faulty: u64,
    /// Faults that came.
    pub faults: u64,
    /// Guests that were lost as they may be.
    pub lost: u64,
    /// Everything that happened, as one number: the same for the same seed.
    pub digest: u64,
}

/// How an update ends.
pub(super) enum Ended<'h> {
    Completed(Box<Program<'h>>),
    /// The owner died with nothing on offer, or what was on offer was damaged for good.
    Lost,
}

#[derive(Debug)]
pub(super) struct Life<'h> {
    pub(super) host: &'h Host,
    pub(super) plan: &'h Plan,
    /// The generation.
    at: Cell<usize>,
    /// Whether faults have stopped.
    pub(super) stopped: Cell<bool>,
    /// The bytes on offer were changed, and not sealed anew since.
    pub(super) tampered: Cell<bool>,
    /// Faults that had come when the generation began.
    begun: Cell<u64>,
    /// Faults that had come when the offer was last opened.
    pub(super) opened: Cell<u64>,
    /// Files that the present program has open.
    pub(super) files: RefCell<Vec<SimFile>>,
    pub(super) books: RefCell<Books>,
    pub(super) expected: RefCell<Vec<Expected>>,
    pub(super) ticks: RefCell<Vec<u64>>,
    /// Who has taken over.
    pub(super) arrived: RefCell<Option<Successor<'h>>>,
    /// Who has opened the offer and will try to commit too late.
    pub(super) rivals: RefCell<Vec<Arrived<'h>>>,
    /// What of the far side's plan has been done.
    pub(super) silent: Cell<bool>,
    pub(super) renewed: Cell<bool>,
}

/// Lives it. Panics where anything is as it must not be.
pub fn live(plan: &Plan) -> Outcome {
    let host = Host::with(plan.world.config());
    let life = Life::new(&host, plan);
    let mut outcome = Outcome::default();
    let mut program = None;
    for at in 0..plan.generations.len() {
        life.begin(at);
        outcome.updates += 1;
        program = match life.generation(program.take()) {
            Ended::Completed(program) => Some(program),
            Ended::Lost => {
                outcome.lost += 1;
                life.stop();
                life.wipe();
                match life.generation(None) {
                    Ended::Completed(program) => Some(program),
                    Ended::Lost => panic!("without faults an update completes"),
                }
            }
        };
        let came = life.came() - life.begun.get();
        outcome.faulty += u64::from(came > 0);
        outcome.faults += came;
    }
    drop(program);
    life.check();
    outcome.digest = life.digest();
    outcome
}

impl<'h> Life<'h> {
    fn new(host: &'h Host, plan: &'h Plan) -> Self {
        Self {
            host,
            plan,
            at: Cell::default(),
            stopped: Cell::default(),
            tampered: Cell::default(),
            begun: Cell::default(),
            opened: Cell::default(),
            files: RefCell::default(),
            books: RefCell::default(),
            expected: RefCell::default(),
            ticks: RefCell::default(),
            arrived: RefCell::default(),
            rivals: RefCell::default(),
            silent: Cell::default(),
            renewed: Cell::default(),
        }
    }

    pub(super) fn now(&self) -> &'h Generation {
        self.plan.generations.get(self.at.get()).expect("a plan is not changed while it is lived")
    }

    /// What the program that is updated speaks.
    pub(super) fn speaks(&self) -> Speaks {
        *self.plan.speaks.get(self.at.get()).expect("a plan is not changed while it is lived")
    }

    /// What its successor speaks.
    pub(super) fn reader(&self) -> Speaks {
        *self.plan.speaks.get(self.at.get() + 1).expect("there is one more program than there are updates")
    }

    /// A generation begins, and the count of its faults.
    fn begin(&self, at: usize) {
        self.at.set(at);
        self.begun.set(self.came());
        self.stopped.set(false);
        self.renew();
        let (machine, journal) = (&self.host.machine, &self.host.journal);
        let (now, asked) = (machine.counters(), journal.asked());
        let mut plan = FaultPlan::none();
        for fault in &self.now().faults {
            plan = match *fault {
                Fault::Fail(nth) => plan.fail(now.calls + u64::from(nth)),
                Fault::FailFrom(nth) => plan.fail_from(now.calls + u64::from(nth)),
                Fault::FailEvery(call, nth) => {
                    plan.fail_call_from(call, machine.calls_of(call) + u64::from(nth))
                }
                Fault::DieAtCall(nth) => plan.crash(Crash::AtCall(now.calls + u64::from(nth))),
                Fault::DieBeforeStore(nth) => plan.crash(Crash::BeforeStore(now.stores + u64::from(nth))),
                Fault::DieAfterStore(nth) => plan.crash(Crash::AfterStore(now.stores + u64::from(nth))),
                Fault::DieBeforeSwap(nth) => plan.crash(Crash::BeforeSwap(now.swaps + u64::from(nth))),
                Fault::DieAfterSwap(nth) => plan.crash(Crash::AfterSwap(now.swaps + u64::from(nth))),
                Fault::Refuse(nth) => {
                    journal.refuse(asked + u64::from(nth));
                    plan
                }
                Fault::RefuseEvery(act) => {
                    journal.refuse_every(act);
                    plan
                }
                Fault::Panic(nth) => {
                    journal.panic_at(asked + u64::from(nth));
                    plan
                }
            };
        }
        machine.inject(plan);
    }

    /// Forgets what belongs to one attempt at an update.
    fn renew(&self) {
        self.tampered.set(false);
        self.silent.set(false);
        self.renewed.set(false);
        self.books.take();
        self.expected.take();
        self.rivals.take();
    }

    /// Faults stop.
    pub(super) fn stop(&self) {
        self.stopped.set(true);
        self.host.machine.inject(FaultPlan::none());
        self.host.journal.forgive();
    }

    /// The guest is lost. Whoever is left of it is gone with the power, and its files with it.
    fn wipe(&self) {
        self.renew();
        self.files.take();
        self.host.machine.power_cycle();
    }

    /// How many faults have come.
    pub(super) fn came(&self) -> u64 {
        let counters = self.host.machine.counters();
        counters.failed + counters.crashed + self.host.journal.misfortunes()
    }

    pub(super) fn lives(&self, party: Party) -> bool {
        self.host.machine.is_alive(party)
    }

    /// Runs a program's part. `None` if it panicked as planned: unwinding has dropped what it had, and it is gone.
    pub(super) fn mortal<T>(&self, party: Party, part: impl FnOnce() -> T) -> Option<T> {
        match catch_unwind(AssertUnwindSafe(part)) {
            Ok(done) => Some(done),
            Err(payload) if payload.is::<PlannedPanic>() => {
                self.host.machine.kill(party);
                None
            }
            Err(payload) => resume_unwind(payload),
        }
    }

    fn generation(&self, program: Option<Box<Program<'h>>>) -> Ended<'h> {
        let Some(mut program) = program.or_else(|| self.found()) else { return self.lose() };
        let party = program.party;
        let near = self.mortal(party, || {
            self.begin_near(&mut program);
            if self.lives(party) {
                self.update(&mut program);
            }
            drop(program);
        });
        if near.is_some() && !self.tampered.get() {
            let books = self.books.borrow();
            assert!(books.all().all(|(.., file)| file.pins() == 0), "the predecessor has let go");
        }
        let arrived = self.arrived.take();
        match arrived.or_else(|| self.recover()) {
            Some(successor) => self.finish(successor),
            None => self.lose(),
        }
    }

    fn found(&self) -> Option<Box<Program<'h>>> {
        for attempt in 0..4 {
            if attempt == 3 {
                self.stop();
            }
            let came = self.came();
            match self.host.try_found(&self.speaks().build()) {
                Ok(program) => return Some(Box::new(program)),
                Err(error) => assert!(self.came() > came, "without a fault: {error}"),
            }
            if self.host.machine.word().holding() != Holding::Vacant {
                return None;
            }
        }
        panic!("without faults a program is founded")
    }

    /// The guest is lost; whether it may be.
    pub(super) fn lose(&self) -> Ended<'h> {
        let machine = &self.host.machine;
        assert!(!self.stopped.get() || self.came() > self.begun.get() || self.tampered.get());
        assert!(
            machine.counters().crashed > 0 || !self.host.journal.gone().is_empty() || self.tampered.get(),
            "only death loses a guest"
        );
        assert_eq!(self.host.guest.runner(machine), None);
        if !self.tampered.get() {
            assert_ne!(machine.word().holding(), Holding::Offered, "what is on offer is not lost");
            machine.inject(FaultPlan::none());
            self.host.adopt(&self.reader().build()).expect_err("there is nothing to adopt");
        }
        Ended::Lost
    }

    /// At the end: nobody did what nobody may, and everything that was done was undone, or led away.
    fn check(&self) {
        self.host.check();
        let entries = self.host.journal.entries();
        let programs: BTreeSet<_> = entries.iter().map(|entry| entry.program).collect();
        let gone = self.host.journal.gone();
        for program in programs.into_iter().filter(|program| !gone.contains(program)) {
            self.host.journal.check_half_way(program);
        }
    }

    fn digest(&self) -> u64 {
        let mut digest = DefaultHasher::new();
        self.host.journal.entries().hash(&mut digest);
        let counters = self.host.machine.counters();
        [counters.calls, counters.stores, counters.swaps, counters.failed, counters.crashed]
            .hash(&mut digest);
        digest.finish()
    }
}
