//! The header, byte for byte. Behind it lie two serialized maps: frames, then attributes.

use core::mem::{offset_of, size_of};

use luo_kho::{Order, checksum};
use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::PageMapError;
use super::attributes::Attributes;

/// `LXPM`, as the bytes stand in memory.
const MAGIC: u32 = u32::from_le_bytes(*b"LXPM");
/// The layout's version. It covers the two maps: a page map of version 1 holds maps of version 1.
pub(super) const VERSION: u16 = 1;
/// Words in the header.
pub(super) const HEADER_WORDS: u64 = size_of::<Header>() as u64 / 8;

/// The first 32 bytes.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Header {
    magic: U32,
    version: U16,
    granule: u8,
    reserved: u8,
    frames_words: U64,
    attributes_words: U64,
    default: U32,
    sum: U32,
}

const _: () = assert!(size_of::<Header>() == 32 && crate::serial::VERSION == VERSION);
const _: () = assert!(offset_of!(Header, version) == 4 && offset_of!(Header, granule) == 6);
const _: () = assert!(offset_of!(Header, frames_words) == 8 && offset_of!(Header, attributes_words) == 16);
const _: () = assert!(offset_of!(Header, default) == 24 && offset_of!(Header, sum) == 28);

/// What the header says, believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) granule: Order,
    pub(super) frames_words: u64,
    pub(super) attributes_words: u64,
    pub(super) default: Attributes,
}

impl Head {
    pub(super) fn encode(self) -> Header {
        let Self { granule, frames_words, attributes_words, default } = self;
        let mut header = Header {
            magic: U32::new(MAGIC),
            version: U16::new(VERSION),
            granule: granule.get(),
            reserved: 0,
            frames_words: U64::new(frames_words),
            attributes_words: U64::new(attributes_words),
            default: U32::new(default.encode()),
            sum: U32::ZERO,
        };
        header.sum = U32::new(header.sum());
        header
    }

    pub(super) fn decode(header: &Header) -> Result<Self, PageMapError> {
        let Header { magic, version, granule, reserved, frames_words, attributes_words, default, sum } =
            *header;
        if magic.get() != MAGIC {
            return Err(PageMapError::Magic { found: magic.get() });
        }
        if version.get() != VERSION {
            return Err(PageMapError::Version { found: version.get() });
        }
        if sum.get() != header.sum() {
            return Err(PageMapError::Checksum { found: sum.get(), computed: header.sum() });
        }
        let impossible = |why| PageMapError::Impossible { why };
        if reserved != 0 {
            return Err(impossible("reserved bytes are not zero"));
        }
        Ok(Self {
            granule: Order::new(granule).ok_or(impossible("a granule of an order that cannot be"))?,
            frames_words: frames_words.get(),
            attributes_words: attributes_words.get(),
            default: Attributes::decode(u64::from(default.get()))
                .ok_or(impossible("default attributes that cannot be"))?,
        })
    }
}

impl Header {
    fn sum(&self) -> u32 {
        let (summed, _) = self.as_bytes().split_at(offset_of!(Self, sum));
        checksum::crc32c(summed)
    }
}
