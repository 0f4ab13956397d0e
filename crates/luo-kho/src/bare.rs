//! A bare memory for the tests of structures: it counts its calls, fails the one it is told to, and can have a span
//! of many TiB, because frames that nobody wrote take no room.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use core::any::Any;
use core::cell::Cell;

use crate::ranges::RangeSet;
use crate::{ByteLen, FRAME_SIZE, FrameCount, FrameRange, KhoError, Memory, PhysAddr};

static ZEROS: [u8; FRAME_SIZE] = [0; FRAME_SIZE];

/// What a memory holds: equal before and after what left no trace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct World {
    allocated: RangeSet,
    preserved: RangeSet,
    reclaimed: RangeSet,
    bytes: BTreeMap<u64, Box<[u8]>>,
}

#[derive(Debug)]
pub(crate) struct Bare {
    span: FrameRange,
    world: World,
    next: u64,
    /// The most frames that one `alloc` gives.
    run: u64,
    /// Frames left out behind each `alloc`.
    gap: u64,
    calls: Cell<u64>,
    fail: Cell<Option<u64>>,
}

impl Bare {
    /// Gives `run` frames at once and leaves `gap` out behind them. Begins with frame 0.
    pub(crate) fn new(frames: u64, run: u64, gap: u64) -> Self {
        let span = FrameRange::from_bounds(0, frames).unwrap();
        let (calls, fail) = (Cell::new(0), Cell::new(None));
        Self { span, world: World::default(), next: 0, run, gap, calls, fail }
    }

    pub(crate) fn world(&self) -> World {
        self.world.clone()
    }

    /// Frames that somebody wrote.
    pub(crate) fn touched(&self) -> usize {
        self.world.bytes.len()
    }

    /// Makes the n-th call from now on fail, once.
    pub(crate) fn fail_nth(&mut self, nth: u64) {
        self.calls.set(0);
        self.fail.set(Some(nth));
    }

    pub(crate) fn fail_none(&mut self) {
        self.fail.set(None);
    }

    /// The far side of a handover: what was not preserved is gone, and nothing is claimed.
    pub(crate) fn hand_over(&mut self) {
        let preserved = self.world.preserved.clone();
        self.world
            .bytes
            .retain(|&frame, _| preserved.covers(FrameRange::from_bounds(frame, frame + 1).unwrap()));
        self.world.allocated = preserved;
        self.world.reclaimed = RangeSet::default();
    }

    /// Changes bytes behind everybody's back.
    pub(crate) fn poke(&mut self, at: PhysAddr, bytes: &[u8]) {
        let frame = self.world.bytes.entry(at.frame().get()).or_insert_with(|| Box::new(ZEROS));
        frame[at.offset()..][..bytes.len()].copy_from_slice(bytes);
    }

    fn call(&self, call: &'static str) -> Result<(), KhoError> {
        let nth = self.calls.replace(self.calls.get() + 1);
        if self.fail.get() == Some(nth) { Err(KhoError::Injected { call, nth }) } else { Ok(()) }
    }

    fn check(&self, range: FrameRange) -> Result<(), KhoError> {
        if !self.span.covers(range) {
            return Err(KhoError::OutOfRange { range, span: self.span });
        }
        if self.world.allocated.covers(range) { Ok(()) } else { Err(KhoError::NotAllocated { range }) }
    }
}

impl Memory for Bare {
    fn span(&self) -> FrameRange {
        self.span
    }

    fn scratch(&self) -> &[FrameRange] {
        &[]
    }

    fn alloc(&mut self, want: FrameCount) -> Result<FrameRange, KhoError> {
        self.call("alloc")?;
        let end = self.next + want.get().min(self.run);
        let range = FrameRange::from_bounds(self.next, end.min(self.span.end()))
            .ok_or(KhoError::OutOfFrames { want })?;
        self.next = range.end() + self.gap;
        self.world.allocated.insert(range);
        Ok(range)
    }

    fn free(&mut self, range: FrameRange) -> Result<(), KhoError> {
        self.call("free")?;
        self.check(range)?;
        if self.world.preserved.meets(range) {
            return Err(KhoError::StillPreserved { range });
        }
        self.world.allocated.remove(range);
        self.world.bytes.retain(|&frame, _| !(range.start().get()..range.end()).contains(&frame));
        Ok(())
    }

    fn preserve(&mut self, range: FrameRange) -> Result<(), KhoError> {
        self.call("preserve")?;
        self.check(range)?;
        if self.world.preserved.meets(range) {
            return Err(KhoError::AlreadyPreserved { range });
        }
        self.world.preserved.insert(range);
        self.world.reclaimed.insert(range);
        Ok(())
    }

    fn unpreserve(&mut self, range: FrameRange) -> Result<(), KhoError> {
        self.call("unpreserve")?;
        if !self.world.preserved.covers(range) {
            return Err(KhoError::NotPreserved { range });
        }
        if !self.world.reclaimed.covers(range) {
            return Err(KhoError::NotReclaimed { range });
        }
        self.world.reclaimed.remove(range);
        self.world.preserved.remove(range);
        Ok(())
    }

    fn is_preserved(&self, range: FrameRange) -> bool {
        self.world.preserved.covers(range)
    }

    /// Lends one frame, however many are wanted.
    fn read(&self, range: FrameRange) -> Result<&[u8], KhoError> {
        self.call("read")?;
        self.check(range)?;
        Ok(self.world.bytes.get(&range.start().get()).map_or(&ZEROS, |bytes| bytes))
    }

    fn write(&mut self, at: PhysAddr, bytes: &[u8]) -> Result<(), KhoError> {
        self.call("write")?;
        let len = ByteLen::of(bytes.len());
        if !at.get().is_multiple_of(8) || !bytes.len().is_multiple_of(8) {
            return Err(KhoError::Unaligned { at, len });
        }
        let frames = ByteLen::new(len.get() + at.offset() as u64).frames();
        self.check(FrameRange::new(at.frame(), frames).unwrap())?;
        for (word, bytes) in (0..).zip(bytes.chunks(8)) {
            self.poke(PhysAddr::new(at.get() + word * 8), bytes);
        }
        Ok(())
    }

    fn reclaim(&mut self, range: FrameRange) -> Result<(), KhoError> {
        self.call("reclaim")?;
        if !self.world.preserved.covers(range) {
            return Err(KhoError::NotPreserved { range });
        }
        if self.world.reclaimed.meets(range) {
            return Err(KhoError::AlreadyReclaimed { range });
        }
        self.world.reclaimed.insert(range);
        Ok(())
    }

    fn forgo(&mut self, range: FrameRange) -> Result<(), KhoError> {
        self.call("forgo")?;
        if !self.world.reclaimed.covers(range) {
            return Err(KhoError::NotReclaimed { range });
        }
        self.world.reclaimed.remove(range);
        Ok(())
    }

    fn attach(&mut self, _file: &dyn Any, _frames: FrameCount) -> Result<FrameRange, KhoError> {
        Err(KhoError::NotAttachable { why: "a bare memory has no files" })
    }

    fn detach(&mut self, segment: FrameRange) -> Result<(), KhoError> {
        Err(KhoError::NotAttached { range: segment })
    }

    fn attached(&self, segment: FrameRange) -> Result<&dyn Any, KhoError> {
        Err(KhoError::NotAttached { range: segment })
    }
}
