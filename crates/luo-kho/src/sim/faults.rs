//! Faults, and the numbers by which they are called.
//!
//! - A **call** is one call of a backend method that can fail, whoever makes it; calls of one machine are numbered
//!   from 0 in the order in which they begin.
//! - A **store** is one persisted store: an aligned 8-byte word of `write`, a word of the tracker, or the root.
//!   Stores are numbered from 0 as they take effect.
//! - A **swap** is one that moved the ownership word, or is about to. Swaps are numbered from 0.
//!
//! A sweep runs a story once, reads [`Counters`], and runs it again for every number with a fault at that number.
//! Undoing cannot fail, so those calls are numbered but never fail by plan; a crash may come before each of them.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use crate::KhoError;

/// The calls that are numbered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Call {
    /// Opening what is on offer.
    Open,
    /// `Memory::alloc`.
    Alloc,
    /// `Memory::free`; undoes.
    Free,
    /// `Memory::preserve`.
    Preserve,
    /// `Memory::unpreserve`; undoes.
    Unpreserve,
    /// `Memory::read`.
    Read,
    /// `Memory::write`.
    Write,
    /// `Memory::reclaim`.
    Reclaim,
    /// `Memory::forgo`; undoes.
    Forgo,
    /// `Memory::attach`.
    Attach,
    /// `Memory::detach`; undoes.
    Detach,
    /// `Memory::attached`.
    Attached,
    /// `Kho::publish` of a root.
    Publish,
    /// `Kho::publish` of no root; undoes.
    Unpublish,
    /// `Kho::preserved`.
    Preserved,
    /// `Kho::word`.
    Word,
    /// `Kho::swap`, unless it takes back an offer.
    Swap,
    /// `Kho::swap` that takes back an offer; undoes.
    Revoke,
    /// The tracker takes a frame for a node, within another call.
    TakeNode,
    /// `Carrier::prepare` of a carrier of this room.
    Prepare,
    /// `Carrier::hand_over` of a carrier of this room.
    HandOver,
}

/// How many kinds of calls there are.
const CALLS: usize = Call::HandOver as usize + 1;

impl Call {
    /// What errors call it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Alloc => "alloc",
            Self::Free => "free",
            Self::Preserve => "preserve",
            Self::Unpreserve => "unpreserve",
            Self::Read => "read",
            Self::Write => "write",
            Self::Reclaim => "reclaim",
            Self::Forgo => "forgo",
            Self::Attach => "attach",
            Self::Detach => "detach",
            Self::Attached => "attached",
            Self::Publish => "publish",
            Self::Unpublish => "unpublish",
            Self::Preserved => "preserved",
            Self::Word => "word",
            Self::Swap => "swap",
            Self::Revoke => "revoke",
            Self::TakeNode => "take_node",
            Self::Prepare => "prepare",
            Self::HandOver => "hand_over",
        }
    }

    /// Whether it undoes what another call did, and so never fails by plan.
    pub const fn undoes(self) -> bool {
        matches!(
            self,
            Self::Free | Self::Unpreserve | Self::Forgo | Self::Detach | Self::Unpublish | Self::Revoke
        )
    }
}

/// Where a side dies. Each happens once, to whichever party gets there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Crash {
    /// The call with this number has no effect, nor has any later one of that party.
    AtCall(u64),
    /// The store with this number is not made.
    BeforeStore(u64),
    /// The store with this number is the last.
    AfterStore(u64),
    /// The swap with this number does not happen.
    BeforeSwap(u64),
    /// The swap with this number happens, but whoever made it never learns.
    AfterSwap(u64),
}

/// What shall go wrong. The numbers count from the machine's beginning.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FaultPlan {
    calls: BTreeSet<u64>,
    calls_from: Option<u64>,
    named: BTreeSet<(Call, u64)>,
    named_from: BTreeMap<Call, u64>,
    crashes: Vec<Crash>,
}

impl FaultPlan {
    /// Nothing goes wrong.
    pub fn none() -> Self {
        Self::default()
    }

    /// The call with number `nth` of all calls fails. May be said for many.
    #[must_use]
    pub fn fail(mut self, nth: u64) -> Self {
        self.calls.insert(nth);
        self
    }

    /// Every call from number `nth` on fails.
    #[must_use]
    pub fn fail_from(mut self, nth: u64) -> Self {
        self.calls_from = Some(nth);
        self
    }

    /// The `nth` of the calls named `call` fails, from 0. May be said for many.
    #[must_use]
    pub fn fail_call(mut self, call: Call, nth: u64) -> Self {
        self.named.insert((call, nth));
        self
    }

    /// Every call named `call` from its `nth` on fails: out of memory for good, for example.
    #[must_use]
    pub fn fail_call_from(mut self, call: Call, nth: u64) -> Self {
        self.named_from.insert(call, nth);
        self
    }

    /// A side dies. May be said for many.
    #[must_use]
    pub fn crash(mut self, crash: Crash) -> Self {
        self.crashes.push(crash);
        self
    }

    fn fails(&self, call: Call, nth: u64, nth_named: u64) -> bool {
        !call.undoes()
            && (self.calls.contains(&nth)
                || self.calls_from.is_some_and(|from| from <= nth)
                || self.named.contains(&(call, nth_named))
                || self.named_from.get(&call).is_some_and(|&from| from <= nth_named))
    }

    /// Whether this crash was planned; it is then no longer.
    fn takes(&mut self, crash: Crash) -> bool {
        let place = self.crashes.iter().position(|&planned| planned == crash);
        place.map(|place| self.crashes.swap_remove(place)).is_some()
    }
}

/// How much has happened on a machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Calls that began: the number of the next one.
    pub calls: u64,
    /// Stores that took effect: the number of the next one.
    pub stores: u64,
    /// Swaps that moved the ownership word: the number of the next one.
    pub swaps: u64,
    /// Calls that failed by plan.
    pub failed: u64,
    /// Sides that died by plan.
    pub crashed: u64,
}

/// What becomes of a call.
pub(super) enum Fate {
    Lives,
    Fails(KhoError),
    Dies,
}

/// On which side of a swap its maker dies.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum SwapFate {
    Lives,
    DiesBefore,
    DiesAfter,
}

/// The plan and how far things are.
#[derive(Clone, Debug, Default)]
pub(super) struct Faults {
    plan: FaultPlan,
    planned: bool,
    counters: Counters,
    by_name: [u64; CALLS],
}

impl Faults {
    pub(super) fn follow(&mut self, plan: FaultPlan) {
        self.planned = plan != FaultPlan::none();
        self.plan = plan;
    }

    pub(super) fn counters(&self) -> Counters {
        self.counters
    }

    pub(super) fn calls_of(&self, call: Call) -> u64 {
        self.by_name.get(call as usize).copied().unwrap_or_default()
    }

    pub(super) fn call(&mut self, call: Call) -> Fate {
        let nth = self.counters.calls;
        self.counters.calls += 1;
        let mut nth_named = 0;
        if let Some(count) = self.by_name.get_mut(call as usize) {
            nth_named = *count;
            *count += 1;
        }
        if !self.planned {
            return Fate::Lives;
        }
        if self.plan.takes(Crash::AtCall(nth)) {
            self.counters.crashed += 1;
            return Fate::Dies;
        }
        if self.plan.fails(call, nth, nth_named) {
            self.counters.failed += 1;
            return Fate::Fails(KhoError::Injected { call: call.name(), nth });
        }
        Fate::Lives
    }

    /// How many of the next `wanted` stores take effect, and whether their maker dies then.
    pub(super) fn stores(&mut self, wanted: u64) -> (u64, bool) {
        let next = self.counters.stores;
        let crash = self.planned.then(|| self.first_crash(next, wanted)).flatten();
        let (made, dies) = match crash {
            Some((made, crash)) => (made, self.plan.takes(crash)),
            None => (wanted, false),
        };
        self.counters.stores += made;
        self.counters.crashed += u64::from(dies);
        (made, dies)
    }

    /// The first crash among `wanted` stores that begin with number `next`, and how many of them are made.
    fn first_crash(&self, next: u64, wanted: u64) -> Option<(u64, Crash)> {
        let made = |&crash: &Crash| {
            let made = match crash {
                Crash::BeforeStore(nth) => nth.checked_sub(next).filter(|&made| made < wanted),
                Crash::AfterStore(nth) => {
                    nth.checked_sub(next).filter(|&made| made < wanted).map(|made| made + 1)
                }
                Crash::AtCall(_) | Crash::BeforeSwap(_) | Crash::AfterSwap(_) => None,
            };
            made.map(|made| (made, crash))
        };
        self.plan.crashes.iter().filter_map(made).min()
    }

    pub(super) fn swap(&mut self) -> SwapFate {
        let nth = self.counters.swaps;
        if self.plan.takes(Crash::BeforeSwap(nth)) {
            self.counters.crashed += 1;
            return SwapFate::DiesBefore;
        }
        self.counters.swaps += 1;
        if self.plan.takes(Crash::AfterSwap(nth)) {
            self.counters.crashed += 1;
            return SwapFate::DiesAfter;
        }
        SwapFate::Lives
    }
}
