//! The contracts of this crate, kept with descriptors.

use alloc::vec::Vec;
use core::any::Any;

use super::{ProcessKho, Standing, segments};
use crate::ownership::{Holding, shared};
use crate::process::segment::of_this_backend;
use crate::{
    ByteLen, FrameCount, FrameRange, Generation, Kho, KhoError, Memory, PFN_END, PhysAddr, Root, Word,
};

impl ProcessKho {
    fn check_span(&self, range: FrameRange) -> Result<(), KhoError> {
        let span = self.span();
        if span.covers(range) { Ok(()) } else { Err(KhoError::OutOfRange { range, span }) }
    }

    fn check_allocated(&self, range: FrameRange) -> Result<(), KhoError> {
        let allocated = self.arena.allocated().covers(range);
        if allocated { Ok(()) } else { Err(KhoError::NotAllocated { range }) }
    }
}

impl Memory for ProcessKho {
    /// The arena and all numbers that segments can have.
    fn span(&self) -> FrameRange {
        let end = segments::numbers(self.arena.capacity()).end();
        FrameRange::from_bounds(1, end).unwrap_or(segments::numbers(FrameCount::ONE))
    }

    /// None: what survives a new kernel is files, not frames.
    fn scratch(&self) -> &[FrameRange] {
        &[]
    }

    fn alloc(&mut self, want: FrameCount) -> Result<FrameRange, KhoError> {
        self.change()?;
        self.arena.alloc(want)
    }

    fn free(&mut self, range: FrameRange) -> Result<(), KhoError> {
        self.change()?;
        self.check_span(range)?;
        if self.tracker.first_overlap(&self.arena, range)?.is_some() {
            return Err(KhoError::StillPreserved { range });
        }
        self.check_allocated(range)?;
        self.arena.free(range);
        Ok(())
    }

    fn preserve(&mut self, range: FrameRange) -> Result<(), KhoError> {
        self.change()?;
        self.check_span(range)?;
        self.check_allocated(range)?;
        self.tracker.preserve(&mut self.arena, range)
    }

    fn unpreserve(&mut self, range: FrameRange) -> Result<(), KhoError> {
        self.change()?;
        self.check_span(range)?;
        let segment = self.segments.file(range).is_some();
        if self.claims.waits_for(range) && !segment {
            return Err(KhoError::NotReclaimed { range });
        }
        self.tracker.unpreserve(&mut self.arena, range)?;
        self.claims.spend(range);
        Ok(())
    }

    /// Of frames of the arena only: a segment crosses because the carrier takes its file.
    fn is_preserved(&self, range: FrameRange) -> bool {
        self.tracker.covers(&self.arena, range).unwrap_or(false)
    }

    fn read(&self, range: FrameRange) -> Result<&[u8], KhoError> {
        self.check_span(range)?;
        self.check_allocated(range)?;
        self.arena.bytes(range).ok_or(KhoError::NotAllocated { range })
    }

    fn write(&mut self, at: PhysAddr, bytes: &[u8]) -> Result<(), KhoError> {
        self.change()?;
        let len = ByteLen::of(bytes.len());
        if !at.get().is_multiple_of(8) || !len.get().is_multiple_of(8) {
            return Err(KhoError::Unaligned { at, len });
        }
        let Some(beyond) = len.get().checked_sub(1) else { return Ok(()) };
        let end = at.checked_add(ByteLen::new(beyond)).map_or(PFN_END, |last| last.frame().get() + 1);
        if let Some(range) = FrameRange::from_bounds(at.frame().get(), end) {
            self.check_span(range)?;
            self.check_allocated(range)?;
            self.arena.put(at, bytes);
        }
        Ok(())
    }

    fn reclaim(&mut self, range: FrameRange) -> Result<(), KhoError> {
        self.check_span(range)?;
        self.claims.reclaim(range)
    }

    /// Takes a [`SegmentFile`](crate::process::SegmentFile); see [`process::attach`](crate::process::attach).
    fn attach(&mut self, file: &dyn Any, frames: FrameCount) -> Result<FrameRange, KhoError> {
        let file = of_this_backend(file)?.clone();
        self.change()?;
        let Self { arena, segments, .. } = self;
        let range = segments.add(file, frames)?;
        let count = segments.iter().len();
        if let Err(error) = arena.fit_table(&mut segments.table, count) {
            segments.remove(range);
            return Err(error);
        }
        self.edition += 1;
        Ok(range)
    }

    fn detach(&mut self, segment: FrameRange) -> Result<(), KhoError> {
        self.change()?;
        let Self { arena, segments, .. } = self;
        if !segments.remove(segment) {
            return Err(KhoError::NotAttached { range: segment });
        }
        let count = segments.iter().len();
        arena.fit_table(&mut segments.table, count)?;
        self.claims.forget(segment);
        self.edition += 1;
        Ok(())
    }

    fn attached(&self, segment: FrameRange) -> Result<&dyn Any, KhoError> {
        let file = self.segments.file(segment).ok_or(KhoError::NotAttached { range: segment })?;
        Ok(file)
    }

    fn forgo(&mut self, range: FrameRange) -> Result<(), KhoError> {
        self.check_span(range)?;
        self.claims.forgo(range)
    }
}

impl Kho for ProcessKho {
    fn generation(&self) -> Generation {
        self.generation
    }

    fn publish(&mut self, root: Option<Root>) -> Result<(), KhoError> {
        self.change()?;
        self.arena.put_root(root);
        self.root = root;
        Ok(())
    }

    fn root(&self) -> Option<Root> {
        self.root
    }

    fn preserved(&self) -> Result<Vec<FrameRange>, KhoError> {
        self.tracker.runs(&self.arena)
    }

    fn segments(&self) -> Vec<FrameRange> {
        self.segments.iter().map(|(range, _)| range).collect()
    }

    fn word(&self) -> Result<Word, KhoError> {
        shared::load(self.page.atomic())
    }

    fn swap(&mut self, from: Word, to: Word) -> Result<(), KhoError> {
        let Some(standing) = self.outcome(from, to) else { return Err(self.refuse(from)) };
        if matches!(self.standing, Standing::Running(_)) && to.holding() == Holding::Offered {
            // It may be the first change since the commit.
            self.change()?;
            self.seal(from);
        }
        shared::swap(self.page.atomic(), from, to)?;
        if matches!(self.standing, Standing::Adopting(_)) {
            self.generation += 1;
        }
        self.standing = standing;
        Ok(())
    }
}
