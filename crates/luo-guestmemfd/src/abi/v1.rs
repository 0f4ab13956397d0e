//! Version 1. Little-endian; 80 bytes, then 32 for each binding, then the map of shared and private frames: a
//! serialized array (`docs/xarray-format.md`) from guest frames to attributes, 0 for shared and 8 for private.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 8 | pages |
//! | 8 | 8 | flags: 1 mmap, 2 init shared |
//! | 16 | 8 | token of the virtual machine; 0 without one |
//! | 24 | 1 | whether there is a virtual machine: 0 or 1 |
//! | 25 | 1 | close on exec: 0 or 1 |
//! | 26 | 1 | form: 1 segment, 2 store |
//! | 27 | 1 | 0 |
//! | 28 | 4 | count of bindings: at most 65528 |
//! | 32 | 8 | segment: number of its first frame; store: name of the array of slots, or 0 |
//! | 40 | 8 | segment: count of its frames; store: name of the index, or 0 |
//! | 48 | 8 | segment: 0; store: bytes of the page map in the index |
//! | 56 | 8 | segment: 0; store: pages in the page map |
//! | 64 | 8 | bytes of the map of shared and private frames; 0 for none |
//! | 72 | 8 | 0 |
//!
//! A binding; they ascend by page:
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 4 | slot |
//! | 4 | 4 | 0 |
//! | 8 | 8 | first guest frame |
//! | 16 | 8 | first page of the file |
//! | 24 | 8 | count |

use alloc::sync::Arc;
use alloc::vec::Vec;

use luo_core::{PayloadError, Token};
use luo_kho::{ByteLen, FRAME_BYTES, FrameCount, FrameRange, Name as Place, Pfn};
use luo_xarray::page_map::StoreNames;
use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{Form, Payload, RecordError};
use crate::facts::BINDINGS_MAX;
use crate::{Binding, Facts, Flags, SharingMap};

#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RecordV1 {
    pages: U64,
    flags: U64,
    vm: U64,
    has_vm: u8,
    close_on_exec: u8,
    form: u8,
    zero: u8,
    bindings: U32,
    place: [U64; 2],
    index_len: U64,
    store_pages: U64,
    map_len: U64,
    zeros: U64,
}

#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct BindingV1 {
    slot: U32,
    zero: U32,
    frame: U64,
    page: U64,
    count: U64,
}

const _: () = {
    use core::mem::offset_of;
    assert!(size_of::<RecordV1>() == 80);
    assert!(offset_of!(RecordV1, pages) == 0);
    assert!(offset_of!(RecordV1, flags) == 8);
    assert!(offset_of!(RecordV1, vm) == 16);
    assert!(offset_of!(RecordV1, has_vm) == 24);
    assert!(offset_of!(RecordV1, close_on_exec) == 25);
    assert!(offset_of!(RecordV1, form) == 26);
    assert!(offset_of!(RecordV1, zero) == 27);
    assert!(offset_of!(RecordV1, bindings) == 28);
    assert!(offset_of!(RecordV1, place) == 32);
    assert!(offset_of!(RecordV1, index_len) == 48);
    assert!(offset_of!(RecordV1, store_pages) == 56);
    assert!(offset_of!(RecordV1, map_len) == 64);
    assert!(offset_of!(RecordV1, zeros) == 72);
    assert!(size_of::<BindingV1>() == 32);
    assert!(offset_of!(BindingV1, slot) == 0);
    assert!(offset_of!(BindingV1, zero) == 4);
    assert!(offset_of!(BindingV1, frame) == 8);
    assert!(offset_of!(BindingV1, page) == 16);
    assert!(offset_of!(BindingV1, count) == 24);
};

const SEGMENT: u8 = 1;
const STORE: u8 = 2;
/// A file has at most 2^63 - 1 bytes: offsets are signed.
const PAGES_MAX: u64 = i64::MAX as u64 / FRAME_BYTES;

/// With so many bindings and runs.
pub(super) const fn most_bytes(bindings: usize, runs: u64) -> ByteLen {
    let bindings = bindings as u64 * size_of::<BindingV1>() as u64;
    ByteLen::new(size_of::<RecordV1>() as u64 + bindings + SharingMap::most_bytes(runs))
}

const fn impossible(why: &'static str) -> RecordError {
    RecordError::impossible(why)
}

pub(super) fn encode(payload: &Payload, map: &[u8]) -> Result<Vec<u8>, PayloadError> {
    let Payload { close_on_exec, vm, form, facts } = payload;
    let (form, place, index_len, store_pages) = match *form {
        Form::Segment(frames) => (SEGMENT, [frames.start().get(), frames.count().get()], 0, 0),
        Form::Store(StoreNames { slots, index, index_len, pages }) => {
            (STORE, [slots, index].map(|name| name.map_or(0, Place::get)), index_len, pages)
        }
    };
    let bindings = facts.bindings();
    let count = u32::try_from(bindings.len())
        .map_err(|_| PayloadError::Impossible { why: "there are too many bindings" })?;
    let record = RecordV1 {
        pages: facts.pages().into(),
        flags: facts.flags().bits().into(),
        vm: vm.map_or(0, |Token(token)| token).into(),
        has_vm: vm.is_some().into(),
        close_on_exec: (*close_on_exec).into(),
        form,
        zero: 0,
        bindings: count.into(),
        place: place.map(U64::new),
        index_len: index_len.into(),
        store_pages: store_pages.into(),
        map_len: ByteLen::of(map.len()).get().into(),
        zeros: U64::ZERO,
    };
    let mut bytes = Vec::with_capacity(size_of::<RecordV1>() + size_of_val(bindings) + map.len());
    bytes.extend_from_slice(record.as_bytes());
    for &Binding { slot, frame, page, count } in bindings {
        let record = BindingV1 {
            slot: slot.into(),
            zero: U32::ZERO,
            frame: frame.into(),
            page: page.into(),
            count: count.into(),
        };
        bytes.extend_from_slice(record.as_bytes());
    }
    bytes.extend_from_slice(map);
    Ok(bytes)
}

pub(super) fn decode(bytes: &[u8]) -> Result<Payload, RecordError> {
    let wrong_length = |expected: u64| {
        RecordError::from(PayloadError::Length {
            found: ByteLen::of(bytes.len()),
            expected: ByteLen::new(expected),
        })
    };
    let front = size_of::<RecordV1>() as u64;
    let (record, behind) = RecordV1::read_from_prefix(bytes).map_err(|_| wrong_length(front))?;
    let RecordV1 { pages, flags, vm, has_vm, close_on_exec, form, zero, bindings, .. } = record;
    let RecordV1 { place, index_len, store_pages, map_len, zeros, .. } = record;

    let count = bindings.get() as usize;
    if count > BINDINGS_MAX {
        return Err(impossible("no guest has so many slots"));
    }
    let bound = count as u64 * size_of::<BindingV1>() as u64;
    let expected = front.saturating_add(bound).saturating_add(map_len.get());
    if expected != ByteLen::of(bytes.len()).get() {
        return Err(wrong_length(expected));
    }
    if zero != 0 || zeros != U64::ZERO {
        return Err(impossible("what is to be zero is not"));
    }
    let (records, map) = behind.split_at_checked(ByteLen::new(bound).as_usize()).unwrap_or_default();
    let facts = facts(pages.get(), flags.get(), records, map)?;
    let vm = match (has_vm, vm.get()) {
        (0, 0) => None,
        (1, token) => Some(Token(token)),
        _ => return Err(impossible("it has a virtual machine and has none")),
    };
    let close_on_exec = match close_on_exec {
        0 => false,
        1 => true,
        _ => return Err(impossible("close on exec is neither yes nor no")),
    };
    let form = match form {
        SEGMENT if !facts.hidden().is_empty() => {
            return Err(impossible("private pages do not cross by reference"));
        }
        SEGMENT => segment(place, index_len, store_pages)?,
        STORE => store(place, index_len, store_pages)?,
        _ => return Err(impossible("there is no such form")),
    };
    Ok(Payload { close_on_exec, vm, form, facts: Arc::new(facts) })
}

fn facts(pages: u64, flags: u64, records: &[u8], map: &[u8]) -> Result<Facts, RecordError> {
    let flags = Flags::from_bits(flags);
    if flags.unknown() != Flags::NONE {
        return Err(impossible("there are unknown flags"));
    }
    if pages == 0 || pages > PAGES_MAX {
        return Err(impossible("no file has so many pages"));
    }
    let records = <[BindingV1]>::ref_from_bytes(records).map_err(|_| impossible("a binding is cut off"))?;
    let sharing = SharingMap::decode(map)?;
    let mut bindings = Vec::with_capacity(records.len());
    for BindingV1 { slot, zero, frame, page, count } in records {
        if *zero != U32::ZERO {
            return Err(impossible("what is to be zero is not"));
        }
        bindings.push(Binding { slot: slot.get(), frame: frame.get(), page: page.get(), count: count.get() });
    }
    if !bindings.is_sorted_by_key(|binding| binding.page) {
        return Err(impossible("bindings do not ascend"));
    }
    Ok(Facts::assembled(flags, pages, bindings, sharing)?)
}

fn segment([start, count]: [U64; 2], index_len: U64, pages: U64) -> Result<Form, RecordError> {
    if index_len.get() != 0 || pages.get() != 0 {
        return Err(impossible("a segment has no page map"));
    }
    let bounds = Pfn::new(start.get()).zip(FrameCount::new(count.get()));
    let frames = bounds.and_then(|(start, count)| FrameRange::new(start, count));
    frames.map(Form::Segment).ok_or(impossible("no segment has such frames"))
}

fn store(place: [U64; 2], index_len: U64, pages: U64) -> Result<Form, RecordError> {
    let [slots, index] = place.map(|name| (name.get() != 0).then(|| Place::new(name.get())));
    let (slots, index) = match (slots, index) {
        (None, None) if index_len.get() == 0 && pages.get() == 0 => (None, None),
        (Some(Some(slots)), Some(Some(index))) => (Some(slots), Some(index)),
        _ => return Err(impossible("a store has slots and an index, each with a name")),
    };
    Ok(Form::Store(StoreNames { slots, index, index_len: index_len.get(), pages: pages.get() }))
}
