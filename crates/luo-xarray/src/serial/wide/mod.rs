//! What a processor can do to many entries in one step, behind one trait.
//!
//! - A **level** is a set of instructions: [`Portable`] is what every target has; `Avx2` (x86-64-v3) and `Avx512`
//!   (x86-64-v4) are found when the program runs. A value of a level is the proof that its instructions exist here.
//! - A **task** is work that is written once, for any level. [`best`] runs it on the highest level there is.
//!
//! All levels give the same results; `serial/tests/wide.rs` compares them.

mod portable;
#[cfg(all(target_arch = "x86_64", feature = "std"))]
mod x86;

pub(super) use portable::Portable;
#[cfg(all(target_arch = "x86_64", feature = "std"))]
pub(super) use x86::{Avx2, Avx512};

/// Entries that are looked at in one step: bits in a word.
pub(super) const LANES: usize = 64;

/// How each of 64 entries goes on from the one before it, bit for bit. At most one of the three holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Classes {
    /// The value grew by as much as the position did.
    pub(super) up: u64,
    /// It shrank by as much.
    pub(super) down: u64,
    /// It stayed.
    pub(super) flat: u64,
}

/// A level.
pub(super) trait Wide: Copy {
    /// Which slots hold `value`, bit by bit.
    fn equal(self, slots: &[u64; LANES], value: u64) -> u64;

    /// Which slots hold `first` plus `increment` times their number, bit by bit. Values wrap.
    fn on_line(self, slots: &[u64; LANES], first: u64, increment: u64) -> u64;

    /// Classes of entries 1 to 64, each from the one before it. Positions ascend and are at most 511. Values wrap: the
    /// caller knows that none is within 512 of the end of u64.
    fn classes(self, values: &[u64; LANES + 1], positions: &[u64; LANES + 1]) -> Classes;

    /// [`classes`](Self::classes) of entries whose positions go up by one each.
    fn neighbours(self, values: &[u64; LANES + 1]) -> Classes;

    /// The bits of `word` at the ones of `mask`, moved together.
    fn extract(self, word: u64, mask: u64) -> u64;

    /// The lowest bits of `word`, moved to the ones of `mask`.
    fn deposit(self, word: u64, mask: u64) -> u64;

    /// The bit number of one number `n`, from 0, of a word that has more than n.
    fn nth_one(self, word: u64, n: u32) -> u32;

    /// The slots at the ones of `present`, moved together to the start of `into`; what follows is arbitrary.
    fn compress(self, slots: &[u64; LANES], present: u64, into: &mut [u64; LANES]);
}

/// Work for any level.
pub(super) trait Task {
    type Output;

    /// To be inlined, so that it is compiled for the level.
    fn run<W: Wide>(self, wide: W) -> Self::Output;
}

/// The highest level there is here.
#[derive(Clone, Copy, Debug)]
pub(super) enum Level {
    Portable(Portable),
    #[cfg(all(target_arch = "x86_64", feature = "std"))]
    Avx2(Avx2),
    #[cfg(all(target_arch = "x86_64", feature = "std"))]
    Avx512(Avx512),
}

impl Level {
    pub(super) fn detect() -> Self {
        #[cfg(all(target_arch = "x86_64", feature = "std"))]
        {
            if let Some(avx512) = Avx512::detect() {
                return Self::Avx512(avx512);
            }
            if let Some(avx2) = Avx2::detect() {
                return Self::Avx2(avx2);
            }
        }
        Self::Portable(Portable)
    }

    /// Runs a task on the level.
    #[inline]
    pub(super) fn run<T: Task>(self, task: T) -> T::Output {
        match self {
            Self::Portable(portable) => task.run(portable),
            #[cfg(all(target_arch = "x86_64", feature = "std"))]
            Self::Avx2(avx2) => avx2.run(task),
            #[cfg(all(target_arch = "x86_64", feature = "std"))]
            Self::Avx512(avx512) => avx512.run(task),
        }
    }
}

/// Runs a task on the highest level there is.
pub(super) fn best<T: Task>(task: T) -> T::Output {
    Level::detect().run(task)
}
