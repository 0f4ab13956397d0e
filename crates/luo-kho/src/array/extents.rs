//! Extents: the frames that hold items, in the order of the items.
//!
//! - An **extent** is a run of neighbouring frames. Extents that touch are one.
//! - An **entry** is how a piece of an extent is written down, one u64: the number of the first frame in the lower
//!   52 bits, the number of frames less one in the 12 bits above. So an entry names 1 to 4,096 frames.

use alloc::vec::Vec;

use super::stretch::Stretch;
use crate::{ByteLen, FRAME_BYTES, FrameCount, FrameRange, ORDER_MAX, PFN_END, Pfn, PhysAddr};

/// Frames that one entry can name: its 12 bits count them, less one.
pub(super) const ENTRY_FRAMES: u64 = 1 << (u64::BITS - ORDER_MAX as u32);

/// The extents of one array.
#[derive(Debug, Default)]
pub(super) struct Extents {
    ranges: Vec<FrameRange>,
    /// For each extent how many frames come before it.
    before: Vec<u64>,
    frames: u64,
}

/// The entry for at most [`ENTRY_FRAMES`] frames.
fn encode(frames: FrameRange) -> u64 {
    frames.start().get() | ((frames.count().get() - 1) << ORDER_MAX)
}

/// The frames that an entry names; `None` if they are not all below the last frame there can be.
pub(super) fn decode(entry: u64) -> Option<FrameRange> {
    let start = Pfn::new(entry & (PFN_END - 1))?;
    FrameRange::new(start, FrameCount::new((entry >> ORDER_MAX) + 1)?)
}

impl Extents {
    /// Adds frames behind all others.
    pub(super) fn push(&mut self, frames: FrameRange) {
        let count = frames.count().get();
        match self.ranges.last_mut() {
            Some(last) if last.end() == frames.start().get() => {
                *last = FrameRange::from_bounds(last.start().get(), frames.end()).unwrap_or(*last);
            }
            _ => {
                self.ranges.push(frames);
                self.before.push(self.frames);
            }
        }
        self.frames += count;
    }

    pub(super) fn ranges(&self) -> &[FrameRange] {
        &self.ranges
    }

    /// Frames in all extents.
    pub(super) fn frames(&self) -> u64 {
        self.frames
    }

    /// The fewest entries that name all extents, in order.
    pub(super) fn entries(&self) -> impl Iterator<Item = u64> {
        self.ranges.iter().flat_map(|extent| {
            let (mut start, end) = (extent.start().get(), extent.end());
            core::iter::from_fn(move || {
                let piece = FrameRange::from_bounds(start, end.min(start + ENTRY_FRAMES))?;
                start = piece.end();
                Some(encode(piece))
            })
        })
    }

    /// How many entries [`entries`](Self::entries) gives.
    pub(super) fn entry_count(&self) -> u64 {
        self.ranges.iter().map(|extent| extent.count().get().div_ceil(ENTRY_FRAMES)).sum()
    }

    /// Where the bytes `from..to` of the array lie, in order. Ends with the last frame.
    pub(super) fn stretches(&self, from: u64, to: u64) -> impl Iterator<Item = Stretch> {
        let first = self.before.partition_point(|&before| before <= from / FRAME_BYTES).saturating_sub(1);
        let extents = self.ranges.iter().zip(&self.before).skip(first);
        extents.map_while(move |(extent, before)| {
            // A frame number has 52 bits and the array's length in bytes 64: neither product wraps.
            let start = before * FRAME_BYTES;
            let end = (before + extent.count().get()).saturating_mul(FRAME_BYTES).min(to);
            let begin = start.max(from);
            let len = end.checked_sub(begin).filter(|&len| len > 0)?;
            let at = PhysAddr::new(extent.addr().get() + (begin - start));
            Some(Stretch { at, len: ByteLen::new(len) })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(start: u64, end: u64) -> FrameRange {
        FrameRange::from_bounds(start, end).unwrap()
    }

    fn extents(ranges: &[(u64, u64)]) -> Extents {
        let mut extents = Extents::default();
        for &(start, end) in ranges {
            extents.push(range(start, end));
        }
        extents
    }

    #[test]
    fn entries_round_trip_and_are_the_fewest() {
        for frames in [range(0, 1), range(7, 7 + ENTRY_FRAMES), range(PFN_END - 1, PFN_END)] {
            assert_eq!(decode(encode(frames)), Some(frames));
        }
        assert_eq!(encode(range(0x140, 0x142)), 0x0010_0000_0000_0140);
        assert_eq!(decode(u64::MAX), None);
        let extents = extents(&[(10, 5000), (5000, 9000), (20, 21)]);
        assert_eq!(extents.ranges(), [range(10, 9000), range(20, 21)]);
        let named: Vec<_> = extents.entries().map(|entry| decode(entry).unwrap()).collect();
        assert_eq!(named, [range(10, 4106), range(4106, 8202), range(8202, 9000), range(20, 21)]);
        assert_eq!((extents.entry_count(), extents.frames()), (4, 8991));
    }

    #[test]
    fn stretches_are_the_bytes_in_order() {
        let extents = extents(&[(10, 12), (5, 6), (20, 23)]);
        for (from, to) in
            [(0, 6 * 4096), (0, 1), (4095, 4097), (8000, 13000), (8192, 12288), (20_000, 20_000)]
        {
            let mut expected = Vec::new();
            for byte in from..to {
                let frame = [10, 11, 5, 20, 21, 22u64][usize::try_from(byte / 4096).unwrap()];
                expected.push(frame * 4096 + byte % 4096);
            }
            let found: Vec<_> = extents
                .stretches(from, to)
                .flat_map(|stretch| (stretch.at.get()..).take(stretch.len.as_usize()))
                .collect();
            assert_eq!(found, expected, "{from}..{to}");
        }
    }
}
