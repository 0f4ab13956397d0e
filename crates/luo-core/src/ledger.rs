//! What a participant took from preserved memory, so that the orchestrator can give it back.
//!
//! A [`Ledger`] belongs to the near side: frames allocated and frames preserved. [`Claims`] belong to the far side:
//! inherited frames reclaimed, some only until finish, some for good. Authors of handlers write no clean-up of
//! frames: a step that fails or is undone has its ledger settled, newest first.

use alloc::vec::Vec;
use core::any::Any;

use luo_kho::{FrameCount, FrameRange, KhoError, Memory};

/// Ranges in the order in which they were taken.
#[derive(Debug, Default)]
pub(crate) struct Ranges(Vec<FrameRange>);

impl Ranges {
    pub(crate) fn push(&mut self, range: FrameRange) {
        self.0.push(range);
    }

    pub(crate) fn pop(&mut self) -> Option<FrameRange> {
        self.0.pop()
    }

    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = FrameRange> + '_ {
        self.0.iter().copied()
    }

    pub(crate) fn append(&mut self, other: &mut Self) {
        self.0.append(&mut other.0);
    }

    pub(crate) fn covers(&self, range: FrameRange) -> bool {
        if self.0.iter().rev().any(|held| *held == range) {
            return true;
        }
        let inside = self.iter().filter_map(|held| held.intersection(range));
        inside.map(|part| part.count().get()).sum::<u64>() == range.count().get()
    }

    /// Takes `range` out, splitting what lies across its ends. `false`, and nothing changed, if some of it is not
    /// here. The usual case, the newest entry as a whole, costs nothing.
    pub(crate) fn remove(&mut self, range: FrameRange) -> bool {
        if let Some(at) = self.0.iter().rposition(|held| *held == range) {
            self.0.remove(at);
            return true;
        }
        if !self.covers(range) {
            return false;
        }
        let mut left = Vec::with_capacity(self.0.len() + 1);
        for held in self.0.drain(..) {
            if held.intersection(range).is_none() {
                left.push(held);
                continue;
            }
            let below =
                FrameRange::from_bounds(held.start().get(), range.start().get().max(held.start().get()));
            let above = FrameRange::from_bounds(range.end().min(held.end()), held.end());
            left.extend(below.into_iter().chain(above));
        }
        self.0 = left;
        true
    }
}

/// What one participant took on the near side.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    allocated: Ranges,
    preserved: Ranges,
    attached: Ranges,
}

impl Ledger {
    pub(crate) fn alloc(
        &mut self,
        memory: &mut dyn Memory,
        want: FrameCount,
    ) -> Result<FrameRange, KhoError> {
        let range = memory.alloc(want)?;
        self.allocated.push(range);
        Ok(range)
    }

    pub(crate) fn free(&mut self, memory: &mut dyn Memory, range: FrameRange) -> Result<(), KhoError> {
        if !self.allocated.covers(range) {
            return Err(KhoError::NotAllocated { range });
        }
        memory.free(range)?;
        self.allocated.remove(range);
        Ok(())
    }

    pub(crate) fn preserve(&mut self, memory: &mut dyn Memory, range: FrameRange) -> Result<(), KhoError> {
        memory.preserve(range)?;
        self.preserved.push(range);
        Ok(())
    }

    pub(crate) fn unpreserve(&mut self, memory: &mut dyn Memory, range: FrameRange) -> Result<(), KhoError> {
        if !self.preserved.covers(range) {
            return Err(KhoError::NotPreserved { range });
        }
        memory.unpreserve(range)?;
        self.preserved.remove(range);
        Ok(())
    }

    pub(crate) fn attach(
        &mut self,
        memory: &mut dyn Memory,
        file: &dyn Any,
        frames: FrameCount,
    ) -> Result<FrameRange, KhoError> {
        let segment = memory.attach(file, frames)?;
        self.attached.push(segment);
        Ok(segment)
    }

    pub(crate) fn detach(&mut self, memory: &mut dyn Memory, segment: FrameRange) -> Result<(), KhoError> {
        if !self.attached.covers(segment) {
            return Err(KhoError::NotAttached { range: segment });
        }
        memory.detach(segment)?;
        self.attached.remove(segment);
        Ok(())
    }

    /// Gives everything back, newest first.
    ///
    /// By contract the backend cannot refuse the undo of what it did. If it does, it is dead, and nobody is left
    /// whom the frames could be given back to; so the answer is not looked at.
    pub(crate) fn settle(&mut self, memory: &mut dyn Memory) {
        while let Some(segment) = self.attached.pop() {
            let _ = memory.detach(segment);
        }
        while let Some(range) = self.preserved.pop() {
            let _ = memory.unpreserve(range);
        }
        while let Some(range) = self.allocated.pop() {
            let _ = memory.free(range);
        }
    }
}

/// What was reclaimed on the far side for one participant.
#[derive(Debug, Default)]
pub(crate) struct Claims {
    /// Needed until finish, then freed.
    pub(crate) borrowed: Ranges,
    /// Part of the retrieved object from now on: finish only withdraws their preservation.
    pub(crate) kept: Ranges,
}

impl Claims {
    /// Undoes every claim, newest first. The same contract as [`Ledger::settle`].
    pub(crate) fn forgo(&mut self, memory: &mut dyn Memory) {
        while let Some(range) = self.kept.pop() {
            let _ = memory.forgo(range);
        }
        while let Some(range) = self.borrowed.pop() {
            let _ = memory.forgo(range);
        }
    }

    /// Nothing is kept: all of it is freed by [`release`](Self::release).
    pub(crate) fn borrow_all(&mut self) {
        self.borrowed.append(&mut self.kept);
    }

    pub(crate) fn append(&mut self, other: &mut Self) {
        self.borrowed.append(&mut other.borrowed);
        self.kept.append(&mut other.kept);
    }

    /// Lets go of everything, newest first. Stops at the first error; what was let go is no longer here, so that a
    /// second call goes on where the first one stopped.
    pub(crate) fn release(&mut self, memory: &mut dyn Memory) -> Result<(), KhoError> {
        while let Some(range) = self.kept.pop() {
            if let Err(error) = let_go(memory, range, Frames::Stay) {
                self.kept.push(range);
                return Err(error);
            }
        }
        while let Some(range) = self.borrowed.pop() {
            if let Err(error) = let_go(memory, range, Frames::Freed) {
                self.borrowed.push(range);
                return Err(error);
            }
        }
        Ok(())
    }
}

/// What becomes of frames whose preservation is over.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Frames {
    Stay,
    Freed,
}

/// Goes on where an earlier attempt failed. The frames of a segment are its file's and stay in any case.
fn let_go(memory: &mut dyn Memory, range: FrameRange, frames: Frames) -> Result<(), KhoError> {
    // Frames that are a segment and are not seen to be one are refused below, and tried again.
    if memory.attached(range).is_ok() {
        return memory.detach(range);
    }
    if frames == Frames::Stay {
        return memory.unpreserve(range);
    }
    if memory.is_preserved(range) {
        memory.unpreserve(range)?;
    }
    memory.free(range)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(start: u64, end: u64) -> FrameRange {
        FrameRange::from_bounds(start, end).unwrap()
    }

    #[test]
    fn removing_the_middle_leaves_both_ends() {
        let mut ranges = Ranges::default();
        for held in [range(0, 8), range(8, 16), range(20, 24)] {
            ranges.push(held);
        }
        assert!(ranges.remove(range(6, 10)));
        assert_eq!(ranges.iter().collect::<Vec<_>>(), [range(0, 6), range(10, 16), range(20, 24)]);
        assert!(!ranges.remove(range(5, 7)), "frame 6 is gone");
        assert!(ranges.remove(range(20, 24)));
        assert!(ranges.remove(range(10, 16)));
        assert!(ranges.remove(range(0, 6)));
        assert_eq!(ranges.iter().count(), 0);
    }
}
