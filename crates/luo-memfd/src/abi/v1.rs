//! Version 1. Little-endian; 96 bytes, then the name, made up with zeros to a multiple of 8.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 62 | attributes, as [`AttributesV1`] |
//! | 62 | 1 | form: 1 segment, 2 store |
//! | 63 | 1 | bytes of the name: at most 249 |
//! | 64 | 8 | segment: number of its first frame; store: name of the array of slots, or 0 |
//! | 72 | 8 | segment: count of its frames; store: name of the index, or 0 |
//! | 80 | 8 | segment: 0; store: bytes of the page map in the index |
//! | 88 | 8 | segment: 0; store: pages in the page map |

use alloc::vec::Vec;

use luo_core::PayloadError;
use luo_descriptor::wire::AttributesV1;
use luo_kho::{ByteLen, FrameCount, FrameRange, Name as Place, Pfn};
use luo_xarray::page_map::StoreNames;
use zerocopy::little_endian::U64;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{Form, Payload};
use crate::{NAME_MAX, Name};

#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RecordV1 {
    attributes: AttributesV1,
    form: u8,
    name_len: u8,
    place: [U64; 2],
    index_len: U64,
    pages: U64,
}

const _: () = {
    use core::mem::offset_of;
    assert!(size_of::<RecordV1>() == 96);
    assert!(offset_of!(RecordV1, attributes) == 0);
    assert!(offset_of!(RecordV1, form) == 62);
    assert!(offset_of!(RecordV1, name_len) == 63);
    assert!(offset_of!(RecordV1, place) == 64);
    assert!(offset_of!(RecordV1, index_len) == 80);
    assert!(offset_of!(RecordV1, pages) == 88);
    assert!(NAME_MAX <= u8::MAX as usize);
};

const SEGMENT: u8 = 1;
const STORE: u8 = 2;
/// With the longest name.
pub(super) const MOST_BYTES: ByteLen =
    ByteLen::new((size_of::<RecordV1>() + NAME_MAX.next_multiple_of(8)) as u64);

const fn impossible(why: &'static str) -> PayloadError {
    PayloadError::Impossible { why }
}

pub(super) fn encode(payload: &Payload) -> Vec<u8> {
    let Payload { attributes, name, form } = payload;
    let (form, place, index_len, pages) = match *form {
        Form::Segment(frames) => (SEGMENT, [frames.start().get(), frames.count().get()], 0, 0),
        Form::Store(StoreNames { slots, index, index_len, pages }) => {
            (STORE, [slots, index].map(|name| name.map_or(0, Place::get)), index_len, pages)
        }
    };
    let name = name.as_bytes();
    let record = RecordV1 {
        attributes: attributes.into(),
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
    let RecordV1 { attributes, form, name_len, place, index_len, pages } = record;

    let len = usize::from(name_len);
    if behind.len() != len.next_multiple_of(8) {
        return Err(wrong_length(front + len.next_multiple_of(8)));
    }
    let (name, padding) = behind.split_at_checked(len).unwrap_or_default();
    if padding.iter().any(|byte| *byte != 0) {
        return Err(impossible("there is something behind the name"));
    }
    let name = Name::new(name).ok_or(impossible("no memfd has such a name"))?;

    let attributes = attributes.believe().map_err(impossible)?;
    let form = match form {
        SEGMENT => segment(place, index_len, pages)?,
        STORE => store(place, index_len, pages)?,
        _ => return Err(impossible("there is no such form")),
    };
    Ok(Payload { attributes, name, form })
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
