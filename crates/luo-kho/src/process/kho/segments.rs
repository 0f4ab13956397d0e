//! The segments of one memory: their numbers, their files, and the frames of the arena that hold their table.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::process::segment::SegmentFile;
use crate::ranges::RangeSet;
use crate::{FrameCount, FrameRange, KhoError, PFN_END, Pfn};

/// Segments begin at multiples of 2^18 frames, 1 GiB: what is aligned in a file of huge pages is aligned in numbers.
const ALIGN: u64 = 1 << 18;
/// Frame numbers end at 2^48: room for 2^30 segments, and an address for each of their bytes.
const END: u64 = 1 << 48;
const _: () = assert!(END < PFN_END);

#[derive(Debug)]
pub(super) struct Segments {
    files: BTreeMap<Pfn, (FrameRange, SegmentFile)>,
    /// Numbers that no segment has, in whole multiples of [`ALIGN`].
    unused: RangeSet,
    pub(super) table: Vec<Pfn>,
}

/// The numbers that segments of an arena of this capacity can have.
pub(super) fn numbers(capacity: FrameCount) -> FrameRange {
    let range = FrameRange::from_bounds(capacity.get().next_multiple_of(ALIGN), END);
    let Some(range) = range else { unreachable!("an arena ends far below the last number of a segment") };
    range
}

impl Segments {
    /// None so far.
    pub(super) fn above(capacity: FrameCount) -> Self {
        let unused = core::iter::once(numbers(capacity)).collect();
        Self { files: BTreeMap::new(), unused, table: Vec::new() }
    }

    /// Inherited ones, disjoint and with numbers above the arena. `false` if two of them lie too close together.
    pub(super) fn inherit(&mut self, range: FrameRange, file: SegmentFile) -> bool {
        let taken = whole(range).filter(|taken| self.unused.covers(*taken));
        if let Some(taken) = taken {
            self.unused.remove(taken);
            self.files.insert(range.start(), (range, file));
        }
        taken.is_some()
    }

    /// Gives a file numbers.
    ///
    /// # Errors
    ///
    /// [`KhoError::OutOfFrames`].
    pub(super) fn add(&mut self, file: SegmentFile, frames: FrameCount) -> Result<FrameRange, KhoError> {
        let nothing = KhoError::OutOfFrames { want: frames };
        let fits = |run: FrameRange| {
            whole(FrameRange::new(run.start(), frames)?).filter(|wanted| run.covers(*wanted))
        };
        let taken = self.unused.iter().find_map(fits).ok_or(nothing.clone())?;
        let range = FrameRange::new(taken.start(), frames).ok_or(nothing)?;
        self.unused.remove(taken);
        self.files.insert(range.start(), (range, file));
        Ok(range)
    }

    /// `false` unless `range` is exactly a segment.
    pub(super) fn remove(&mut self, range: FrameRange) -> bool {
        let known = self.file(range).is_some();
        if let Some(taken) = whole(range).filter(|_| known) {
            self.files.remove(&range.start());
            self.unused.insert(taken);
        }
        known
    }

    /// The file behind exactly this segment.
    pub(super) fn file(&self, range: FrameRange) -> Option<&SegmentFile> {
        self.files.get(&range.start()).filter(|(found, _)| *found == range).map(|(_, file)| file)
    }

    /// Ascending.
    pub(super) fn iter(&self) -> impl ExactSizeIterator<Item = (FrameRange, &SegmentFile)> {
        self.files.values().map(|(range, file)| (*range, file))
    }
}

/// A segment's range, made up to whole multiples of [`ALIGN`]; `None` if it does not begin at one.
fn whole(range: FrameRange) -> Option<FrameRange> {
    let start = range.start().get();
    start
        .is_multiple_of(ALIGN)
        .then(|| FrameRange::from_bounds(start, range.end().next_multiple_of(ALIGN)))?
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    fn count(frames: u64) -> FrameCount {
        FrameCount::new(frames).unwrap()
    }

    fn file() -> SegmentFile {
        SegmentFile::from(std::os::fd::OwnedFd::from(File::open("/dev/null").unwrap()))
    }

    #[test]
    fn numbers_are_aligned_lie_above_the_arena_and_come_back() {
        let mut segments = Segments::above(count(ALIGN + 1));
        let first = segments.add(file(), count(1)).unwrap();
        let second = segments.add(file(), count(ALIGN + 1)).unwrap();
        let third = segments.add(file(), count(ALIGN)).unwrap();
        assert_eq!([first, second, third].map(|range| range.start().get()), [2, 3, 5].map(|n| n * ALIGN));
        assert!(!segments.remove(FrameRange::from_bounds(first.start().get(), first.end() + 1).unwrap()));
        assert!(segments.remove(second) && !segments.remove(second));
        assert_eq!(segments.add(file(), count(2 * ALIGN)).unwrap().start(), second.start());
        assert!(matches!(segments.add(file(), count(END)), Err(KhoError::OutOfFrames { .. })));
        assert!(matches!(segments.add(file(), FrameCount::ZERO), Err(KhoError::OutOfFrames { .. })));
        assert_eq!(
            segments.iter().map(|(range, _)| range.start().get() / ALIGN).collect::<Vec<_>>(),
            [2, 3, 5]
        );
    }
}
