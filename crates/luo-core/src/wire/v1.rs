//! The records of version 1: layouts, and the assertions that keep them.
//!
//! Every integer is little-endian; every record is a multiple of 8 bytes; reserved bytes are written 0 and checked.

use core::mem::{offset_of, size_of};

use luo_kho::Record;
use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// The version that every block of an image carries.
pub(crate) const VERSION: u16 = 1;
/// `LUOB`: begins every block.
pub(crate) const BLOCK_MAGIC: u32 = u32::from_le_bytes(*b"LUOB");

/// The kinds of block, in the order in which they stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Section {
    Head,
    Names,
    Subsystems,
    Shared,
    Sessions,
    Files,
    Links,
    Objects,
    Payloads,
}

impl Section {
    pub(crate) const fn code(self) -> u16 {
        match self {
            Self::Head => 1,
            Self::Names => 2,
            Self::Subsystems => 3,
            Self::Shared => 4,
            Self::Sessions => 5,
            Self::Files => 6,
            Self::Links => 7,
            Self::Objects => 8,
            Self::Payloads => 9,
        }
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Head => "head",
            Self::Names => "names",
            Self::Subsystems => "subsystems",
            Self::Shared => "shared objects",
            Self::Sessions => "sessions",
            Self::Files => "files",
            Self::Links => "links",
            Self::Objects => "objects",
            Self::Payloads => "payloads",
        }
    }
}

/// What is published: where the image is, and which moment it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct RootV1 {
    /// Name of the preserved array that holds the image.
    pub(crate) image: U64,
    /// Bytes of the array that are the image; the rest was room for payloads that stayed smaller.
    pub(crate) image_len: U64,
    /// As [`HeadV1::generation`].
    pub(crate) generation: U64,
    /// As [`HeadV1::turn`].
    pub(crate) turn: U64,
}

impl Record for RootV1 {
    const WHAT: &'static str = "handover root";
    const MAGIC: u32 = u32::from_le_bytes(*b"LUOR");
    const VERSION: u16 = VERSION;
}

/// Begins a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct BlockV1 {
    pub(crate) magic: U32,
    pub(crate) version: U16,
    pub(crate) section: U16,
    /// Bytes after this header, a multiple of 8.
    pub(crate) len: U64,
    /// Items in them.
    pub(crate) count: U32,
    /// CRC32C of this header with 0 here, followed by the bytes; of the header alone for payloads.
    pub(crate) crc: U32,
}

/// What the image is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct HeadV1 {
    /// Handovers committed before the writer owned the memory.
    pub(crate) generation: U64,
    /// The turn of the writer's ownership word when the image was sealed.
    pub(crate) turn: U64,
}

/// A participant's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct NameV1 {
    /// [`Role`](crate::Role) as a code.
    pub(crate) role: u8,
    /// Text, then NULs.
    pub(crate) text: [u8; 47],
}

/// A subsystem; its name has the same index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct SubsystemV1 {
    /// How many objects are its own, taken in order.
    pub(crate) objects: U32,
    pub(crate) reserved: U32,
}

/// A shared object; its name follows those of the subsystems.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct SharedV1 {
    /// How many objects are its own, taken in order.
    pub(crate) objects: U32,
    pub(crate) reserved: U32,
    /// How many files lean on it: as many as links say so.
    pub(crate) files: U64,
}

/// A session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct SessionV1 {
    /// How many files are its own, taken in order.
    pub(crate) files: U64,
    /// Text, then NULs; the last byte is always 0.
    pub(crate) name: [u8; 64],
}

/// A file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct FileV1 {
    pub(crate) token: U64,
    /// Index of the name of its handler.
    pub(crate) name: U32,
    /// How many objects are its own, taken in order.
    pub(crate) objects: U16,
    /// How many links are its own, taken in order.
    pub(crate) links: U16,
}

/// A shared object that a file leans on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct LinkV1 {
    /// Index among the shared objects.
    pub(crate) shared: U32,
    pub(crate) reserved: U32,
}

/// One payload of one participant in one version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct ObjectV1 {
    pub(crate) version: U16,
    pub(crate) reserved: U16,
    /// Bytes of the payload. It begins where the one before it ended, rounded up to 8.
    pub(crate) len: U32,
    /// CRC32C of the payload.
    pub(crate) crc: U32,
    pub(crate) reserved2: U32,
}

const _: () = assert!(size_of::<RootV1>() == 32);
const _: () =
    assert!(size_of::<BlockV1>() == 24 && offset_of!(BlockV1, crc) == 20 && offset_of!(BlockV1, len) == 8);
const _: () = assert!(size_of::<HeadV1>() == 16 && offset_of!(HeadV1, turn) == 8);
const _: () = assert!(size_of::<NameV1>() == 48 && offset_of!(NameV1, text) == 1);
const _: () = assert!(size_of::<SubsystemV1>() == 8);
const _: () = assert!(size_of::<SharedV1>() == 16 && offset_of!(SharedV1, files) == 8);
const _: () = assert!(size_of::<SessionV1>() == 72 && offset_of!(SessionV1, name) == 8);
const _: () = assert!(size_of::<FileV1>() == 16 && offset_of!(FileV1, objects) == 12);
const _: () = assert!(size_of::<LinkV1>() == 8);
const _: () = assert!(size_of::<ObjectV1>() == 16 && offset_of!(ObjectV1, crc) == 8);
