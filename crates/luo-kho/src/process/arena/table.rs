//! The table of segments: which frame numbers belong to which of the descriptors that were carried.
//!
//! It is a chain of frames, each a block of which the first 16 bytes are those that every block has:
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 16 | 8 | address of the next frame of the table; 0 for none |
//! | 24 | 24 each | entries |
//!
//! An entry, ascending by its frames over the whole table:
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 8 | number of the first frame |
//! | 8 | 8 | count of frames |
//! | 16 | 8 | index among the carried descriptors of segments |

use alloc::vec::Vec;

use zerocopy::little_endian::U64;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::Arena;
use crate::block::{BlockKind, HEADER_SIZE};
use crate::process::error::OpenError;
use crate::tracker::NodeStore;
use crate::{BadBlock, FRAME_SIZE, FrameCount, FrameRange, Pfn, PhysAddr};

const KIND: BlockKind =
    BlockKind { what: "table of segments", magic: u32::from_le_bytes(*b"LUOT"), version: 1 };

/// Bytes before the entries.
const FRONT: usize = HEADER_SIZE + 8;
/// Entries in one frame.
pub(super) const PER_FRAME: usize = (FRAME_SIZE - FRONT) / size_of::<EntryV1>();

#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct EntryV1 {
    start: U64,
    count: U64,
    index: U64,
}

const _: () = {
    use core::mem::offset_of;
    assert!(size_of::<EntryV1>() == 24);
    assert!(offset_of!(EntryV1, start) == 0);
    assert!(offset_of!(EntryV1, count) == 8);
    assert!(offset_of!(EntryV1, index) == 16);
    assert!(PER_FRAME == 169);
};

/// Writes the table into `frames`, which are as many as it needs. Allocates nothing.
pub(super) fn write(arena: &mut Arena, frames: &[Pfn], segments: impl Iterator<Item = FrameRange>) {
    let mut entries = (0u64..).zip(segments);
    let mut bytes = [0; FRAME_SIZE];
    for (at, frame) in frames.iter().enumerate() {
        let next = at.checked_add(1).and_then(|next| frames.get(next));
        let next = U64::new(next.map_or(0, |next| next.addr().get()));
        let mut length = FRONT;
        if let Some(place) = bytes.get_mut(HEADER_SIZE..FRONT) {
            place.copy_from_slice(next.as_bytes());
        }
        for (index, segment) in entries.by_ref().take(PER_FRAME) {
            let entry = EntryV1 {
                start: segment.start().get().into(),
                count: segment.count().get().into(),
                index: index.into(),
            };
            if let Some(place) = bytes.get_mut(length..length + size_of::<EntryV1>()) {
                place.copy_from_slice(entry.as_bytes());
            }
            length += size_of::<EntryV1>();
        }
        let (block, _) = bytes.split_at_mut(length);
        KIND.seal(block);
        arena.put(frame.addr(), block);
    }
}

/// What a table says: segments, each with the index of its descriptor; and the frames in which the table stands.
pub(in crate::process) struct Table {
    pub(in crate::process) segments: Vec<(FrameRange, usize)>,
    pub(in crate::process) frames: Vec<Pfn>,
}

/// Reads a table of exactly `count` segments that somebody else wrote. Takes time and memory in proportion to `count`,
/// which is the number of descriptors that really came.
///
/// # Errors
///
/// [`OpenError::Bad`], [`OpenError::BadSegment`], [`OpenError::SegmentsMissing`]; [`OpenError::Kho`] for a frame that
/// the arena does not have.
pub(super) fn read(
    arena: &Arena,
    first: Option<Pfn>,
    count: usize,
    numbers: FrameRange,
) -> Result<Table, OpenError> {
    let mut table = Table { segments: Vec::new(), frames: Vec::new() };
    let mut taken = alloc::vec![false; count];
    let mut next = first;
    while let Some(frame) = next {
        if table.frames.len() >= count.div_ceil(PER_FRAME) || table.frames.contains(&frame) {
            return Err(impossible(frame, "it is longer than its segments need").into());
        }
        table.frames.push(frame);
        let block = KIND.open(arena.node(frame)?, frame.addr())?;
        let body = block.get(HEADER_SIZE..).unwrap_or_default();
        let (link, entries) =
            U64::read_from_prefix(body).map_err(|_| impossible(frame, "it is shorter than its front"))?;
        let entries = <[EntryV1]>::ref_from_bytes(entries)
            .map_err(|_| impossible(frame, "its length is not that of whole entries"))?;
        for entry in entries {
            let above = table.segments.last().map_or(numbers.start().get(), |(last, _)| last.end());
            let (range, index) = check(*entry, above, numbers, frame)?;
            let slot = taken.get_mut(index).filter(|taken| !**taken);
            let Some(slot) = slot else {
                return Err(OpenError::BadSegment {
                    range,
                    why: "its descriptor was not carried, or is another's",
                });
            };
            *slot = true;
            table.segments.push((range, index));
        }
        next = match link.get() {
            0 => None,
            addr => Some(
                PhysAddr::new(addr)
                    .exact_frame()
                    .ok_or_else(|| impossible(frame, "the next one begins inside a frame"))?,
            ),
        };
    }
    if table.segments.len() != count {
        let (said, carried) = (table.segments.len() as u64, count as u64);
        return Err(OpenError::SegmentsMissing { said, carried });
    }
    Ok(table)
}

/// One entry, which must lie at or above frame number `above`.
fn check(
    entry: EntryV1,
    above: u64,
    numbers: FrameRange,
    frame: Pfn,
) -> Result<(FrameRange, usize), OpenError> {
    let EntryV1 { start, count, index } = entry;
    let start = Pfn::new(start.get());
    let range =
        start.zip(FrameCount::new(count.get())).and_then(|(start, count)| FrameRange::new(start, count));
    let range =
        range.ok_or_else(|| impossible(frame, "a segment has no frames, or such as there are not"))?;
    if range.start().get() < above || !numbers.covers(range) {
        return Err(OpenError::BadSegment { range, why: "it is out of order, or not above the arena" });
    }
    let index = usize::try_from(index.get()).unwrap_or(usize::MAX);
    Ok((range, index))
}

fn impossible(frame: Pfn, why: &'static str) -> BadBlock {
    KIND.impossible(frame.addr(), why)
}
