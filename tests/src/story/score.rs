//! The score of a story: the story without faults, by which the places of all faults are known, and the verdict on a
//! story with some.

use core::cell::RefCell;

use luo_core::Phase;
use luo_kho::sim::{Call, Counters, Crash, FaultPlan, Party};

use super::{Ending, Placed, Size, Story};
use crate::host::{By, Host};
use crate::journal::{Act, Who};

/// One thing that goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The callback with this question refuses.
    Question(u64),
    /// The call with this number fails.
    Call(u64),
    /// A side dies.
    Death(Crash),
}

/// A story as it went, by which the places of further faults are known.
#[derive(Debug)]
pub(super) struct Walk {
    pub(super) questions: Vec<(Who, Act)>,
    pub(super) trace: Vec<(Party, Call)>,
    /// How much had happened at each question.
    pub(super) moments: Vec<Counters>,
    pub(super) total: Counters,
    pub(super) ending: Ending,
}

/// The story without faults.
#[derive(Debug)]
pub struct Score {
    /// The way across.
    pub by: By,
    /// How many files there are.
    pub size: Size,
    pub(super) walk: Walk,
    /// How much had happened when the far side began.
    pub gap: Counters,
    /// The call that makes the offer.
    pub offer: u64,
    /// The call that commits.
    pub commit: u64,
    /// The machine at the gap, and what its predecessor had.
    fork: Host,
    placed: Vec<Placed>,
}

impl Score {
    /// Tells the story.
    ///
    /// # Panics
    ///
    /// If it goes wrong without a fault.
    pub fn of(by: By, size: Size) -> Self {
        let host = Host::new();
        Walk::watch(&host);
        let story = Story { fork: Some(RefCell::default()), ..Story::new(&host, by, size, 0) };
        assert_eq!(story.tell(), Ending::Completed);
        assert!(story.reports.borrow().is_empty());
        let walk = Walk::of(&host, Ending::Completed);
        let swaps = (0..).zip(&walk.trace).filter(|(_, (_, call))| *call == Call::Swap).map(|(nth, _)| nth);
        let [_found, offer, commit] = swaps.collect::<Vec<_>>()[..] else {
            panic!("three swaps make an update")
        };
        Self {
            by,
            size,
            gap: story.gap.get().expect("the far side has begun"),
            offer,
            commit,
            walk,
            fork: story.fork.and_then(RefCell::into_inner).expect("the far side has begun"),
            placed: story.placed,
        }
    }

    /// Every fault that is no death, and every death.
    pub fn single_faults(&self) -> Vec<Fault> {
        self.walk.places(None).collect()
    }

    /// How a story ends in which somebody dies here, and nothing else goes wrong.
    fn ending(&self, crash: Crash) -> Ending {
        let goes_on = match crash {
            Crash::AtCall(nth) => {
                let maker = |nth| self.walk.call(nth).expect("it was made").0;
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

    /// Runs the story with one fault, and says how it ended and how much had happened when a successor had committed,
    /// or at the end.
    ///
    /// # Panics
    ///
    /// If anything is not as it has to be.
    pub fn run_single(&self, fault: Fault) -> (Ending, Counters) {
        let host = Host::new();
        arm(&host, &[fault]);
        let story = Story::new(&host, self.by, self.size, 1);
        let ending = story.tell();
        let counters = host.machine.counters();
        let reports = story.reports();
        match fault {
            Fault::Question(nth) => {
                assert_eq!(ending, Ending::Completed);
                let (who, act) = self.walk.question(nth).expect("it was asked");
                let first = reports.first().expect("a refusal is told");
                assert_eq!(first.phase, phase_of(act), "{first:?}");
                assert!(first.text.contains(&story.name_of(who)), "{first:?} names {who:?}");
                assert!(first.text.contains(&format!("question {nth} was to be refused")), "{first:?}");
            }
            Fault::Call(nth) => {
                assert_eq!(ending, Ending::Completed);
                assert!(counters.failed <= 1);
                let told = reports.iter().any(|report| report.text.contains(&format!("call {nth} (")));
                let (_, call) = self.walk.call(nth).expect("it was made");
                // Undo does not fail. After the commit the predecessor learns from its own swap what it could not read,
                // and frames of which nobody could say whether they are a file's are released as the frames that they
                // are.
                let nobody_minds =
                    call.undoes() || (nth > self.commit && matches!(call, Call::Word | Call::Attached));
                assert_eq!(told, !nobody_minds, "{call:?}: {reports:?}");
            }
            Fault::Death(crash) => {
                assert_eq!(counters.crashed, 1);
                assert_eq!(ending, self.ending(crash));
            }
        }
        (ending, story.committed().unwrap_or(counters))
    }

    /// Runs the story with two deaths of which neither comes before the gap, where the predecessor died in the gap:
    /// nothing before it can differ.
    ///
    /// # Panics
    ///
    /// If anything is not as it has to be.
    pub fn run_from_the_gap(&self, deaths: [Crash; 2]) {
        let host = self.fork.fork();
        arm(&host, &deaths.map(Fault::Death));
        let placed = self.placed.clone();
        let _ending = Story::with(&host, self.by, (self.size, 2), placed).tell_from_the_gap();
    }

    /// Runs the story with some faults.
    ///
    /// # Panics
    ///
    /// If anything is not as it has to be.
    pub fn run(&self, faults: &[Fault]) -> Ending {
        let host = Host::new();
        arm(&host, faults);
        Story::new(&host, self.by, self.size, faults.len()).tell()
    }

    /// As [`run`](Self::run), and looks on.
    pub(super) fn walk(&self, faults: &[Fault]) -> Walk {
        let host = Host::new();
        Walk::watch(&host);
        arm(&host, faults);
        Walk::of(&host, Story::new(&host, self.by, self.size, faults.len()).tell())
    }
}

impl Walk {
    /// Has everything written down that makes a walk.
    fn watch(host: &Host) {
        host.machine.begin_trace();
        host.journal.watch(&host.machine);
    }

    /// What was written down.
    fn of(host: &Host, ending: Ending) -> Self {
        let (questions, moments) = (host.journal.questions(), host.journal.moments());
        Self { questions, trace: host.machine.trace(), moments, total: host.machine.counters(), ending }
    }

    pub(super) fn question(&self, nth: u64) -> Option<(Who, Act)> {
        self.questions.get(index(nth)).copied()
    }

    pub(super) fn call(&self, nth: u64) -> Option<(Party, Call)> {
        self.trace.get(index(nth)).copied()
    }

    /// The last question before a fault comes here.
    pub(super) fn question_before(&self, fault: Fault) -> usize {
        let before = |moment: &Counters| match fault {
            Fault::Question(_) => false,
            Fault::Call(nth) | Fault::Death(Crash::AtCall(nth)) => moment.calls <= nth,
            Fault::Death(Crash::BeforeStore(nth) | Crash::AfterStore(nth)) => moment.stores <= nth,
            Fault::Death(Crash::BeforeSwap(nth) | Crash::AfterSwap(nth)) => moment.swaps <= nth,
        };
        match fault {
            Fault::Question(nth) => index(nth),
            _ => self.moments.partition_point(before).saturating_sub(1),
        }
    }

    /// Every place behind a fault that has come in this story; all of them, if none is given.
    pub(super) fn places(&self, last: Option<Fault>) -> impl Iterator<Item = Fault> + use<> {
        let at = last.map(|last| self.question_before(last)).unwrap_or_default();
        let from = last.and_then(|_| self.moments.get(at).copied()).unwrap_or_default();
        let mut question = at as u64;
        let (mut call, mut store, mut swap) = (from.calls, from.stores, from.swaps);
        match last {
            None => {}
            Some(Fault::Question(nth)) => question = nth + 1,
            Some(Fault::Call(nth) | Fault::Death(Crash::AtCall(nth))) => call = nth + 1,
            Some(Fault::Death(Crash::BeforeStore(nth))) => store = nth,
            Some(Fault::Death(Crash::AfterStore(nth))) => store = nth + 1,
            Some(Fault::Death(Crash::BeforeSwap(nth))) => swap = nth,
            Some(Fault::Death(Crash::AfterSwap(nth))) => swap = nth + 1,
        }
        let questions = (question..self.questions.len() as u64).map(Fault::Question);
        let calls =
            (call..self.total.calls).flat_map(|nth| [Fault::Call(nth), Fault::Death(Crash::AtCall(nth))]);
        let stores = (store..self.total.stores)
            .flat_map(|nth| [Crash::BeforeStore(nth), Crash::AfterStore(nth)].map(Fault::Death));
        let swaps = (swap..self.total.swaps)
            .flat_map(|nth| [Crash::BeforeSwap(nth), Crash::AfterSwap(nth)].map(Fault::Death));
        questions.chain(calls).chain(stores).chain(swaps).filter(move |fault| Some(*fault) != last)
    }
}

fn index(nth: u64) -> usize {
    usize::try_from(nth).unwrap_or(usize::MAX)
}

/// Plans faults, whose numbers count from the beginning.
fn arm(host: &Host, faults: &[Fault]) {
    let mut plan = FaultPlan::none();
    for fault in faults {
        match *fault {
            Fault::Question(nth) => host.journal.refuse(nth),
            Fault::Call(nth) => plan = plan.fail(nth),
            Fault::Death(crash) => plan = plan.crash(crash),
        }
    }
    host.machine.inject(plan);
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
