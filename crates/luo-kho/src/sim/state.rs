//! What all parties of a machine share, behind its lock: the ownership word, the image that is on offer, who lives.
//!
//! - A **party** is a program, or a kernel's one program: it has a view of the memory ([`SimKho`](super::SimKho)).
//! - The **holder** is the party whose view is the machine's memory: who runs, or has made the offer that stands.
//! - The **image** is the holder's memory as it was sealed. It exists while an offer stands.

use alloc::vec::Vec;

use super::faults::{Call, Fate, Faults, SwapFate};
use super::files::Segments;
use super::oracle::Violation;
use super::ram::Ram;
use crate::ownership::Holding;
use crate::{Generation, KhoError, PhysAddr, Root, Word};

/// Tells the parties of one machine apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Party(usize);

impl Party {
    /// Looks on from outside.
    pub(super) const NOBODY: Self = Self(usize::MAX);

    /// Parties are numbered from 0 in the order in which they came.
    pub const fn get(self) -> usize {
        self.0
    }
}

/// What a party came for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// To found memory that nobody owned yet.
    Founder,
    /// To adopt what was on offer.
    Adopter,
    /// To guard the word. A guardian has no memory.
    Guardian,
}

/// Memory at rest, and what is needed to find one's way in it.
#[derive(Clone, Debug)]
pub(super) struct Image {
    pub(super) ram: Ram,
    pub(super) segments: Segments,
    pub(super) tracker: PhysAddr,
    pub(super) root: Option<Root>,
    pub(super) generation: Generation,
    /// In which boot it was sealed. It outlives one reboot, not two.
    pub(super) boot: u64,
}

#[derive(Clone, Copy, Debug)]
struct Standing {
    alive: bool,
    role: Role,
    /// The only word with which this party may take the memory: of the offer that it opened, or made.
    offer: Option<Word>,
}

/// What a swap does, beside moving the word.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Move {
    Found,
    Offer,
    Revoke,
    Commit,
    Renew,
    Retire,
}

#[derive(Clone, Debug)]
pub(super) struct State {
    pub(super) word: Word,
    pub(super) generation: Generation,
    pub(super) boot: u64,
    pub(super) image: Option<Image>,
    pub(super) faults: Faults,
    pub(super) violations: Vec<Violation>,
    pub(super) trace: Option<Vec<(Party, Call)>>,
    holder: Option<Party>,
    parties: Vec<Standing>,
}

impl State {
    pub(super) fn new() -> Self {
        Self {
            word: Word::VACANT,
            generation: 0,
            boot: 0,
            image: None,
            faults: Faults::default(),
            violations: Vec::new(),
            trace: None,
            holder: None,
            parties: Vec::new(),
        }
    }

    /// A new party. An adopter may take what the word offers now, and nothing else.
    pub(super) fn join(&mut self, role: Role) -> Party {
        let offer = (role == Role::Adopter).then_some(self.word);
        self.parties.push(Standing { alive: true, role, offer });
        Party(self.parties.len() - 1)
    }

    pub(super) fn is_alive(&self, party: Party) -> bool {
        self.parties.get(party.0).is_some_and(|standing| standing.alive)
    }

    pub(super) fn kill(&mut self, party: Party) {
        if let Some(standing) = self.parties.get_mut(party.0) {
            standing.alive = false;
        }
    }

    /// Every party dies and every frame loses its bytes, except those of `image`, which stays on offer if the word
    /// says so. The machine is otherwise fresh.
    pub(super) fn reboot(&mut self, image: Option<Image>) {
        for standing in &mut self.parties {
            standing.alive = false;
        }
        self.boot += 1;
        self.holder = None;
        if image.is_none() {
            self.word = Word::VACANT;
            self.generation = 0;
        }
        self.image = image;
    }

    /// A call begins: it has a number, and may fail or be the end of its party.
    pub(super) fn call(&mut self, party: Party, call: Call) -> Result<(), KhoError> {
        if !self.is_alive(party) {
            return Err(KhoError::Crashed);
        }
        if let Some(trace) = &mut self.trace {
            trace.push((party, call));
        }
        match self.faults.call(call) {
            Fate::Lives => Ok(()),
            Fate::Fails(error) => Err(error),
            Fate::Dies => {
                self.kill(party);
                Err(KhoError::Crashed)
            }
        }
    }

    /// A call begins that changes memory: only the running owner may.
    pub(super) fn change(&mut self, party: Party, call: Call) -> Result<(), KhoError> {
        self.call(party, call)?;
        if self.holder == Some(party) && self.word.holding() == Holding::Running {
            return Ok(());
        }
        self.violations.push(Violation::Change { party, call, word: self.word });
        Err(KhoError::NotOwner { word: self.word })
    }

    /// How many of the next `wanted` stores take effect. Fewer than that, or an error from the next call, means that
    /// the party died.
    pub(super) fn stores(&mut self, party: Party, wanted: u64) -> (u64, Result<(), KhoError>) {
        if !self.is_alive(party) {
            return (0, Err(KhoError::Crashed));
        }
        let (made, dies) = self.faults.stores(wanted);
        if dies {
            self.kill(party);
            return (made, Err(KhoError::Crashed));
        }
        (made, Ok(()))
    }

    /// Moves the word. `image` is what the party's memory looks like, should this be an offer.
    pub(super) fn swap(
        &mut self,
        party: Party,
        from: Word,
        to: Word,
        image: impl FnOnce() -> Option<Image>,
    ) -> Result<(), KhoError> {
        let what = self.classify(party, from, to);
        self.call(party, if what == Some(Move::Revoke) { Call::Revoke } else { Call::Swap })?;
        if self.word != from {
            return Err(KhoError::SwapLost { expected: from, found: self.word });
        }
        let Some(what) = what else { return Err(self.refuse(party, from, to)) };
        let fate = self.faults.swap();
        if fate != SwapFate::Lives {
            self.kill(party);
        }
        if fate != SwapFate::DiesBefore {
            self.word = to;
            self.settle(party, what, to, image);
        }
        if fate == SwapFate::Lives { Ok(()) } else { Err(KhoError::Crashed) }
    }

    /// What the swap would do; `None` if the party has no right to it.
    fn classify(&self, party: Party, from: Word, to: Word) -> Option<Move> {
        let standing = self.parties.get(party.0)?;
        let holds = self.holder == Some(party);
        let knows = standing.offer == Some(from);
        match (from.holding(), to.holding()) {
            (Holding::Vacant, Holding::Running) if standing.role == Role::Founder => Some(Move::Found),
            (Holding::Running, Holding::Offered) if holds => Some(Move::Offer),
            (Holding::Running, Holding::Retired) if holds => Some(Move::Retire),
            (Holding::Offered, Holding::Running) if holds && knows => Some(Move::Revoke),
            (Holding::Offered, Holding::Running) if standing.role == Role::Adopter && knows => {
                Some(Move::Commit)
            }
            (Holding::Offered, Holding::Offered) if holds && knows => Some(Move::Renew),
            (Holding::Offered, Holding::Offered) if standing.role == Role::Guardian => Some(Move::Renew),
            _ => None,
        }
    }

    /// Why a party may not move a word that says what it expects.
    fn refuse(&mut self, party: Party, from: Word, to: Word) -> KhoError {
        let stale = self.parties.get(party.0).and_then(|standing| standing.offer);
        match stale.filter(|_| from.holding() == Holding::Offered) {
            // It has the bytes of an earlier offer before it: for this one it is too late.
            Some(expected) if expected != from => KhoError::SwapLost { expected, found: self.word },
            _ => {
                self.violations.push(Violation::Swap { party, from, to });
                KhoError::NotOwner { word: self.word }
            }
        }
    }

    fn settle(&mut self, party: Party, what: Move, to: Word, image: impl FnOnce() -> Option<Image>) {
        let offer = match what {
            Move::Found => {
                self.holder = Some(party);
                None
            }
            Move::Offer => {
                self.image = image().map(|image| Image { boot: self.boot, ..image });
                Some(to)
            }
            Move::Commit => {
                self.generation += 1;
                self.holder = Some(party);
                self.image = None;
                None
            }
            Move::Revoke | Move::Retire => {
                self.image = None;
                None
            }
            Move::Renew => (self.holder == Some(party)).then_some(to),
        };
        if let Some(standing) = self.parties.get_mut(party.0) {
            standing.offer = offer;
        }
    }
}
