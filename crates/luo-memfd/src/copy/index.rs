//! The **index**: the page map of a copied file, page -> frame, in frames that prepare has reserved for it.
//!
//! Which pages are populated is known in freeze alone, and freeze takes no memory. So prepare reserves as much as the
//! map can ever need, and the payload says how much of that is the map.

use alloc::vec::Vec;

use luo_kho::{ByteLen, FrameRange, Memory, Order, Pfn, PreservedArray, StoreError};
use luo_xarray::page_map::{Extent, PageFlags, PageMapBuilder, PageMapError, PageMapView};
use luo_xarray::serial::CONSTANT_BYTES;

use super::placing::Piece;
use crate::MemfdError;

/// What the format promises as its most for each entry.
const BYTES_PER_PAGE: u64 = 16;
/// The page map's own header, rounded up generously: it has 32 bytes.
const HEADER_BYTES: u64 = 64;

/// The most bytes that a page map of so many pages takes: its two maps, and a header.
pub(super) const fn most_bytes(pages: u64) -> u64 {
    pages * BYTES_PER_PAGE + 2 * CONSTANT_BYTES + HEADER_BYTES
}

/// The frames of slots: which frame holds a slot.
pub(super) struct SlotFrames<'s> {
    ranges: &'s [FrameRange],
    /// For each range how many slots come before it.
    before: Vec<u64>,
}

impl<'s> SlotFrames<'s> {
    pub(super) fn of(slots: &'s PreservedArray<u8>) -> Self {
        let ranges = slots.extents();
        let counts = ranges.iter().scan(0, |before, range| {
            let this = *before;
            *before += range.count().get();
            Some(this)
        });
        Self { ranges, before: counts.collect() }
    }

    /// The frames of a piece's slots, each with the first page that lies there.
    fn of_piece(&self, piece: Piece) -> impl Iterator<Item = (u64, FrameRange)> {
        let first = self.before.partition_point(|before| *before <= piece.slot).saturating_sub(1);
        let ranges = self.ranges.iter().zip(&self.before).skip(first);
        ranges.map_while(move |(range, &before)| {
            let from = piece.slot.max(before);
            let to = (piece.slot + piece.count).min(before + range.count().get());
            let start = range.start().get();
            let frames =
                FrameRange::from_bounds(start + from.checked_sub(before)?, start + to.checked_sub(before)?)?;
            Some((piece.page + (from - piece.slot), frames))
        })
    }
}

/// Writes the map of `pieces`, which ascend. Its length in bytes.
///
/// # Errors
///
/// The memory's.
pub(super) fn write(
    memory: &mut dyn Memory,
    index: &mut PreservedArray<u8>,
    slots: &SlotFrames<'_>,
    pieces: impl Iterator<Item = Piece>,
) -> Result<u64, MemfdError> {
    let mut builder = PageMapBuilder::new(Order::ZERO);
    for (page, frames) in pieces.flat_map(|piece| slots.of_piece(piece)) {
        let extent = Extent { page, frames, order: Order::ZERO, flags: PageFlags::UPTODATE };
        builder.push(extent).map_err(PageMapError::Extent)?;
    }
    let encoded = builder.encode();
    let mut at = 0;
    for slice in encoded.slices() {
        index.write(memory, at, slice)?;
        at += ByteLen::of(slice.len()).get();
    }
    Ok(at)
}

/// The map that somebody else wrote: the first `len` bytes, checked whole.
///
/// # Errors
///
/// What the bytes say that cannot be.
pub(super) fn open<'m>(
    memory: &'m dyn Memory,
    index: &PreservedArray<u8>,
    len: u64,
) -> Result<PageMapView<'m>, MemfdError> {
    let mut left = ByteLen::new(len).as_usize();
    if len > index.len() {
        return Err(StoreError::OutOfBounds { from: 0, to: len, len: index.bytes() }.into());
    }
    let mut pieces = index.pieces(memory)?;
    pieces.retain_mut(|piece| {
        *piece = piece.get(..left.min(piece.len())).unwrap_or_default();
        left -= piece.len();
        !piece.is_empty()
    });
    let view = PageMapView::open(&pieces)?;
    view.verify()?;
    Ok(view)
}

/// The frames that a file of somebody else's may name: its slots, and no others.
pub(super) struct OwnFrames(Vec<FrameRange>);

impl OwnFrames {
    pub(super) fn of(slots: &PreservedArray<u8>) -> Self {
        let mut ranges = slots.extents().to_vec();
        ranges.sort_unstable();
        Self(ranges)
    }

    /// Whether all of them are, by ranges that touch or by one.
    pub(super) fn cover(&self, frames: FrameRange) -> bool {
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
