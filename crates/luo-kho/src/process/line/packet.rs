//! Packets: what crosses a line in one piece, and what a list of descriptors is made of at rest.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 4 | magic, `LUOP` |
//! | 4 | 2 | version, 1 |
//! | 6 | 2 | kind |
//! | 8 | 4 | length in bytes, these 24 included |
//! | 12 | 4 | CRC32C over bytes 0..12 and 16..length |
//! | 16 | 4 | which part of a message this is, from 0 |
//! | 20 | 4 | how many parts the message has |
//! | 24 | | body |

use alloc::vec::Vec;

use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::checksum::{append, crc32c};

const MAGIC: u32 = u32::from_le_bytes(*b"LUOP");
const VERSION: u16 = 1;
/// Bytes before the body.
pub(in crate::process) const FRONT: usize = 24;
/// The largest body: well below what a socket takes in one piece (the default is 208 KiB), and room for 253
/// descriptors.
pub(in crate::process) const BODY: usize = 32 * 1024;

/// What a packet is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::process) enum Kind {
    /// The successor introduces itself. Body: its manifest.
    Hello,
    /// Descriptors, and what each of them is.
    Cargo,
    /// The successor is warmed up.
    Ready,
    /// The word says so: look. Body: the word.
    Offered,
    /// No. Body: why, in UTF-8. In either direction; the line ends with it.
    Refused,
    /// A question to a running program.
    Request,
    /// The answer.
    Reply,
}

impl Kind {
    const ALL: [Self; 7] =
        [Self::Hello, Self::Cargo, Self::Ready, Self::Offered, Self::Refused, Self::Request, Self::Reply];

    const fn code(self) -> u16 {
        match self {
            Self::Hello => 1,
            Self::Cargo => 2,
            Self::Ready => 3,
            Self::Offered => 4,
            Self::Refused => 5,
            Self::Request => 6,
            Self::Reply => 7,
        }
    }
}

#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct FrontV1 {
    magic: U32,
    version: U16,
    kind: U16,
    length: U32,
    crc: U32,
    part: U32,
    parts: U32,
}

const _: () = {
    use core::mem::offset_of;
    assert!(size_of::<FrontV1>() == FRONT);
    assert!(offset_of!(FrontV1, kind) == 6);
    assert!(offset_of!(FrontV1, length) == 8);
    assert!(offset_of!(FrontV1, crc) == 12);
    assert!(offset_of!(FrontV1, part) == 16);
    assert!(offset_of!(FrontV1, parts) == 20);
};

/// One packet, checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::process) struct Packet<'b> {
    pub(in crate::process) kind: Kind,
    pub(in crate::process) part: u32,
    pub(in crate::process) parts: u32,
    pub(in crate::process) body: &'b [u8],
}

impl FrontV1 {
    fn sum(&self, body: &[u8]) -> u32 {
        let (before, after) = self.as_bytes().split_at(12);
        let after = after.get(4..).unwrap_or_default();
        append(append(crc32c(before), after), body)
    }
}

impl<'b> Packet<'b> {
    /// # Panics
    ///
    /// If the body is larger than [`BODY`]: whoever sends cuts it.
    pub(in crate::process) fn encode(&self) -> Vec<u8> {
        let Self { kind, part, parts, body } = *self;
        assert!(body.len() <= BODY, "a body of {} bytes does not fit a packet", body.len());
        let length = u32::try_from(FRONT + body.len()).unwrap_or(u32::MAX); // far below, see above
        let mut front = FrontV1 {
            magic: MAGIC.into(),
            version: VERSION.into(),
            kind: kind.code().into(),
            length: length.into(),
            crc: 0.into(),
            part: part.into(),
            parts: parts.into(),
        };
        front.crc = front.sum(body).into();
        let mut bytes = Vec::with_capacity(FRONT + body.len());
        bytes.extend_from_slice(front.as_bytes());
        bytes.extend_from_slice(body);
        bytes
    }

    /// Reads the packet at the start of `bytes`, which somebody else wrote; also gives what stands behind it.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub(in crate::process) fn decode(bytes: &'b [u8]) -> Result<(Self, &'b [u8]), &'static str> {
        let (front, _) = FrontV1::ref_from_prefix(bytes).map_err(|_| "it is shorter than its front")?;
        let FrontV1 { magic, version, kind, length, crc, part, parts } = *front;
        if magic.get() != MAGIC {
            return Err("it does not begin with the magic of packets");
        }
        if version.get() != VERSION {
            return Err("it has a version that this build does not read");
        }
        let length = usize::try_from(length.get()).unwrap_or(usize::MAX);
        let whole = bytes.split_at_checked(length).filter(|_| (FRONT..=FRONT + BODY).contains(&length));
        let (packet, rest) = whole.ok_or("its length cannot be")?;
        let body = packet.get(FRONT..).unwrap_or_default();
        if front.sum(body) != crc.get() {
            return Err("its checksum does not agree");
        }
        let kind = Kind::ALL.into_iter().find(|known| known.code() == kind.get());
        let kind = kind.ok_or("it is of a kind that this build does not know")?;
        if part.get() >= parts.get() {
            return Err("it is a part that its message does not have");
        }
        Ok((Self { kind, part: part.get(), parts: parts.get(), body }, rest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACKET: Packet<'static> = Packet { kind: Kind::Ready, part: 1, parts: 2, body: b"body" };

    #[test]
    fn the_bytes_of_version_1_never_change() {
        let bytes = PACKET.encode();
        assert_eq!(bytes[..12], *b"LUOP\x01\0\x03\0\x1c\0\0\0");
        assert_eq!(bytes[16..], *b"\x01\0\0\0\x02\0\0\0body");
        assert_eq!(Packet::decode(&bytes), Ok((PACKET, &[][..])));
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_seen() {
        let bytes = PACKET.encode();
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(Packet::decode(&flipped).is_err(), "bit {bit}");
        }
        for len in 0..bytes.len() {
            assert!(Packet::decode(&bytes[..len]).is_err(), "{len} bytes");
        }
    }

    #[test]
    fn kinds_have_numbers_of_their_own() {
        for (at, kind) in Kind::ALL.into_iter().enumerate() {
            assert_eq!(usize::from(kind.code()), at + 1);
        }
    }
}
