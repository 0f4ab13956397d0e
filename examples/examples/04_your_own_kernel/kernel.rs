//! A toy kernel: what memory has to do to outlive its user, and nothing else. Only `core` and `alloc`.
//!
//! - **RAM** is one piece of frames; frame 0 stays free, because no structure is called 0.
//! - Each frame is free or **allocated**, and may be **preserved**; one that was inherited is **claimed** or not.
//! - A **reboot** makes the next kernel: it has what was preserved, and zeros everywhere else. The ownership word lies
//!   in a page that both kernels see.

use alloc::borrow::Cow;
use alloc::rc::Rc;
use alloc::vec;
use alloc::vec::Vec;
use core::any::Any;
use core::cell::Cell;

use luo_kho::carrier::{Carrier, CarrierError, Conveyance, DescriptorKind};
use luo_kho::{
    ByteLen, Departed, FRAME_SIZE, FrameCount, FrameRange, Generation, Kho, KhoError, Memory, Offer,
    PhysAddr, Root, Word,
};

/// Frames of RAM: 1 MiB.
const FRAMES: u64 = 256;

/// One running kernel.
pub(crate) struct Kernel {
    ram: Vec<u8>,
    frames: Vec<Frame>,
    root: Option<Root>,
    word: Rc<Cell<Word>>,
    generation: Generation,
    /// Whether this kernel runs the machine, as far as it knows.
    owner: bool,
}

#[derive(Clone, Copy, Default)]
struct Frame {
    allocated: bool,
    preserved: bool,
    claimed: bool,
}

/// Takes an offer across a reboot, and then calls the next kernel's program.
pub(crate) struct Reboot<F>(pub(crate) F);

const fn span() -> FrameRange {
    match FrameRange::from_bounds(1, FRAMES) {
        Some(span) => span,
        None => unreachable!(),
    }
}

fn bytes(range: FrameRange) -> core::ops::Range<usize> {
    let at = |frame: u64| usize::try_from(frame).map_or(usize::MAX, |frame| frame * FRAME_SIZE);
    at(range.start().get())..at(range.end())
}

impl Kernel {
    /// A machine that was just switched on.
    pub(crate) fn boot() -> Self {
        let frames = vec![Frame::default(); bytes(span()).end / FRAME_SIZE];
        let (ram, word) = (vec![0; bytes(span()).end], Rc::new(Cell::new(Word::VACANT)));
        Self { ram, frames, root: None, word, generation: 0, owner: true }
    }

    /// The next kernel.
    fn reboot(&self) -> Self {
        let mut next = Self { word: Rc::clone(&self.word), root: self.root, ..Self::boot() };
        (next.owner, next.generation) = (false, self.generation + 1);
        let old = self.frames.iter().zip(self.ram.chunks(FRAME_SIZE));
        let new = next.frames.iter_mut().zip(next.ram.chunks_mut(FRAME_SIZE));
        for ((frame, bytes), (new_frame, new_bytes)) in old.zip(new).filter(|((frame, _), _)| frame.preserved)
        {
            *new_frame = Frame { claimed: false, ..*frame };
            new_bytes.copy_from_slice(bytes);
        }
        next
    }

    /// The frames of a range that lies in RAM and is allocated.
    fn of(&self, range: FrameRange) -> Result<&[Frame], KhoError> {
        let numbers = bytes(range).start / FRAME_SIZE..bytes(range).end / FRAME_SIZE;
        let outside = KhoError::OutOfRange { range, span: span() };
        let frames = self.frames.get(numbers).filter(|_| span().covers(range)).ok_or(outside)?;
        if frames.iter().all(|frame| frame.allocated) {
            Ok(frames)
        } else {
            Err(KhoError::NotAllocated { range })
        }
    }

    fn change(&mut self, range: FrameRange, change: impl FnMut(&mut Frame)) {
        let (before, count) = (bytes(range).start / FRAME_SIZE, bytes(range).len() / FRAME_SIZE);
        self.frames.iter_mut().skip(before).take(count).for_each(change);
    }

    fn must_own(&self) -> Result<(), KhoError> {
        if self.owner { Ok(()) } else { Err(KhoError::NotOwner { word: self.word.get() }) }
    }
}

impl Memory for Kernel {
    fn span(&self) -> FrameRange {
        span()
    }

    fn scratch(&self) -> &[FrameRange] {
        &[]
    }

    /// The first free frames, as many of the wanted ones as lie in one piece.
    fn alloc(&mut self, want: FrameCount) -> Result<FrameRange, KhoError> {
        self.must_own()?;
        let free = |(_, frame): &(u64, &Frame)| !frame.allocated;
        let mut after = (0..).zip(&self.frames).skip(1).skip_while(|frame| !free(frame)).take_while(free);
        let start = after.next().map_or(FRAMES, |(start, _)| start);
        let end = after.map(|(frame, _)| frame + 1).take_while(|end| end - start <= want.get()).last();
        let range = FrameRange::from_bounds(start, end.unwrap_or(start + 1));
        let range = range.filter(|range| span().covers(*range)).ok_or(KhoError::OutOfFrames { want })?;
        self.change(range, |frame| frame.allocated = true);
        self.ram.get_mut(bytes(range)).unwrap_or_default().fill(0);
        Ok(range)
    }

    fn free(&mut self, range: FrameRange) -> Result<(), KhoError> {
        self.must_own()?;
        if self.of(range)?.iter().any(|frame| frame.preserved) {
            return Err(KhoError::StillPreserved { range });
        }
        self.change(range, |frame| *frame = Frame::default());
        Ok(())
    }

    fn preserve(&mut self, range: FrameRange) -> Result<(), KhoError> {
        self.must_own()?;
        let frames = self.of(range)?;
        if frames.iter().all(|frame| frame.preserved) {
            return Err(KhoError::AlreadyPreserved { range });
        }
        if frames.iter().any(|frame| frame.preserved) {
            return Err(KhoError::Overlap { range, with: range });
        }
        self.change(range, |frame| (frame.preserved, frame.claimed) = (true, true));
        Ok(())
    }

    fn unpreserve(&mut self, range: FrameRange) -> Result<(), KhoError> {
        self.must_own()?;
        if !self.is_preserved(range) {
            return Err(KhoError::NotPreserved { range });
        }
        if self.of(range)?.iter().any(|frame| !frame.claimed) {
            return Err(KhoError::NotReclaimed { range });
        }
        self.change(range, |frame| (frame.preserved, frame.claimed) = (false, false));
        Ok(())
    }

    fn is_preserved(&self, range: FrameRange) -> bool {
        self.of(range).is_ok_and(|frames| frames.iter().all(|frame| frame.preserved))
    }

    fn read(&self, range: FrameRange) -> Result<&[u8], KhoError> {
        self.of(range).map(|_| self.ram.get(bytes(range)).unwrap_or_default())
    }

    fn write(&mut self, at: PhysAddr, words: &[u8]) -> Result<(), KhoError> {
        self.must_own()?;
        let len = ByteLen::of(words.len());
        if !at.get().is_multiple_of(8) || !words.len().is_multiple_of(8) {
            return Err(KhoError::Unaligned { at, len });
        }
        let frames = ByteLen::of(at.offset() + words.len()).frames();
        let outside = KhoError::OutOfRange { range: at.frame().as_range(), span: span() };
        let range = FrameRange::new(at.frame(), frames).ok_or(outside)?;
        self.of(range)?;
        let ram = self.ram.get_mut(bytes(range)).unwrap_or_default();
        for (old, new) in ram.iter_mut().skip(at.offset()).zip(words) {
            *old = *new;
        }
        Ok(())
    }

    fn reclaim(&mut self, range: FrameRange) -> Result<(), KhoError> {
        if !self.is_preserved(range) {
            return Err(KhoError::NotPreserved { range });
        }
        if self.of(range)?.iter().any(|frame| frame.claimed) {
            return Err(KhoError::AlreadyReclaimed { range });
        }
        self.change(range, |frame| frame.claimed = true);
        Ok(())
    }

    fn attach(&mut self, _: &dyn Any, _: FrameCount) -> Result<FrameRange, KhoError> {
        Err(KhoError::NotAttachable { why: "this kernel keeps no files" })
    }

    fn detach(&mut self, segment: FrameRange) -> Result<(), KhoError> {
        Err(KhoError::NotAttached { range: segment })
    }

    fn attached(&self, segment: FrameRange) -> Result<&dyn Any, KhoError> {
        Err(KhoError::NotAttached { range: segment })
    }

    fn forgo(&mut self, range: FrameRange) -> Result<(), KhoError> {
        if !self.of(range)?.iter().all(|frame| frame.claimed) {
            return Err(KhoError::NotReclaimed { range });
        }
        self.change(range, |frame| frame.claimed = false);
        Ok(())
    }
}

impl Kho for Kernel {
    fn generation(&self) -> Generation {
        self.generation
    }

    fn publish(&mut self, root: Option<Root>) -> Result<(), KhoError> {
        self.must_own()?;
        self.root = root;
        Ok(())
    }

    fn root(&self) -> Option<Root> {
        self.root
    }

    fn preserved(&self) -> Result<Vec<FrameRange>, KhoError> {
        let mut runs: Vec<FrameRange> = Vec::new();
        for frame in span().frames().filter(|frame| self.is_preserved(frame.as_range())) {
            let start = match runs.last() {
                Some(last) if last.end() == frame.get() => {
                    runs.pop().map_or(frame.get(), |last| last.start().get())
                }
                _ => frame.get(),
            };
            runs.extend(FrameRange::from_bounds(start, frame.get() + 1));
        }
        Ok(runs)
    }

    fn segments(&self) -> Vec<FrameRange> {
        Vec::new()
    }

    fn word(&self) -> Result<Word, KhoError> {
        Ok(self.word.get())
    }

    /// The machine has one processor, so that nobody comes between look and change.
    fn swap(&mut self, from: Word, to: Word) -> Result<(), KhoError> {
        let found = self.word.get();
        if found != from {
            return Err(KhoError::SwapLost { expected: from, found });
        }
        self.word.set(to);
        self.owner = matches!(to.holding(), luo_kho::ownership::Holding::Running);
        Ok(())
    }
}

impl<F: FnMut(Kernel) -> Result<(), CarrierError>> Carrier<Kernel> for Reboot<F> {
    fn name(&self) -> &'static str {
        "reboot"
    }

    fn conveys(&self, _: DescriptorKind) -> Conveyance {
        Conveyance::Refused { reason: Cow::Borrowed("only frames survive a reboot") }
    }

    fn prepare(&mut self, _: &mut Kernel) -> Result<(), CarrierError> {
        Ok(())
    }

    fn cancel(&mut self, _: &mut Kernel) {}

    fn hand_over(&mut self, kernel: &mut Kernel, offer: Offer) -> Result<Departed, CarrierError> {
        let answer = (self.0)(kernel.reboot());
        match (Departed::witness(kernel, offer)?, answer) {
            (Some(departed), _) => Ok(departed),
            (None, Err(refusal)) => Err(refusal),
            (None, Ok(())) => Err(CarrierError::Deadline { awaited: "commit" }),
        }
    }
}
