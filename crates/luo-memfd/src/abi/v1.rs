//! Version 1. Little-endian; 96 bytes, then the name, made up with zeros to a multiple of 8.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 8 | size in bytes |
//! | 8 | 8 | position |
//! | 16 | 8 | last read: seconds, signed |
//! | 24 | 8 | last written: seconds, signed |
//! | 32 | 4 | last read: nanoseconds |
//! | 36 | 4 | last written: nanoseconds |
//! | 40 | 4 | seals, as `fcntl(F_GET_SEALS)` gives them: at most 0x3f |
//! | 44 | 4 | mode: at most 0o7777 |
//! | 48 | 4 | user |
//! | 52 | 4 | group |
//! | 56 | 4 | status flags: 1 append, 2 nonblock, 4 direct, 8 noatime, 16 dsync, 32 sync |
//! | 60 | 1 | access: 0 read, 1 write, 2 both |
//! | 61 | 1 | close on exec: 0 or 1 |
//! | 62 | 1 | form: 1 segment, 2 store |
//! | 63 | 1 | bytes of the name: at most 249 |
//! | 64 | 8 | segment: number of its first frame; store: name of the array of slots, or 0 |
//! | 72 | 8 | segment: count of its frames; store: name of the index, or 0 |
//! | 80 | 8 | segment: 0; store: bytes of the page map in the index |
//! | 88 | 8 | segment: 0; store: pages in the page map |

use alloc::vec::Vec;

use luo_kho::{ByteLen, FrameCount, FrameRange, Name as Place, Pfn};
use luo_xarray::page_map::StoreNames;
use zerocopy::little_endian::{I64, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{Form, Payload, PayloadError};
use crate::attributes::{MODE_BITS, NAME_MAX};
use crate::{Access, Attributes, Moment, Name, Owner, Seals, Status, Times};

#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RecordV1 {
    size: U64,
    position: U64,
    accessed: I64,
    modified: I64,
    accessed_nanoseconds: U32,
    modified_nanoseconds: U32,
    seals: U32,
    mode: U32,
    user: U32,
    group: U32,
    status: U32,
    access: u8,
    close_on_exec: u8,
    form: u8,
    name_len: u8,
    place: [U64; 2],
    index_len: U64,
    pages: U64,
}

const _: () = {
    use core::mem::offset_of;
    assert!(size_of::<RecordV1>() == 96);
    assert!(offset_of!(RecordV1, size) == 0);
    assert!(offset_of!(RecordV1, position) == 8);
    assert!(offset_of!(RecordV1, accessed) == 16);
    assert!(offset_of!(RecordV1, modified) == 24);
    assert!(offset_of!(RecordV1, accessed_nanoseconds) == 32);
    assert!(offset_of!(RecordV1, modified_nanoseconds) == 36);
    assert!(offset_of!(RecordV1, seals) == 40);
    assert!(offset_of!(RecordV1, mode) == 44);
    assert!(offset_of!(RecordV1, user) == 48);
    assert!(offset_of!(RecordV1, group) == 52);
    assert!(offset_of!(RecordV1, status) == 56);
    assert!(offset_of!(RecordV1, access) == 60);
    assert!(offset_of!(RecordV1, close_on_exec) == 61);
    assert!(offset_of!(RecordV1, form) == 62);
    assert!(offset_of!(RecordV1, name_len) == 63);
    assert!(offset_of!(RecordV1, place) == 64);
    assert!(offset_of!(RecordV1, index_len) == 80);
    assert!(offset_of!(RecordV1, pages) == 88);
    assert!(NAME_MAX <= u8::MAX as usize);
};

const SEGMENT: u8 = 1;
const STORE: u8 = 2;
/// A file has at most 2^63 - 1 bytes: offsets are signed.
const SIZE_MAX: u64 = i64::MAX as u64;
/// The number that asks `chown` to change nothing, and so names nobody.
const NOBODY: u32 = u32::MAX;
const NANOSECONDS: u32 = 1_000_000_000;

/// With the longest name.
pub(super) const MOST_BYTES: ByteLen =
    ByteLen::new((size_of::<RecordV1>() + NAME_MAX.next_multiple_of(8)) as u64);

const fn impossible(why: &'static str) -> PayloadError {
    PayloadError::Impossible { why }
}

pub(super) fn encode(payload: &Payload) -> Vec<u8> {
    let Payload { attributes, name, form } = payload;
    // Blocks are the host's affair: a copy has as many as it needs.
    let Attributes { size, blocks: _, position, seals, mode, owner, times, access, status, close_on_exec } =
        *attributes;
    let Owner { user, group } = owner;
    let Times { accessed, modified } = times;
    let (form, place, index_len, pages) = match *form {
        Form::Segment(frames) => (SEGMENT, [frames.start().get(), frames.count().get()], 0, 0),
        Form::Store(StoreNames { slots, index, index_len, pages }) => {
            (STORE, [slots, index].map(|name| name.map_or(0, Place::get)), index_len, pages)
        }
    };
    let name = name.as_bytes();
    let record = RecordV1 {
        size: size.into(),
        position: position.into(),
        accessed: accessed.seconds.into(),
        modified: modified.seconds.into(),
        accessed_nanoseconds: accessed.nanoseconds.into(),
        modified_nanoseconds: modified.nanoseconds.into(),
        seals: seals.bits().into(),
        mode: mode.into(),
        user: user.into(),
        group: group.into(),
        status: status.bits().into(),
        access: match access {
            Access::Read => 0,
            Access::Write => 1,
            Access::ReadWrite => 2,
        },
        close_on_exec: close_on_exec.into(),
        form,
        // A name is no longer than NAME_MAX.
        name_len: u8::try_from(name.len()).unwrap_or(u8::MAX),
        place: place.map(U64::new),
        index_len: index_len.into(),
        pages: pages.into(),
    };
    let mut bytes = Vec::with_capacity(MOST_BYTES.as_usize());
    bytes.extend_from_slice(record.as_bytes());
    bytes.extend_from_slice(name);
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    bytes
}

pub(super) fn decode(bytes: &[u8]) -> Result<Payload, PayloadError> {
    let wrong_length = |expected: usize| PayloadError::Length {
        found: ByteLen::of(bytes.len()),
        expected: ByteLen::of(expected),
    };
    let front = size_of::<RecordV1>();
    let (record, behind) = RecordV1::read_from_prefix(bytes).map_err(|_| wrong_length(front))?;
    let RecordV1 { size, position, seals, mode, user, group, status, .. } = record;
    let RecordV1 { accessed, modified, accessed_nanoseconds, modified_nanoseconds, .. } = record;
    let RecordV1 { access, close_on_exec, form, name_len, place, index_len, pages, .. } = record;

    let len = usize::from(name_len);
    if behind.len() != len.next_multiple_of(8) {
        return Err(wrong_length(front + len.next_multiple_of(8)));
    }
    let (name, padding) = behind.split_at_checked(len).unwrap_or_default();
    if padding.iter().any(|byte| *byte != 0) {
        return Err(impossible("there is something behind the name"));
    }
    let name = Name::new(name).ok_or(impossible("no memfd has such a name"))?;

    let attributes = Attributes {
        size: Some(size.get()).filter(|size| *size <= SIZE_MAX).ok_or(impossible("no file is so large"))?,
        blocks: 0,
        position: Some(position.get())
            .filter(|position| *position <= SIZE_MAX)
            .ok_or(impossible("no file has such a position"))?,
        seals: Some(Seals::from_bits(seals.get()))
            .filter(|seals| seals.unknown() == Seals::NONE)
            .ok_or(impossible("there are unknown seals"))?,
        mode: Some(mode.get())
            .filter(|mode| mode & !MODE_BITS == 0)
            .ok_or(impossible("the mode has unknown bits"))?,
        owner: Some(Owner { user: user.get(), group: group.get() })
            .filter(|owner| owner.user != NOBODY && owner.group != NOBODY)
            .ok_or(impossible("no user and no group has such a number"))?,
        times: Times {
            accessed: moment(accessed, accessed_nanoseconds)?,
            modified: moment(modified, modified_nanoseconds)?,
        },
        access: match access {
            0 => Access::Read,
            1 => Access::Write,
            2 => Access::ReadWrite,
            _ => return Err(impossible("there is no such access")),
        },
        status: Status::from_bits(status.get()).ok_or(impossible("there are unknown status flags"))?,
        close_on_exec: match close_on_exec {
            0 => false,
            1 => true,
            _ => return Err(impossible("close on exec is neither yes nor no")),
        },
    };
    let form = match form {
        SEGMENT => segment(place, index_len, pages)?,
        STORE => store(place, index_len, pages)?,
        _ => return Err(impossible("there is no such form")),
    };
    Ok(Payload { attributes, name, form })
}

fn moment(seconds: I64, nanoseconds: U32) -> Result<Moment, PayloadError> {
    let nanoseconds = nanoseconds.get();
    if nanoseconds >= NANOSECONDS {
        return Err(impossible("a second has fewer nanoseconds"));
    }
    Ok(Moment { seconds: seconds.get(), nanoseconds })
}

fn segment([start, count]: [U64; 2], index_len: U64, pages: U64) -> Result<Form, PayloadError> {
    if index_len.get() != 0 || pages.get() != 0 {
        return Err(impossible("a segment has no page map"));
    }
    let bounds = Pfn::new(start.get()).zip(FrameCount::new(count.get()));
    let frames = bounds.and_then(|(start, count)| FrameRange::new(start, count));
    frames.map(Form::Segment).ok_or(impossible("no segment has such frames"))
}

fn store(place: [U64; 2], index_len: U64, pages: U64) -> Result<Form, PayloadError> {
    let [slots, index] = place.map(|name| (name.get() != 0).then(|| Place::new(name.get())));
    let (slots, index) = match (slots, index) {
        (None, None) if index_len.get() == 0 && pages.get() == 0 => (None, None),
        (Some(Some(slots)), Some(Some(index))) => (Some(slots), Some(index)),
        _ => return Err(impossible("a store has slots and an index, each with a name")),
    };
    Ok(Form::Store(StoreNames { slots, index, index_len: index_len.get(), pages: pages.get() }))
}
