//! The header: the first frame of the arena, from which the rest is found.
//!
//! It begins with a block of 80 bytes, little-endian, of which the first 16 are those that every block has:
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 16 | 8 | capacity: frames that the arena may grow to |
//! | 24 | 8 | frames that its file has |
//! | 32 | 8 | address of the tracker's root node |
//! | 40 | 8 | the published root; 0 for none |
//! | 48 | 8 | generation of the owner that sealed it |
//! | 56 | 8 | number of segments |
//! | 64 | 8 | address of the first frame of their table; 0 for none |
//! | 72 | 8 | the ownership word under which it was sealed |
//!
//! The block is whole only while an offer stands: it is sealed just before.

use zerocopy::little_endian::U64;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::block::{BlockKind, HEADER_SIZE};
use crate::ownership::Holding;
use crate::{BadBlock, FrameCount, Generation, Pfn, PhysAddr, Root, Word};

/// Where the header stands.
pub(super) const AT: PhysAddr = PhysAddr::new(0);
/// Where the published root stands in it.
pub(super) const ROOT_AT: usize = 40;
/// Its length.
const LENGTH: usize = 80;

const KIND: BlockKind =
    BlockKind { what: "header of an arena", magic: u32::from_le_bytes(*b"LUOK"), version: 1 };

#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct HeaderV1 {
    block: [u8; HEADER_SIZE],
    capacity: U64,
    frames: U64,
    tracker: U64,
    root: U64,
    generation: U64,
    segments: U64,
    table: U64,
    word: U64,
}

const _: () = {
    use core::mem::offset_of;
    assert!(size_of::<HeaderV1>() == LENGTH && LENGTH.is_multiple_of(8));
    assert!(offset_of!(HeaderV1, capacity) == 16);
    assert!(offset_of!(HeaderV1, frames) == 24);
    assert!(offset_of!(HeaderV1, tracker) == 32);
    assert!(offset_of!(HeaderV1, root) == ROOT_AT);
    assert!(offset_of!(HeaderV1, generation) == 48);
    assert!(offset_of!(HeaderV1, segments) == 56);
    assert!(offset_of!(HeaderV1, table) == 64);
    assert!(offset_of!(HeaderV1, word) == 72);
};

/// What the header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::process) struct Header {
    pub(in crate::process) capacity: FrameCount,
    pub(in crate::process) frames: FrameCount,
    pub(in crate::process) tracker: PhysAddr,
    pub(in crate::process) root: Option<Root>,
    pub(in crate::process) generation: Generation,
    pub(in crate::process) segments: u64,
    pub(in crate::process) table: Option<Pfn>,
    pub(in crate::process) word: Word,
}

impl Header {
    /// The bytes of the block.
    pub(super) fn seal(&self) -> [u8; LENGTH] {
        let Self { capacity, frames, tracker, root, generation, segments, table, word } = *self;
        let record = HeaderV1 {
            block: [0; HEADER_SIZE],
            capacity: capacity.get().into(),
            frames: frames.get().into(),
            tracker: tracker.get().into(),
            root: root.map_or(0, Root::get).into(),
            generation: generation.into(),
            segments: segments.into(),
            table: table.map_or(0, |table| table.addr().get()).into(),
            word: word.to_bits().into(),
        };
        let mut bytes = [0; LENGTH];
        bytes.copy_from_slice(record.as_bytes());
        KIND.seal(&mut bytes);
        bytes
    }

    /// Reads a block that somebody else wrote into the first frame.
    ///
    /// # Errors
    ///
    /// [`BadBlock`].
    pub(super) fn open(frame: &[u8]) -> Result<Self, BadBlock> {
        let impossible = |why| BadBlock::Impossible { what: KIND.what, at: AT, why };
        let record = HeaderV1::read_from_bytes(KIND.open(frame, AT)?)
            .map_err(|_| impossible("its length is not that of a header"))?;
        let HeaderV1 { block: _, capacity, frames, tracker, root, generation, segments, table, word } =
            record;
        let count = |number: U64| FrameCount::new(number.get()).filter(|count| *count <= super::MAX_CAPACITY);
        let capacity = count(capacity).ok_or_else(|| impossible("its capacity is out of bounds"))?;
        let frames = count(frames).ok_or_else(|| impossible("its number of frames is out of bounds"))?;
        if frames > capacity || frames == FrameCount::ZERO {
            return Err(impossible("it has more frames than its capacity, or none"));
        }
        let table = match table.get() {
            0 => None,
            addr => Some(
                PhysAddr::new(addr)
                    .exact_frame()
                    .ok_or_else(|| impossible("its table begins inside a frame"))?,
            ),
        };
        if generation.get() == u64::MAX {
            return Err(impossible("there is no generation after it"));
        }
        let word = Word::from_bits(word.get()).filter(|word| word.holding() == Holding::Running);
        Ok(Self {
            capacity,
            frames,
            tracker: PhysAddr::new(tracker.get()),
            root: Root::new(root.get()),
            generation: generation.get(),
            segments: segments.get(),
            table,
            word: word.ok_or_else(|| impossible("it was not sealed by a running owner"))?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        Header {
            capacity: FrameCount::new(0x1000).unwrap(),
            frames: FrameCount::new(0x100).unwrap(),
            tracker: PhysAddr::new(0x2000),
            root: Root::new(0x5000),
            generation: 7,
            segments: 3,
            table: Pfn::new(9),
            word: Word::from_bits(0x0100_0101).unwrap(),
        }
    }

    #[test]
    fn the_bytes_of_version_1_never_change() {
        let bytes = header().seal();
        assert_eq!(bytes[..12], *b"LUOK\x01\0\0\0\x50\0\0\0");
        let words: [u64; 8] =
            core::array::from_fn(|n| u64::from_le_bytes(bytes[16 + 8 * n..][..8].try_into().unwrap()));
        assert_eq!(words, [0x1000, 0x100, 0x2000, 0x5000, 7, 3, 0x9000, 0x0100_0101]);
        assert_eq!(Header::open(&bytes), Ok(header()));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let refused = |change: fn(&mut Header)| {
            let mut header = header();
            change(&mut header);
            assert!(matches!(Header::open(&header.seal()), Err(BadBlock::Impossible { .. })), "{header:?}");
        };
        refused(|header| header.frames = FrameCount::new(0x1001).unwrap());
        refused(|header| header.frames = FrameCount::ZERO);
        refused(|header| header.capacity = FrameCount::new(super::super::MAX_CAPACITY.get() + 1).unwrap());
        refused(|header| header.word = Word::VACANT);
        refused(|header| header.word = Word::from_bits(0x0100_0102).unwrap());
        let mut bytes = header().seal();
        bytes[64] = 1;
        KIND.seal(&mut bytes);
        assert!(Header::open(&bytes).is_err(), "a table inside a frame");
        assert!(Header::open(&header().seal()[..79]).is_err(), "cut off");
    }
}
