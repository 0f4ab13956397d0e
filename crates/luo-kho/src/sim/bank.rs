//! One party's memory: its bytes and its allocator, and the frames that it lends to the tracker.

use super::faults::Call;
use super::frames::Frames;
use super::machine::Machine;
use super::ram::{Frame, Ram, ZERO, pieces};
use super::state::Party;
use crate::tracker::NodeStore;
use crate::{FRAME_SIZE, FrameCount, FrameRange, KhoError, PFN_END, Pfn, PhysAddr};

/// Bytes of one store.
const WORD: usize = 8;

pub(super) struct Bank {
    pub(super) machine: Machine,
    pub(super) party: Party,
    pub(super) ram: Ram,
    pub(super) frames: Frames,
}

impl Bank {
    /// Memory in which everything is free.
    pub(super) fn new(machine: Machine, party: Party, ram: Ram) -> Self {
        let salt = crate::ByteLen::of(party.get()).get();
        let frames = Frames::all_free(machine.layout(), salt);
        Self { machine, party, ram, frames }
    }

    pub(super) fn call(&self, call: Call) -> Result<(), KhoError> {
        self.machine.lock().call(self.party, call)
    }

    pub(super) fn change(&self, call: Call) -> Result<(), KhoError> {
        self.machine.lock().change(self.party, call)
    }

    pub(super) fn check_span(&self, range: FrameRange) -> Result<(), KhoError> {
        let span = self.machine.layout().span;
        if span.covers(range) { Ok(()) } else { Err(KhoError::OutOfRange { range, span }) }
    }

    pub(super) fn check_allocated(&self, range: FrameRange) -> Result<(), KhoError> {
        let allocated = self.frames.allocated().covers(range);
        if allocated { Ok(()) } else { Err(KhoError::NotAllocated { range }) }
    }

    /// What an allocated frame holds.
    pub(super) fn contents(&self, pfn: Pfn) -> &Frame {
        self.ram.written(pfn).unwrap_or(&ZERO)
    }

    pub(super) fn alloc(&mut self, want: FrameCount) -> Result<FrameRange, KhoError> {
        let range = self.frames.alloc(self.machine.layout(), want).ok_or(KhoError::OutOfFrames { want })?;
        // What stood there before, in another allocation or another program, is gone.
        self.ram.forget(range);
        Ok(range)
    }

    pub(super) fn free(&mut self, range: FrameRange) {
        self.frames.free(range);
        self.ram.forget(range);
    }

    /// Stores whole words into allocated frames, as many as the party lives to make.
    pub(super) fn store_words(&mut self, at: PhysAddr, bytes: &[u8]) -> Result<(), KhoError> {
        let words = crate::ByteLen::of(bytes.len() / WORD).get();
        let (made, outcome) = self.machine.lock().stores(self.party, words);
        let made = usize::try_from(made).unwrap_or(usize::MAX).saturating_mul(WORD).min(bytes.len());
        let (bytes, _lost) = bytes.split_at(made);
        for (at, piece) in pieces(at, bytes) {
            self.ram.store(at, piece);
        }
        outcome
    }

    /// The frames that `len` bytes from `at` on touch; `None` for no bytes.
    pub(super) fn touched(&self, at: PhysAddr, len: usize) -> Result<Option<FrameRange>, KhoError> {
        let Some(beyond) = len.checked_sub(1) else { return Ok(None) };
        let start = at.frame().get();
        let end = match at.checked_add(crate::ByteLen::of(beyond)) {
            Some(last) => last.frame().get() + 1,
            None => PFN_END,
        };
        let range = FrameRange::from_bounds(start, end);
        if let Some(range) = range {
            self.check_span(range)?;
        }
        Ok(range)
    }
}

impl NodeStore for Bank {
    fn take(&mut self) -> Result<Pfn, KhoError> {
        self.call(Call::TakeNode)?;
        let want = FrameCount::ONE;
        let node = self.frames.take(self.machine.layout()).ok_or(KhoError::OutOfFrames { want })?;
        self.ram.clear(node);
        Ok(node)
    }

    fn give(&mut self, node: Pfn) {
        if self.machine.is_alive(self.party) {
            self.frames.give(node);
        }
    }

    fn node(&self, node: Pfn) -> Result<&[u8; FRAME_SIZE], KhoError> {
        self.check_span(node.as_range())?;
        Ok(self.ram.frame(node))
    }

    fn store(&mut self, at: PhysAddr, word: u64) -> Result<(), KhoError> {
        self.check_span(at.frame().as_range())?;
        self.store_words(at, &word.to_le_bytes())
    }
}
