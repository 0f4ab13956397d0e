//! The classes of faults that a life can have, as `docs/faults.md` names them, and the **swarm**: each seed enables
//! some of them and not the others, because faults that are always there hide each other.

use fastrand::Rng;

/// A class of faults, or of unkind surroundings.
#[expect(missing_docs, reason = "`text` says what they are")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    RefusedOnce,
    RefusedForGood,
    Panicked,
    FailedOnce,
    FailedForGood,
    DiedAtCall,
    DiedAtStore,
    DiedAtSwap,
    Fragmented,
    Mischief,
    Tampered,
    Versions,
    Tokens,
    Rivals,
}

impl Class {
    /// All of them; first those that are numbered faults.
    pub const ALL: [Self; 14] = [
        Self::RefusedOnce,
        Self::RefusedForGood,
        Self::Panicked,
        Self::FailedOnce,
        Self::FailedForGood,
        Self::DiedAtCall,
        Self::DiedAtStore,
        Self::DiedAtSwap,
        Self::Fragmented,
        Self::Mischief,
        Self::Tampered,
        Self::Versions,
        Self::Tokens,
        Self::Rivals,
    ];

    /// How many of [`ALL`](Self::ALL) are numbered faults.
    const NUMBERED: usize = 8;

    /// Its number in [`ALL`](Self::ALL).
    pub const fn index(self) -> usize {
        self as usize
    }

    /// Its names in `docs/faults.md`, and in words.
    pub const fn text(self) -> &'static str {
        match self {
            Self::RefusedOnce => "C1 C3 C11  a callback refuses, before or after its work",
            Self::RefusedForGood => "C2         a callback refuses for good",
            Self::Panicked => "C4         a callback panics",
            Self::FailedOnce => "M1 M11     a call on memory fails",
            Self::FailedForGood => "M2 M10     calls on memory fail for good",
            Self::DiedAtCall => "C5-C7 W8   a side dies at a call",
            Self::DiedAtStore => "W1 W2 W9   a side dies at a store",
            Self::DiedAtSwap => "K4 K6 W7   a side dies at a swap of the word",
            Self::Fragmented => "M3         memory comes in single frames, backwards, or anyhow",
            Self::Mischief => "M5-M9      a participant does to memory what it must not",
            Self::Tampered => "W4-W6 X    bytes on offer are flipped, lost, doubled, or swapped",
            Self::Versions => "V1-V8      the programs speak different versions",
            Self::Tokens => "T1-T7      tokens and sessions used wrongly, early, twice, or never",
            Self::Rivals => "K4-K6 W10  rivals, guardians, quitters, and successors that say nothing",
        }
    }
}

/// Which classes a seed enables.
#[derive(Clone, Copy, Debug)]
pub(super) struct Swarm {
    enabled: u16,
    most: u8,
}

impl Swarm {
    pub(super) fn of(rng: &mut Rng) -> Self {
        Self { enabled: rng.u16(..) & rng.u16(..) | 1 << rng.u8(..14), most: 1 + rng.u8(..4) }
    }

    pub(super) fn has(self, class: Class) -> bool {
        self.enabled & 1 << class.index() != 0
    }

    /// More than one fault in a generation: so many at most.
    pub(super) fn most_faults(self) -> usize {
        usize::from(self.most)
    }

    /// One of the enabled classes that are numbered faults.
    pub(super) fn pick_fault(self, rng: &mut Rng) -> Option<Class> {
        let enabled: Vec<_> =
            Class::ALL.into_iter().take(Class::NUMBERED).filter(|class| self.has(*class)).collect();
        rng.choice(enabled)
    }
}
