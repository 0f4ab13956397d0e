//! The bytes of the machine's memory, as one party sees them.
//!
//! Only frames that somebody wrote take space. A copy shares them all until one side writes, and then all but the
//! frame that is written. What was never written is the **background**: zero when the machine is new, and
//! **poison** after a reboot, one word over and over that names the boot which destroyed what had been there.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;

use crate::ranges::RangeSet;
use crate::{ByteLen, FRAME_SIZE, FrameRange, Pfn, PhysAddr};

pub(super) type Frame = [u8; FRAME_SIZE];

/// What an allocated frame holds before somebody writes it.
pub(super) static ZERO: Frame = [0; FRAME_SIZE];

/// "POISON" in the upper bytes of every word that a reboot destroyed.
const POISON: u64 = 0x504F_4953_4F4E_0000;

/// The word with which boot number `boot` (from 1) overwrites every frame that was not handed over.
pub const fn poison(boot: u64) -> u64 {
    POISON | (boot & 0xFFFF)
}

#[derive(Clone, Debug)]
pub(super) struct Ram {
    written: Arc<BTreeMap<u64, Arc<Frame>>>,
    background: Option<Arc<Frame>>,
}

impl Ram {
    /// Memory that nobody wrote since boot number `boot`, from 0.
    pub(super) fn blank(boot: u64) -> Self {
        let background = (boot > 0).then(|| {
            let mut frame = ZERO;
            let (words, _) = frame.as_chunks_mut();
            words.fill(poison(boot).to_le_bytes());
            Arc::new(frame)
        });
        Self { written: Arc::default(), background }
    }

    /// The same bytes in `kept`, and poison of boot number `boot` elsewhere.
    pub(super) fn after_boot(&self, kept: &RangeSet, boot: u64) -> Self {
        let written = self
            .written
            .iter()
            .filter(|&(&number, _)| Pfn::new(number).is_some_and(|pfn| kept.contains(pfn)));
        let written = written.map(|(&number, frame)| (number, Arc::clone(frame))).collect();
        Self { written: Arc::new(written), ..Self::blank(boot) }
    }

    /// The frame's bytes if somebody wrote it.
    pub(super) fn written(&self, pfn: Pfn) -> Option<&Frame> {
        self.written.get(&pfn.get()).map(|frame| &**frame)
    }

    /// The frame as the memory bus would show it.
    pub(super) fn frame(&self, pfn: Pfn) -> &Frame {
        self.written(pfn).or(self.background.as_deref()).unwrap_or(&ZERO)
    }

    /// The frame to be written; zeroed if nobody wrote it so far.
    pub(super) fn frame_mut(&mut self, pfn: Pfn) -> &mut Frame {
        let frames = Arc::make_mut(&mut self.written);
        Arc::make_mut(frames.entry(pfn.get()).or_insert_with(|| Arc::new(ZERO)))
    }

    /// Writes zeros all over the frame.
    pub(super) fn clear(&mut self, pfn: Pfn) {
        Arc::make_mut(&mut self.written).insert(pfn.get(), Arc::new(ZERO));
    }

    /// Changes bytes that end with the frame at the latest.
    pub(super) fn store(&mut self, at: PhysAddr, bytes: &[u8]) {
        let frame = self.frame_mut(at.frame());
        let place = frame.get_mut(at.offset()..at.offset() + bytes.len());
        assert!(place.is_some(), "a store at {at} reaches into the next frame");
        if let Some(place) = place {
            place.copy_from_slice(bytes);
        }
    }

    /// Forgets what was written in `range`.
    pub(super) fn forget(&mut self, range: FrameRange) {
        let numbers = range.start().get()..range.end();
        while let Some((&number, _)) = self.written.range(numbers.clone()).next() {
            Arc::make_mut(&mut self.written).remove(&number);
        }
    }
}

/// `bytes` from `at` on, cut where frames end. All of them must have addresses.
pub(super) fn pieces(at: PhysAddr, bytes: &[u8]) -> impl Iterator<Item = (PhysAddr, &[u8])> {
    let (head, rest) = bytes.split_at(bytes.len().min(FRAME_SIZE - at.offset()));
    let first_whole = at.get().wrapping_add(ByteLen::of(head.len()).get());
    let whole = (first_whole..).step_by(FRAME_SIZE).map(PhysAddr::new).zip(rest.chunks(FRAME_SIZE));
    core::iter::once((at, head)).chain(whole)
}
