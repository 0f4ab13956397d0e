//! Blocks: how a structure in preserved memory begins.
//!
//! A **block** stands at the start of a frame and lies within it. Its first 16 bytes are its header, little-endian:
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 4 | magic: the kind of block |
//! | 4 | 2 | version of the kind's layout |
//! | 6 | 2 | 0 |
//! | 8 | 4 | length in bytes, header included |
//! | 12 | 4 | CRC32C over bytes 0..12 and 16..length |
//!
//! What stands behind the block in its frame is no part of it.

use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::checksum::{append, crc32c};
use crate::{BadBlock, FRAME_SIZE, FrameRange, KhoError, Memory, Pfn, PhysAddr, StoreError};

/// Bytes in a header.
pub(crate) const HEADER_SIZE: usize = 16;

/// The first bytes of a block.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct BlockHeader {
    magic: U32,
    version: U16,
    zero: U16,
    length: U32,
    crc: U32,
}

const _: () = {
    use core::mem::offset_of;
    assert!(size_of::<BlockHeader>() == HEADER_SIZE);
    assert!(offset_of!(BlockHeader, magic) == 0);
    assert!(offset_of!(BlockHeader, version) == 4);
    assert!(offset_of!(BlockHeader, zero) == 6);
    assert!(offset_of!(BlockHeader, length) == 8);
    assert!(offset_of!(BlockHeader, crc) == 12);
};

/// What tells one kind of block from the others.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BlockKind {
    /// What messages call it.
    pub(crate) what: &'static str,
    pub(crate) magic: u32,
    pub(crate) version: u16,
}

impl BlockKind {
    /// Writes the header over the first bytes of a block whose other bytes are final.
    ///
    /// # Panics
    ///
    /// If the block is shorter than its header or longer than a frame.
    pub(crate) fn seal(self, block: &mut [u8]) {
        assert!(
            block.len() <= FRAME_SIZE,
            "a {} of {} bytes is larger than its frame",
            self.what,
            block.len()
        );
        let Some((front, body)) = block.split_first_chunk_mut::<HEADER_SIZE>() else {
            panic!("a {} is shorter than its header", self.what)
        };
        let length = u32::try_from(HEADER_SIZE + body.len()).unwrap_or(u32::MAX); // at most a frame, see above
        let mut header = BlockHeader {
            magic: self.magic.into(),
            version: self.version.into(),
            zero: 0.into(),
            length: length.into(),
            crc: 0.into(),
        };
        header.crc = header.sum(body).into();
        front.copy_from_slice(header.as_bytes());
    }

    /// The block at the start of `frame`, whose address is `at`; header included.
    ///
    /// # Errors
    ///
    /// A [`BadBlock`] of every sort.
    pub(crate) fn open(self, frame: &[u8], at: PhysAddr) -> Result<&[u8], BadBlock> {
        let what = self.what;
        let (header, _) = BlockHeader::ref_from_prefix(frame).map_err(|_| self.impossible(at, "no frame"))?;
        let BlockHeader { magic, version, zero, length, crc } = *header;
        if magic.get() != self.magic {
            return Err(BadBlock::Magic { what, at, found: magic.get() });
        }
        if version.get() != self.version {
            return Err(BadBlock::Version { what, at, found: version.get() });
        }
        if zero.get() != 0 {
            return Err(self.impossible(at, "bytes that nobody uses are not zero"));
        }
        let block = usize::try_from(length.get()).ok().and_then(|length| frame.get(..length));
        let Some((block, body)) = block.and_then(|block| Some((block, block.get(HEADER_SIZE..)?))) else {
            return Err(
                self.impossible(at, "its length is not between that of its header and that of a frame")
            );
        };
        let computed = header.sum(body);
        if crc.get() != computed {
            return Err(BadBlock::Checksum { what, at, found: crc.get(), computed });
        }
        Ok(block)
    }

    pub(crate) fn impossible(self, at: PhysAddr, why: &'static str) -> BadBlock {
        BadBlock::Impossible { what: self.what, at, why }
    }
}

impl BlockHeader {
    fn sum(&self, body: &[u8]) -> u32 {
        let (before_crc, _) = self.as_bytes().split_at(HEADER_SIZE - size_of::<U32>());
        append(crc32c(before_crc), body)
    }
}

/// The bytes of one preserved frame that somebody else named.
///
/// # Errors
///
/// [`KhoError::OutOfRange`], [`KhoError::NotPreserved`], or the memory's.
pub(crate) fn preserved_frame<M: Memory + ?Sized>(memory: &M, frame: Pfn) -> Result<&[u8], StoreError> {
    let range = frame.as_range();
    check_preserved(memory, range)?;
    let bytes = memory.read(range)?;
    Ok(bytes.get(..FRAME_SIZE).unwrap_or(bytes))
}

/// # Errors
///
/// [`KhoError::OutOfRange`], [`KhoError::NotPreserved`].
pub(crate) fn check_preserved<M: Memory + ?Sized>(memory: &M, range: FrameRange) -> Result<(), KhoError> {
    let span = memory.span();
    if !span.covers(range) {
        return Err(KhoError::OutOfRange { range, span });
    }
    if memory.is_preserved(range) { Ok(()) } else { Err(KhoError::NotPreserved { range }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    const KIND: BlockKind = BlockKind { what: "test block", magic: 0x5445_5354, version: 7 };
    const AT: PhysAddr = PhysAddr::new(0x5000);

    #[test]
    fn every_flipped_bit_is_seen() {
        let mut block: Vec<u8> = (0..40).collect();
        KIND.seal(&mut block);
        assert_eq!(block[..12], [0x54, 0x53, 0x45, 0x54, 7, 0, 0, 0, 40, 0, 0, 0]);
        let mut frame = block.clone();
        frame.resize(FRAME_SIZE, 0);
        assert_eq!(KIND.open(&frame, AT), Ok(&block[..]));
        for bit in 0..40 * 8 {
            let mut flipped = frame.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(KIND.open(&flipped, AT).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn lengths_that_cannot_be_are_refused() {
        let mut frame = alloc::vec![0; FRAME_SIZE];
        KIND.seal(&mut frame);
        for length in [0u32, 15, 4097, u32::MAX] {
            frame[8..12].copy_from_slice(&length.to_le_bytes());
            assert!(matches!(KIND.open(&frame, AT), Err(BadBlock::Impossible { .. })), "{length}");
        }
        assert!(KIND.open(&[], AT).is_err());
    }
}
