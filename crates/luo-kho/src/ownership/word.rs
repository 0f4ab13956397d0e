//! The ownership word: one u64 that decides who may run the guest.
//!
//! ```text
//!   63                                   24 23            8 7        0
//!  +--------------------------------------+----------------+----------+
//!  | turn (40 bits)                       | owner (16)     | state (8)|
//!  +--------------------------------------+----------------+----------+
//! ```
//!
//! Every swap increases the turn, so that no two moments of one memory have the same word.

use core::fmt;

/// Turns that fit: 2^40 swaps, a thousand a second for 34 years.
const TURN_BITS: u32 = 40;
const TURN_SHIFT: u32 = 24;
const OWNER_SHIFT: u32 = 8;

/// Counts swaps of one ownership word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Turn(u64);

/// Tells programs that share one memory apart. Numbers are used again after 65,535 handovers; the turn is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Owner(u16);

/// What the word says about the memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Holding {
    /// Fresh memory that nobody has owned yet. The word is 0.
    Vacant,
    /// The owner runs, and alone changes memory.
    Running,
    /// The owner has stopped and sealed the root; the first swap decides who runs next.
    Offered,
    /// Stopped on purpose. Nobody restores.
    Retired,
}

/// One value of the ownership word.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Word(u64);

impl Turn {
    /// The number of swaps so far.
    pub const fn get(self) -> u64 {
        self.0
    }

    const fn next(self) -> Option<Self> {
        if self.0 + 1 < 1 << TURN_BITS { Some(Self(self.0 + 1)) } else { None }
    }
}

impl Owner {
    /// Who runs fresh memory first.
    pub const FIRST: Self = Self(1);

    /// The number.
    pub const fn get(self) -> u16 {
        self.0
    }

    /// The number of whoever comes after this owner. Never 0, which is nobody.
    #[must_use]
    pub const fn successor(self) -> Self {
        if self.0 == u16::MAX { Self(1) } else { Self(self.0 + 1) }
    }
}

impl Holding {
    const fn code(self) -> u8 {
        match self {
            Self::Vacant => 0,
            Self::Running => 1,
            Self::Offered => 2,
            Self::Retired => 3,
        }
    }
}

impl Word {
    /// Fresh memory.
    pub const VACANT: Self = Self(0);

    /// The word as it is stored.
    pub const fn to_bits(self) -> u64 {
        self.0
    }

    /// The word from its stored form; `None` if no program of this project wrote it.
    pub const fn from_bits(bits: u64) -> Option<Self> {
        let word = Self(bits);
        match bits.to_le_bytes()[0] {
            0 if bits == 0 => Some(word),
            1..=3 if word.owner().0 != 0 && word.turn().0 != 0 => Some(word),
            _ => None,
        }
    }

    /// How many swaps made it.
    pub const fn turn(self) -> Turn {
        Turn(self.0 >> TURN_SHIFT)
    }

    /// Who owns the memory, or owned it last.
    pub const fn owner(self) -> Owner {
        let [_, low, high, ..] = (self.0).to_le_bytes();
        Owner(u16::from_le_bytes([low, high]))
    }

    /// What the word says.
    pub const fn holding(self) -> Holding {
        match self.0.to_le_bytes()[0] {
            1 => Holding::Running,
            2 => Holding::Offered,
            3 => Holding::Retired,
            _ => Holding::Vacant,
        }
    }

    /// The word one turn later; `None` when the turns are used up.
    pub(crate) const fn next(self, owner: Owner, holding: Holding) -> Option<Self> {
        match self.turn().next() {
            Some(turn) => {
                Some(Self((turn.0 << TURN_SHIFT) | ((owner.0 as u64) << OWNER_SHIFT) | holding.code() as u64))
            }
            None => None,
        }
    }
}

impl fmt::Debug for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.holding() {
            Holding::Vacant => return f.write_str("VACANT"),
            Holding::Running => "RUNNING",
            Holding::Offered => "OFFERED",
            Holding::Retired => "RETIRED",
        };
        write!(f, "{name}(owner {}, turn {})", self.owner().0, self.turn().0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_round_trip() {
        let word = Word::VACANT.next(Owner(0xABCD), Holding::Offered).unwrap();
        assert_eq!(word.to_bits(), 0x01AB_CD02);
        assert_eq!(Word::from_bits(word.to_bits()), Some(word));
        assert_eq!((word.turn().get(), word.owner(), word.holding()), (1, Owner(0xABCD), Holding::Offered));
    }

    #[test]
    fn a_word_nobody_wrote_is_not_believed() {
        for bits in [4, 0xFF, 0x0100_0104, 0x0100_0001, 0x0000_0101, 1, 0x0100_0000] {
            assert_eq!(Word::from_bits(bits), None, "{bits:#x}");
        }
    }

    #[test]
    fn turns_run_out_instead_of_wrapping() {
        let last = Word((((1u64 << TURN_BITS) - 1) << TURN_SHIFT) | 0x0101);
        assert_eq!(last.next(Owner::FIRST, Holding::Running), None);
    }

    #[test]
    fn owner_numbers_skip_nobody() {
        assert_eq!(Owner(u16::MAX).successor(), Owner(1));
        assert_eq!(Owner::FIRST.successor(), Owner(2));
    }
}
