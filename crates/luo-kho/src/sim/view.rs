//! One party's view of the machine, as [`Memory`] and [`Kho`].

use alloc::vec::Vec;
use core::any::Any;
use core::fmt;

use super::bank::Bank;
use super::config::NumaNode;
use super::faults::Call;
use super::files::{Segments, SimFile};
use super::machine::Machine;
use super::oracle::Census;
use super::ram::Frame;
use super::state::{Image, Party};
use crate::claims::Claims;
use crate::tracker::Tracker;
use crate::{ByteLen, FrameCount, FrameRange, Generation, Kho, KhoError, Memory, Pfn, PhysAddr, Root, Word};

/// The memory of a simulated machine, as one program sees it.
///
/// What it changes is its own until it makes an offer; whoever opens the offer starts from exactly those bytes. From
/// the commit on, the winner's view is the machine's memory. A program that died gets [`KhoError::Crashed`] from
/// every call, and none of them has an effect.
pub struct SimKho {
    bank: Bank,
    /// `None` for a guardian, which has no memory.
    tracker: Option<Tracker>,
    segments: Segments,
    root: Option<Root>,
    generation: Generation,
    claims: Claims,
}

impl SimKho {
    pub(super) fn founder(bank: Bank, tracker: Tracker) -> Self {
        let (segments, claims) = (Segments::default(), Claims::default());
        Self { bank, tracker: Some(tracker), segments, root: None, generation: 0, claims }
    }

    pub(super) fn adopter(
        bank: Bank,
        tracker: Tracker,
        inherited: &[FrameRange],
        segments: Segments,
        (root, generation): (Option<Root>, Generation),
    ) -> Self {
        let claims = Claims::on(inherited.iter().copied().chain(segments.ranges()));
        Self { bank, tracker: Some(tracker), segments, root, generation, claims }
    }

    pub(super) fn guardian(bank: Bank) -> Self {
        let (segments, claims) = (Segments::default(), Claims::default());
        Self { bank, tracker: None, segments, root: None, generation: 0, claims }
    }

    /// The machine that this is a view of.
    pub fn machine(&self) -> &Machine {
        &self.bank.machine
    }

    /// Who this is, for [`Machine::kill`].
    pub fn party(&self) -> Party {
        self.bank.party
    }

    /// From now on allocates from this node as long as it has free frames, and then from the others; with `None`,
    /// from any.
    pub fn prefer_node(&mut self, node: Option<NumaNode>) {
        self.bank.frames.near = node;
    }

    /// The bytes of any frame, allocated or not, without a call that is counted; `None` outside the machine. Frames
    /// that a reboot destroyed hold [`poison`](super::poison).
    pub fn peek(&self, pfn: Pfn) -> Option<&[u8; crate::FRAME_SIZE]> {
        self.machine().span().contains(pfn).then(|| {
            let allocated = self.bank.frames.allocated().contains(pfn);
            if allocated { self.bank.contents(pfn) } else { self.bank.ram.frame(pfn) }
        })
    }

    /// Which frames are taken, without a call that is counted. Equal before and after: nothing leaked.
    ///
    /// # Errors
    ///
    /// [`KhoError::Tracker`] if the tracker cannot be read.
    ///
    /// # Panics
    ///
    /// If the frames do not add up: a bug in the simulated machine or in the tracker.
    pub fn census(&self) -> Result<Census, KhoError> {
        let frames = &self.bank.frames;
        let preserved = match &self.tracker {
            Some(tracker) => tracker.runs(&self.bank)?,
            None => Vec::new(),
        };
        let tracker_nodes = match &self.tracker {
            Some(tracker) => ByteLen::of(tracker.nodes(&self.bank)?.len()).get(),
            None => 0,
        };
        if self.machine().is_alive(self.party()) {
            let usable = self.machine().layout().usable.frames();
            assert_eq!(frames.free_frames() + frames.allocated().frames() + frames.nodes(), usable);
            assert_eq!(
                frames.nodes(),
                tracker_nodes,
                "the tracker lost nodes, or has some that it did not take"
            );
            assert!(
                preserved.iter().all(|&run| frames.allocated().covers(run)),
                "preserved but not allocated"
            );
        }
        let allocated = frames.allocated().iter().collect();
        let claimed = self.claims.claimed();
        let segments = self.segments.ranges();
        Ok(Census { allocated, preserved, claimed, segments, tracker_nodes, root: self.root })
    }

    /// Frames of the machine, or of a segment.
    fn check_named(&self, range: FrameRange) -> Result<(), KhoError> {
        if self.segments.ranges().iter().any(|segment| segment.covers(range)) {
            return Ok(());
        }
        self.bank.check_span(range)
    }

    /// All that a swap has to seal, should it be an offer.
    fn image(&self) -> Option<Image> {
        // A party without memory is never the holder, and so never makes an offer.
        let tracker = self.tracker.as_ref()?.root();
        let Self { root, generation, .. } = *self;
        let (ram, segments) = (self.bank.ram.clone(), self.segments.clone());
        Some(Image { ram, segments, tracker, root, generation, boot: 0 })
    }
}

impl Memory for SimKho {
    fn span(&self) -> FrameRange {
        self.machine().span()
    }

    fn scratch(&self) -> &[FrameRange] {
        &self.bank.machine.layout().scratch
    }

    fn alloc(&mut self, want: FrameCount) -> Result<FrameRange, KhoError> {
        self.bank.change(Call::Alloc)?;
        self.bank.alloc(want)
    }

    fn free(&mut self, range: FrameRange) -> Result<(), KhoError> {
        self.bank.change(Call::Free)?;
        self.bank.check_span(range)?;
        let Some(tracker) = &self.tracker else { return Err(KhoError::NotAllocated { range }) };
        if tracker.first_overlap(&self.bank, range)?.is_some() {
            return Err(KhoError::StillPreserved { range });
        }
        self.bank.check_allocated(range)?;
        self.bank.free(range);
        Ok(())
    }

    fn preserve(&mut self, range: FrameRange) -> Result<(), KhoError> {
        self.bank.change(Call::Preserve)?;
        self.bank.check_span(range)?;
        if let Some(scratch) = self.bank.machine.layout().scratch_at(range) {
            return Err(KhoError::InScratch { range, scratch });
        }
        let Some(tracker) = &mut self.tracker else { return Err(KhoError::NotAllocated { range }) };
        self.bank.check_allocated(range)?;
        tracker.preserve(&mut self.bank, range)
    }

    fn unpreserve(&mut self, range: FrameRange) -> Result<(), KhoError> {
        self.bank.change(Call::Unpreserve)?;
        self.bank.check_span(range)?;
        if self.claims.waits_for(range) {
            return Err(KhoError::NotReclaimed { range });
        }
        let Some(tracker) = &mut self.tracker else { return Err(KhoError::NotPreserved { range }) };
        tracker.unpreserve(&mut self.bank, range)?;
        self.claims.spend(range);
        Ok(())
    }

    fn is_preserved(&self, range: FrameRange) -> bool {
        let covers = |tracker: &Tracker| tracker.covers(&self.bank, range).unwrap_or(false);
        self.tracker.as_ref().is_some_and(covers)
    }

    fn read(&self, range: FrameRange) -> Result<&[u8], KhoError> {
        self.bank.call(Call::Read)?;
        self.bank.check_span(range)?;
        self.bank.check_allocated(range)?;
        let frame: &Frame = self.bank.contents(range.start());
        Ok(frame)
    }

    fn write(&mut self, at: PhysAddr, bytes: &[u8]) -> Result<(), KhoError> {
        self.bank.change(Call::Write)?;
        let len = ByteLen::of(bytes.len());
        if !at.get().is_multiple_of(8) || !len.get().is_multiple_of(8) {
            return Err(KhoError::Unaligned { at, len });
        }
        match self.bank.touched(at, bytes.len())? {
            Some(range) => self.bank.check_allocated(range)?,
            None => return Ok(()),
        }
        self.bank.store_words(at, bytes)
    }

    fn reclaim(&mut self, range: FrameRange) -> Result<(), KhoError> {
        self.bank.call(Call::Reclaim)?;
        self.check_named(range)?;
        self.claims.reclaim(range)
    }

    fn forgo(&mut self, range: FrameRange) -> Result<(), KhoError> {
        self.bank.call(Call::Forgo)?;
        self.check_named(range)?;
        self.claims.forgo(range)
    }

    /// Takes a [`SimFile`](super::SimFile).
    fn attach(&mut self, file: &dyn Any, frames: FrameCount) -> Result<FrameRange, KhoError> {
        self.bank.change(Call::Attach)?;
        let file = file.downcast_ref::<SimFile>().ok_or(KhoError::NO_SIM_FILE)?.clone();
        let above = self.span().end();
        self.segments.add(above, file, frames).ok_or(KhoError::OutOfFrames { want: frames })
    }

    fn detach(&mut self, segment: FrameRange) -> Result<(), KhoError> {
        self.bank.change(Call::Detach)?;
        if !self.segments.remove(segment) {
            return Err(KhoError::NotAttached { range: segment });
        }
        self.claims.forget(segment);
        Ok(())
    }

    fn attached(&self, segment: FrameRange) -> Result<&dyn Any, KhoError> {
        self.bank.call(Call::Attached)?;
        let file = self.segments.find(segment).ok_or(KhoError::NotAttached { range: segment })?;
        Ok(file)
    }
}

impl Kho for SimKho {
    fn generation(&self) -> Generation {
        self.generation
    }

    fn publish(&mut self, root: Option<Root>) -> Result<(), KhoError> {
        self.bank.change(if root.is_some() { Call::Publish } else { Call::Unpublish })?;
        let (made, outcome) = self.bank.machine.lock().stores(self.bank.party, 1);
        if made == 1 {
            self.root = root;
        }
        outcome
    }

    fn root(&self) -> Option<Root> {
        self.root
    }

    fn preserved(&self) -> Result<Vec<FrameRange>, KhoError> {
        self.bank.call(Call::Preserved)?;
        match &self.tracker {
            Some(tracker) => tracker.runs(&self.bank),
            None => Ok(Vec::new()),
        }
    }

    fn word(&self) -> Result<Word, KhoError> {
        let mut state = self.bank.machine.lock();
        state.call(self.bank.party, Call::Word)?;
        Ok(state.word)
    }

    fn swap(&mut self, from: Word, to: Word) -> Result<(), KhoError> {
        let generation = {
            let mut state = self.bank.machine.lock();
            state.swap(self.bank.party, from, to, || self.image())?;
            state.generation
        };
        self.generation = generation;
        Ok(())
    }

    fn segments(&self) -> Vec<FrameRange> {
        self.segments.ranges()
    }
}

impl fmt::Debug for SimKho {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimKho")
            .field("party", &self.party())
            .field("generation", &self.generation)
            .field("root", &self.root)
            .finish_non_exhaustive()
    }
}
