//! Two acts that undo themselves unless they are kept.
//!
//! - A **taking** allocates and preserves frames for a structure that is being made.
//! - A **claiming** reclaims the inherited frames of a structure.
//!
//! Undoing relies on the contract of [`Memory`]: taking back exactly what one call did cannot fail. It can only in
//! a memory that is dead, and there nothing has an effect any more.

use alloc::vec::Vec;

use crate::{FrameCount, FrameRange, KhoError, Memory, Pfn};

#[must_use = "a taking that is dropped gives its frames back"]
pub(crate) struct Taking<'m, M: Memory + ?Sized> {
    memory: &'m mut M,
    taken: Vec<FrameRange>,
}

#[must_use = "a claiming that is dropped forgoes its frames"]
pub(crate) struct Claiming<'m, M: Memory + ?Sized> {
    memory: &'m mut M,
    claimed: Vec<FrameRange>,
}

impl<'m, M: Memory + ?Sized> Taking<'m, M> {
    pub(crate) fn begin(memory: &'m mut M) -> Self {
        Self { memory, taken: Vec::new() }
    }

    /// For writing into what was taken.
    pub(crate) fn memory(&mut self) -> &mut M {
        self.memory
    }

    /// Takes at least one and at most `want` neighbouring frames, zeroed.
    ///
    /// # Errors
    ///
    /// Those of [`Memory::alloc`] and [`Memory::preserve`].
    ///
    /// # Panics
    ///
    /// If the memory gives more than `want`.
    pub(crate) fn take(&mut self, want: FrameCount) -> Result<FrameRange, KhoError> {
        let range = self.memory.alloc(want)?;
        assert!(range.count() <= want, "a memory gave {range} where {want} were wanted");
        if let Err(error) = self.memory.preserve(range) {
            let _dead = self.memory.free(range);
            return Err(error);
        }
        self.taken.push(range);
        Ok(range)
    }

    /// Takes one frame that can be named: frame 0 cannot, because 0 names nothing.
    ///
    /// # Errors
    ///
    /// Those of [`Memory::alloc`] and [`Memory::preserve`].
    pub(crate) fn take_named(&mut self) -> Result<Pfn, KhoError> {
        let first = self.take(FrameCount::ONE)?;
        if first.start() != Pfn::ZERO {
            return Ok(first.start());
        }
        let second = self.take(FrameCount::ONE)?;
        release(self.memory, first)?;
        self.taken.retain(|&taken| taken != first);
        Ok(second.start())
    }

    /// The frames stay taken.
    pub(crate) fn keep(mut self) {
        self.taken.clear();
    }
}

impl<M: Memory + ?Sized> Drop for Taking<'_, M> {
    fn drop(&mut self) {
        for range in self.taken.drain(..).rev() {
            let _dead = self.memory.unpreserve(range);
            let _dead = self.memory.free(range);
        }
    }
}

/// Unpreserves and frees.
///
/// # Errors
///
/// Those of [`Memory::unpreserve`], after which nothing has changed, and of [`Memory::free`], after which the frames
/// are no longer preserved.
pub(crate) fn release<M: Memory + ?Sized>(memory: &mut M, range: FrameRange) -> Result<(), KhoError> {
    memory.unpreserve(range)?;
    memory.free(range)
}

impl<'m, M: Memory + ?Sized> Claiming<'m, M> {
    pub(crate) fn begin(memory: &'m mut M) -> Self {
        Self { memory, claimed: Vec::new() }
    }

    /// Reclaims one range.
    ///
    /// # Errors
    ///
    /// Those of [`Memory::reclaim`].
    pub(crate) fn claim(&mut self, range: FrameRange) -> Result<(), KhoError> {
        self.memory.reclaim(range)?;
        self.claimed.push(range);
        Ok(())
    }

    /// The frames stay claimed.
    pub(crate) fn keep(mut self) {
        self.claimed.clear();
    }
}

impl<M: Memory + ?Sized> Drop for Claiming<'_, M> {
    fn drop(&mut self) {
        for range in self.claimed.drain(..).rev() {
            let _dead = self.memory.forgo(range);
        }
    }
}
