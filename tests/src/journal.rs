//! The journal: everything that participants were asked, in order, by every program of a host.
//!
//! - An **entry** says which program asked whom to do what, and whether that was refused.
//! - A **question** is a point at which a participant may refuse, or panic: at the beginning and at the end of every
//!   callback that may fail. Questions of one host are numbered from 0, so that a sweep can let each of them fail once.
//!
//! [`Journal::check`] knows which callback may follow which for one participant, and panics at any other.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use luo_core::{Kind, Refusal};
use luo_kho::sim::{Counters, Machine};
use parking_lot::Mutex;

/// Tells the programs of one host apart: numbered from 0 in the order in which they came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProgramId(pub u32);

/// A participant, the same on both sides of an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Who {
    /// A file, by its mark.
    File(u64),
    /// A subsystem, by name.
    Subsystem(Kind),
    /// A shared object, by kind.
    Shared(Kind),
}

/// What a participant was asked to do.
#[expect(missing_docs, reason = "the names are those of the callbacks")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Act {
    Preserve,
    Unpreserve,
    Survey,
    Prepare,
    Cancel,
    Freeze,
    Unfreeze,
    Depart,
    Retrieve,
    Restore,
    CanFinish,
    Finish,
    Discard,
}

/// One line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Entry {
    /// Which program asked.
    pub program: ProgramId,
    /// Whom.
    pub who: Who,
    /// For what.
    pub act: Act,
    /// Whether the answer was no.
    pub refused: bool,
}

/// A refusal that a test has planned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("question {nth} was to be refused")]
pub struct Planned {
    /// The question.
    pub nth: u64,
}

/// What a participant panics with because a test has planned it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlannedPanic {
    /// The question.
    pub nth: u64,
}

/// The log of a host. Clones name the same log.
#[derive(Clone, Debug, Default)]
pub struct Journal(Arc<Mutex<Pages>>);

#[derive(Debug, Default)]
struct Pages {
    entries: Vec<Entry>,
    questions: Vec<(Who, Act)>,
    refusals: BTreeSet<u64>,
    panics: BTreeSet<u64>,
    stubborn: BTreeSet<Act>,
    busy: BTreeSet<Who>,
    misfortunes: u64,
    /// How often a handler was asked what a file is.
    identified: u64,
    /// Files are prepared ahead of time, in an order that is not theirs.
    ahead: bool,
    /// Programs that a panic has ended: what unwinding does with what they had is no longer of interest.
    gone: BTreeSet<ProgramId>,
    watched: Option<Machine>,
    moments: Vec<Counters>,
}

/// The journal in the hand of one program's participants.
#[derive(Clone, Debug)]
pub struct Pen {
    journal: Journal,
    program: ProgramId,
}

/// How far one participant of one program has come, as the journal shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Absent,
    Held,
    Prepared,
    Frozen,
    Departed,
    Live,
    Failed,
}

impl Journal {
    /// Question number `nth` of all is refused. May be said for many.
    pub fn refuse(&self, nth: u64) {
        self.0.lock().refusals.insert(nth);
    }

    /// The question that comes after `later` others, from now on, is refused.
    pub fn refuse_next(&self, later: u64) {
        let mut pages = self.0.lock();
        let nth = pages.questions.len() as u64 + later;
        pages.refusals.insert(nth);
    }

    /// Question number `nth` of all is answered with a panic. May be said for many.
    pub fn panic_at(&self, nth: u64) {
        self.0.lock().panics.insert(nth);
    }

    /// From now on everybody refuses this.
    pub fn refuse_every(&self, act: Act) {
        self.0.lock().stubborn.insert(act);
    }

    /// Forgets every refusal and every panic that was planned.
    pub fn forgive(&self) {
        let mut pages = self.0.lock();
        pages.refusals.clear();
        pages.panics.clear();
        pages.stubborn.clear();
    }

    /// Programs that a planned panic has ended. Nothing is written of them since.
    pub fn gone(&self) -> Vec<ProgramId> {
        self.0.lock().gone.iter().copied().collect()
    }

    /// From now on files may be prepared ahead of time in any order: that of cancelling is no longer checked.
    pub fn expect_any_order(&self) {
        self.0.lock().ahead = true;
    }

    /// How many refusals and panics were planned and have come.
    pub fn misfortunes(&self) -> u64 {
        self.0.lock().misfortunes
    }

    /// How often a handler was asked what tells a file apart.
    pub fn identified(&self) -> u64 {
        self.0.lock().identified
    }

    /// How many questions there were.
    pub fn asked(&self) -> u64 {
        self.0.lock().questions.len() as u64
    }

    /// From now on `who` refuses to be finished, or no longer does.
    pub fn set_busy(&self, who: Who, busy: bool) {
        let mut pages = self.0.lock();
        if busy {
            pages.busy.insert(who);
        } else {
            pages.busy.remove(&who);
        }
    }

    /// Every question so far, by number.
    pub fn questions(&self) -> Vec<(Who, Act)> {
        self.0.lock().questions.clone()
    }

    /// From now on writes down how much has happened on this machine at each question.
    pub fn watch(&self, machine: &Machine) {
        self.0.lock().watched = Some(machine.clone());
    }

    /// How much had happened at each question since the machine was [watched](Self::watch).
    pub fn moments(&self) -> Vec<Counters> {
        self.0.lock().moments.clone()
    }

    /// Every entry so far.
    pub fn entries(&self) -> Vec<Entry> {
        self.0.lock().entries.clone()
    }

    /// Who did `act` for a program, in order; refusals left out.
    pub fn order(&self, program: ProgramId, act: Act) -> Vec<Who> {
        let pages = self.0.lock();
        let done = pages.entries.iter().filter(|entry| entry.program == program && entry.act == act);
        done.filter(|entry| !entry.refused).map(|entry| entry.who).collect()
    }

    /// How often `who` did `act` for a program; refusals left out.
    pub fn count(&self, program: ProgramId, who: Who, act: Act) -> usize {
        self.order(program, act).into_iter().filter(|did| *did == who).count()
    }

    /// What was written since the journal had so many entries.
    pub fn since(&self, entries: usize) -> Vec<Entry> {
        self.0.lock().entries.iter().skip(entries).copied().collect()
    }

    /// Panics unless every callback was one that may follow what the same participant did before, which includes that
    /// each success is undone at most once and no failure is, and unless undo ran in reverse.
    pub fn check(&self) {
        let entries = self.entries();
        let ahead = self.0.lock().ahead;
        let mut standings: BTreeMap<(ProgramId, Who), Standing> = BTreeMap::new();
        for (line, entry) in entries.iter().enumerate() {
            let first = match entry.who {
                Who::Subsystem(_) => Standing::Held,
                Who::File(_) | Who::Shared(_) => Standing::Absent,
            };
            let standing = standings.entry((entry.program, entry.who)).or_insert(first);
            match standing.after(entry) {
                Some(next) => *standing = next,
                None => panic!("line {line}: {entry:?} while {standing:?}, after\n{}", lines(&entries, line)),
            }
        }
        let programs: BTreeSet<_> = entries.iter().map(|entry| entry.program).collect();
        for program in programs {
            let own = || entries.iter().filter(|entry| entry.program == program && !entry.refused);
            assert_reversed(own(), Act::Freeze, Act::Unfreeze);
            if !ahead {
                assert_reversed(own(), Act::Prepare, Act::Cancel);
            }
        }
    }

    /// [`check`](Self::check), and panics if a participant of `program` is left half way: prepared or frozen.
    pub fn check_settled(&self, program: ProgramId) {
        self.check();
        self.check_half_way(program);
    }

    /// Panics if a participant of `program` is left half way: prepared or frozen.
    pub fn check_half_way(&self, program: ProgramId) {
        let count = |act| {
            let mut whos = self.order(program, act);
            whos.sort_unstable();
            whos
        };
        let frozen = count(Act::Freeze).len();
        let prepared = count(Act::Prepare).len();
        let departed = count(Act::Depart).len();
        assert_eq!(frozen, count(Act::Unfreeze).len() + departed, "every freeze was undone, or led away");
        assert_eq!(prepared, count(Act::Cancel).len() + departed, "every prepare was undone, or led away");
    }
}

/// What the same program did before, as text.
fn lines(entries: &[Entry], until: usize) -> String {
    let program = entries.get(until).map(|entry| entry.program);
    let before = entries.iter().take(until).filter(|entry| Some(entry.program) == program);
    let line = |entry: &Entry| format!("{:?} {:?} refused: {}", entry.who, entry.act, entry.refused);
    before.map(line).collect::<Vec<_>>().join("\n")
}

/// Undo runs in exactly the reverse order: what is undone is always the newest that is still done.
fn assert_reversed<'e>(entries: impl Iterator<Item = &'e Entry>, act: Act, undo: Act) {
    let mut done: Vec<Who> = Vec::new();
    for entry in entries {
        if entry.act == act {
            done.push(entry.who);
        } else if entry.act == Act::Depart {
            done.retain(|who| *who != entry.who);
        } else if entry.act == undo {
            assert_eq!(done.pop(), Some(entry.who), "{undo:?} runs in the reverse order of {act:?}");
        }
    }
}

impl Standing {
    /// Where a callback leads; `None` if it may not be made here.
    fn after(self, entry: &Entry) -> Option<Self> {
        use Standing::{Absent, Departed, Failed, Frozen, Held, Live, Prepared};
        let next = match (self, entry.act) {
            (Absent, Act::Preserve) | (Prepared, Act::Cancel) | (Held, Act::Survey) => Held,
            (Held, Act::Unpreserve) | (Absent | Failed, Act::Discard) => Absent,
            (Held, Act::Prepare) | (Frozen, Act::Unfreeze) => Prepared,
            (Prepared, Act::Freeze) => Frozen,
            (Frozen, Act::Depart) => Departed,
            (Absent, Act::Retrieve) | (Held, Act::Restore) | (Live, Act::CanFinish) => Live,
            (Live, Act::Finish) => match entry.who {
                Who::Subsystem(_) => Held,
                Who::File(_) | Who::Shared(_) => Absent,
            },
            _ => return None,
        };
        match entry.act {
            Act::Retrieve | Act::Restore if entry.refused => Some(Failed),
            _ if entry.refused => Some(self),
            _ => Some(next),
        }
    }
}

impl Pen {
    /// The journal in the hand of `program`.
    pub fn new(journal: Journal, program: ProgramId) -> Self {
        Self { journal, program }
    }

    /// The program.
    pub fn program(&self) -> ProgramId {
        self.program
    }

    /// A callback that may fail: asks whether it does, does the work, asks again, and writes down what came of it.
    /// What `work` returned is dropped if the second answer is no, so it must not have changed anything else.
    ///
    /// # Errors
    ///
    /// [`Planned`] as the cause, or what `work` answered.
    pub fn ask<T>(
        &self,
        who: Who,
        act: Act,
        work: impl FnOnce() -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        let outcome = self.question(who, act).and_then(|()| {
            let made = work()?;
            self.question(who, act)?;
            Ok(made)
        });
        self.write(who, act, outcome.is_err());
        outcome
    }

    /// A callback that cannot fail.
    pub fn tell(&self, who: Who, act: Act) {
        self.write(who, act, false);
    }

    /// A handler is asked what tells a file apart: the measure of a look-up.
    pub fn identify(&self) {
        self.journal.0.lock().identified += 1;
    }

    /// Whether a test has said that `who` cannot be finished yet.
    pub fn is_busy(&self, who: Who) -> bool {
        self.journal.0.lock().busy.contains(&who)
    }

    fn question(&self, who: Who, act: Act) -> Result<(), Refusal> {
        let mut pages = self.journal.0.lock();
        let nth = pages.questions.len() as u64;
        pages.questions.push((who, act));
        let moment = pages.watched.as_ref().map(Machine::counters);
        pages.moments.extend(moment);
        let panics = pages.panics.remove(&nth);
        let refuses = pages.refusals.remove(&nth) || pages.stubborn.contains(&act);
        pages.misfortunes += u64::from(panics || refuses);
        drop(pages);
        if panics {
            self.journal.0.lock().gone.insert(self.program);
            std::panic::panic_any(PlannedPanic { nth });
        }
        if refuses { Err(Refusal::new(Planned { nth })) } else { Ok(()) }
    }

    fn write(&self, who: Who, act: Act, refused: bool) {
        let entry = Entry { program: self.program, who, act, refused };
        let mut pages = self.journal.0.lock();
        if !pages.gone.contains(&self.program) {
            pages.entries.push(entry);
        }
    }
}
