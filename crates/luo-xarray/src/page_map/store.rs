//! Room for a copy of a file, taken before it is known which of its pages will be in it.
//!
//! - A **store** is **slots**, one frame each, for pages, and the **index**, room for their page map. Whoever copies a
//!   file when nothing can be allocated any more has reserved a store beforehand.
//! - A [`SlotRun`] is neighbouring pages in neighbouring slots. Slots are counted from 0.
//!
//! The pages may also lie in a file of their own that is attached: then its segment's frames are the slots, and only
//! the index is reserved.
//!
//! The index has as much room as the map can ever need; how much of that is the map, and how many pages it names, is
//! written down elsewhere: [`StoreNames`]. Slots that no page took cross with the others.

use alloc::vec::Vec;

use luo_kho::{
    ByteLen, FRAME_BYTES, FrameRange, KhoError, Memory, Name, Order, Pfn, PreservedArray, StoreError,
};

use super::{Extent, PageFlags, PageMapBuilder, PageMapError, PageMapView};
use crate::serial::CONSTANT_BYTES;

/// What the format promises as its most for each entry.
const BYTES_PER_PAGE: u64 = 16;
/// The page map's own header, rounded up generously: it has 32 bytes.
const HEADER_BYTES: u64 = 64;

/// Room for a copy of a file.
#[derive(Debug)]
pub struct PageStore {
    slots: Slots,
    index: PreservedArray<u8>,
}

/// The frames that hold pages.
#[derive(Debug)]
enum Slots {
    /// Reserved with the index.
    Array(PreservedArray<u8>),
    /// A file's, which is attached and filled by other means.
    Segment(FrameRange),
}

/// Neighbouring pages in neighbouring slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotRun {
    /// The first page.
    pub page: u64,
    /// The slot in which it is.
    pub slot: u64,
    /// How many pages.
    pub count: u64,
}

/// Where a store is found, and how much of it was used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreNames {
    /// The slots. `None` with the index: nothing was reserved, the file is one hole.
    pub slots: Option<Name>,
    /// The room for the page map.
    pub index: Option<Name>,
    /// Bytes of the page map.
    pub index_len: u64,
    /// Pages that the page map names.
    pub pages: u64,
}

/// The frames of slots: which frame holds a slot.
struct SlotFrames<'s> {
    ranges: &'s [FrameRange],
    /// For each range how many slots come before it.
    before: Vec<u64>,
}

/// The frames that the map of a store may name: its slots, and no others.
struct OwnFrames(Vec<FrameRange>);

impl SlotRun {
    /// The first page past the run.
    pub const fn end(&self) -> u64 {
        self.page + self.count
    }
}

impl StoreNames {
    /// Nothing was reserved.
    pub const NONE: Self = Self { slots: None, index: None, index_len: 0, pages: 0 };
}

impl PageStore {
    /// The most bytes that the index of so many pages takes: two maps, and a header.
    pub const fn most_index_bytes(pages: u64) -> u64 {
        pages.saturating_mul(BYTES_PER_PAGE).saturating_add(2 * CONSTANT_BYTES + HEADER_BYTES)
    }

    /// Takes frames for so many pages; none for none.
    ///
    /// # Errors
    ///
    /// The memory's. Slots may be taken then: whoever undoes takings undoes them.
    pub fn reserve<M: Memory + ?Sized>(memory: &mut M, pages: u64) -> Result<Option<Self>, StoreError> {
        if pages == 0 {
            return Ok(None);
        }
        let slots = PreservedArray::alloc(memory, pages.saturating_mul(FRAME_BYTES))?;
        let index = PreservedArray::alloc(memory, Self::most_index_bytes(pages))?;
        Ok(Some(Self { slots: Slots::Array(slots), index }))
    }

    /// Takes frames for an index of so many pages, whose slots are the frames of a segment.
    ///
    /// # Errors
    ///
    /// The memory's.
    pub fn reserve_index<M: Memory + ?Sized>(
        memory: &mut M,
        segment: FrameRange,
        pages: u64,
    ) -> Result<Self, StoreError> {
        let index = PreservedArray::alloc(memory, Self::most_index_bytes(pages))?;
        Ok(Self { slots: Slots::Segment(segment), index })
    }

    /// Claims every frame of an index that somebody else reserved for a segment.
    ///
    /// # Errors
    ///
    /// As [`restore`](Self::restore).
    pub fn restore_index<M: Memory + ?Sized>(
        memory: &mut M,
        segment: FrameRange,
        index: Name,
    ) -> Result<Self, StoreError> {
        let index = PreservedArray::restore(memory, index)?;
        Ok(Self { slots: Slots::Segment(segment), index })
    }

    /// Claims every frame of a store that somebody else reserved: of its slots, used or not, and of its index.
    ///
    /// # Errors
    ///
    /// The memory's, or what the bytes say that cannot be. Some may be claimed then.
    pub fn restore<M: Memory + ?Sized>(
        memory: &mut M,
        names: &StoreNames,
    ) -> Result<Option<Self>, StoreError> {
        let (Some(slots), Some(index)) = (names.slots, names.index) else { return Ok(None) };
        let slots = PreservedArray::restore(memory, slots)?;
        let index = PreservedArray::restore(memory, index)?;
        Ok(Some(Self { slots: Slots::Array(slots), index }))
    }

    /// Touches the first so many slots: where frames are memory that is mapped, the first touch of each costs as much
    /// as copying a page.
    ///
    /// # Errors
    ///
    /// The memory's.
    pub fn touch<M: Memory + ?Sized>(&mut self, memory: &mut M, slots: u64) -> Result<(), StoreError> {
        if let Slots::Array(array) = &mut self.slots {
            (0..slots).try_for_each(|slot| array.write(memory, slot * FRAME_BYTES, &[0; 8]))?;
        }
        Ok(())
    }

    /// Writes pages into slots from `slot` on.
    ///
    /// # Errors
    ///
    /// The memory's. The frames of a segment cannot be written.
    pub fn write<M: Memory + ?Sized>(
        &mut self,
        memory: &mut M,
        slot: u64,
        pages: &[u8],
    ) -> Result<(), StoreError> {
        match &mut self.slots {
            Slots::Array(array) => array.write(memory, slot * FRAME_BYTES, pages),
            Slots::Segment(range) => Err(KhoError::NotAllocated { range: *range }.into()),
        }
    }

    /// Writes the page map of `runs`, which ascend by page, and says where the store is found.
    ///
    /// # Errors
    ///
    /// The memory's.
    pub fn write_index<M: Memory + ?Sized>(
        &mut self,
        memory: &mut M,
        runs: impl Iterator<Item = SlotRun>,
    ) -> Result<StoreNames, PageMapError> {
        let frames = SlotFrames::of(self.slots.ranges());
        let mut builder = PageMapBuilder::new(Order::ZERO);
        let mut pages = 0;
        for (page, frames) in runs.flat_map(|run| frames.of_run(run)) {
            builder.push(Extent { page, frames, order: Order::ZERO, flags: PageFlags::UPTODATE })?;
            pages += frames.count().get();
        }
        let encoded = builder.encode();
        let mut index_len = 0;
        for slice in encoded.slices() {
            self.index.write(memory, index_len, slice)?;
            index_len += ByteLen::of(slice.len()).get();
        }
        Ok(StoreNames { index_len, pages, ..self.names() })
    }

    /// Where the store is found. Nothing of it is used yet.
    pub fn names(&self) -> StoreNames {
        let slots = match &self.slots {
            Slots::Array(array) => Some(array.name()),
            Slots::Segment(_) => None,
        };
        let index = Some(self.index.name());
        StoreNames { slots, index, ..StoreNames::NONE }
    }

    /// What somebody else wrote: gives `each` the extents of a file of `file_pages` pages, ascending, all of them in
    /// slots.
    ///
    /// # Errors
    ///
    /// What the bytes say that cannot be, `names` among them; or what `each` answers. Extents may have been given then.
    pub fn each_extent<M: Memory + ?Sized, E: From<PageMapError>>(
        &self,
        memory: &M,
        names: &StoreNames,
        file_pages: u64,
        mut each: impl FnMut(Extent) -> Result<(), E>,
    ) -> Result<(), E> {
        let foreign = |why| E::from(PageMapError::Foreign { why });
        let view = self.view(memory, names.index_len)?;
        let own = OwnFrames::of(self.slots.ranges());
        let mut pages = 0;
        for extent in view.extents() {
            let extent = extent.map_err(E::from)?;
            if extent.end() > file_pages {
                return Err(foreign("it names pages beyond the end"));
            }
            if !own.cover(extent.frames) {
                return Err(foreign("it names frames that are not among the slots"));
            }
            pages += extent.frames.count().get();
            each(extent)?;
        }
        if pages == names.pages {
            Ok(())
        } else {
            Err(foreign("it names another number of pages than was written down"))
        }
    }

    /// The first `len` bytes of the index, checked whole.
    fn view<'m, M: Memory + ?Sized>(&self, memory: &'m M, len: u64) -> Result<PageMapView<'m>, PageMapError> {
        if len > self.index.len() {
            let len_of_index = self.index.bytes();
            return Err(StoreError::OutOfBounds { from: 0, to: len, len: len_of_index }.into());
        }
        let mut left = ByteLen::new(len).as_usize();
        let mut pieces = self.index.pieces(memory)?;
        pieces.retain_mut(|piece| {
            *piece = piece.get(..left.min(piece.len())).unwrap_or_default();
            left -= piece.len();
            !piece.is_empty()
        });
        let view = PageMapView::open(&pieces)?;
        view.verify()?;
        Ok(view)
    }
}

impl Slots {
    fn ranges(&self) -> &[FrameRange] {
        match self {
            Self::Array(array) => array.extents(),
            Self::Segment(range) => core::slice::from_ref(range),
        }
    }
}

impl<'s> SlotFrames<'s> {
    fn of(ranges: &'s [FrameRange]) -> Self {
        let counts = ranges.iter().scan(0, |before, range| {
            let this = *before;
            *before += range.count().get();
            Some(this)
        });
        Self { ranges, before: counts.collect() }
    }

    /// The frames of a run's slots, each with the first page that lies there.
    fn of_run(&self, run: SlotRun) -> impl Iterator<Item = (u64, FrameRange)> {
        let first = self.before.partition_point(|before| *before <= run.slot).saturating_sub(1);
        let ranges = self.ranges.iter().zip(&self.before).skip(first);
        ranges.map_while(move |(range, &before)| {
            let from = run.slot.max(before);
            let to = (run.slot + run.count).min(before + range.count().get());
            let start = range.start().get();
            let frames =
                FrameRange::from_bounds(start + from.checked_sub(before)?, start + to.checked_sub(before)?)?;
            Some((run.page + (from - run.slot), frames))
        })
    }
}

impl OwnFrames {
    fn of(ranges: &[FrameRange]) -> Self {
        let mut ranges = ranges.to_vec();
        ranges.sort_unstable();
        Self(ranges)
    }

    /// Whether all of them are, by ranges that touch or by one.
    fn cover(&self, frames: FrameRange) -> bool {
        let mut from = frames.start();
        loop {
            let after = self.0.partition_point(|range| range.start() <= from);
            let range = after.checked_sub(1).and_then(|at| self.0.get(at));
            let Some(range) = range.filter(|range| range.contains(from)) else { return false };
            if range.end() >= frames.end() {
                return true;
            }
            let Some(next) = Pfn::new(range.end()) else { return false };
            from = next;
        }
    }
}
