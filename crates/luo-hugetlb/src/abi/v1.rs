//! Version 1. Little-endian; 128 bytes, then the texts, made up with zeros to a multiple of 8, then 16 bytes for each
//! node.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 62 | attributes, as [`AttributesV1`] |
//! | 62 | 1 | form: 1 segment, 2 slots, 3 stand-in |
//! | 63 | 1 | binary logarithm of the bytes of a huge page: 13 to 62 |
//! | 64 | 8 | segment, stand-in: number of the first frame; slots: name of their array, or 0 |
//! | 72 | 8 | segment, stand-in: count of frames; slots: 0 |
//! | 80 | 8 | name of the index, or 0 |
//! | 88 | 8 | bytes of the page map in the index; segment: 0 |
//! | 96 | 8 | huge pages in the page map; segment: 0 |
//! | 104 | 8 | huge pages by which their pool has shrunk; segment: 0 |
//! | 112 | 8 | number of the inode; memfd: 0 |
//! | 120 | 1 | place: 1 memfd, 2 file below a mount, 3 unlinked file below a mount |
//! | 121 | 1 | 0 |
//! | 122 | 2 | bytes of the first text: the memfd's name, or the path of the mount |
//! | 124 | 2 | bytes of the second text: the path below the mount, or none |
//! | 126 | 2 | count of nodes: at most 1024 nodes, and the unknown one |
//!
//! A node:
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 4 | its number, 2^32 - 1 for an unknown one; they ascend |
//! | 4 | 4 | 0 |
//! | 8 | 8 | populated huge pages on it, at least one |

use alloc::vec::Vec;

use luo_core::PayloadError;
use luo_descriptor::wire::AttributesV1;
use luo_kho::{ByteLen, FrameCount, FrameRange, Name, Pfn};
use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{Copied, Form, Frames, NODES_MAX, Payload};
use crate::place::PATH_BYTES_MAX;
use crate::pool::{Node, Placement};
use crate::{PageSize, Path, Place};

#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RecordV1 {
    attributes: AttributesV1,
    form: u8,
    page_shift: u8,
    frames: [U64; 2],
    index: U64,
    index_len: U64,
    pages: U64,
    shrunk: U64,
    inode: U64,
    place: u8,
    zero: u8,
    texts: [U16; 2],
    nodes: U16,
}

#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct NodeV1 {
    node: U32,
    zero: U32,
    pages: U64,
}

const _: () = {
    use core::mem::offset_of;
    assert!(size_of::<RecordV1>() == 128);
    assert!(offset_of!(RecordV1, form) == 62);
    assert!(offset_of!(RecordV1, page_shift) == 63);
    assert!(offset_of!(RecordV1, frames) == 64);
    assert!(offset_of!(RecordV1, index) == 80);
    assert!(offset_of!(RecordV1, index_len) == 88);
    assert!(offset_of!(RecordV1, pages) == 96);
    assert!(offset_of!(RecordV1, shrunk) == 104);
    assert!(offset_of!(RecordV1, inode) == 112);
    assert!(offset_of!(RecordV1, place) == 120);
    assert!(offset_of!(RecordV1, zero) == 121);
    assert!(offset_of!(RecordV1, texts) == 122);
    assert!(offset_of!(RecordV1, nodes) == 126);
    assert!(size_of::<NodeV1>() == 16);
    assert!(offset_of!(NodeV1, zero) == 4);
    assert!(offset_of!(NodeV1, pages) == 8);
};

const SEGMENT: u8 = 1;
const SLOTS: u8 = 2;
const STAND_IN: u8 = 3;
const MEMFD: u8 = 1;
const LINKED: u8 = 2;
const UNLINKED: u8 = 3;

const fn impossible(why: &'static str) -> PayloadError {
    PayloadError::Impossible { why }
}

/// The two texts of a place.
fn texts(place: &Place) -> [&[u8]; 2] {
    match place {
        Place::Memfd(name) => [name.as_bytes(), &[]],
        Place::Mounted { mount, path, .. } => {
            [mount.as_bytes(), path.as_ref().map(Path::as_bytes).unwrap_or_default()]
        }
    }
}

const fn len_of(texts: usize, nodes: usize) -> usize {
    size_of::<RecordV1>() + texts.next_multiple_of(8) + nodes * size_of::<NodeV1>()
}

pub(super) fn most_bytes(place: &Place, nodes: usize) -> ByteLen {
    let texts = match place {
        Place::Memfd(name) => name.as_bytes().len(),
        // It may be renamed, to any path, until its bytes are written.
        Place::Mounted { mount, .. } => mount.as_bytes().len() + PATH_BYTES_MAX,
    };
    ByteLen::of(len_of(texts, nodes.saturating_add(1).min(NODES_MAX)))
}

pub(super) fn encode(payload: &Payload) -> Vec<u8> {
    let Payload { attributes, page_size, place, placement, form } = payload;
    let nothing = [U64::ZERO; 4];
    let (form, frames, [index, index_len, pages, shrunk]) = match *form {
        Form::Segment(frames) => (SEGMENT, bounds(frames), nothing),
        Form::Copied(Copied { frames, index, index_len, pages, shrunk }) => {
            let (form, frames) = match frames {
                Frames::Slots(slots) => (SLOTS, [slots.map_or(0, Name::get), 0]),
                Frames::StandIn(segment) => (STAND_IN, bounds(segment)),
            };
            (form, frames, [index.map_or(0, Name::get), index_len, pages, shrunk].map(U64::new))
        }
    };
    let [first, second] = texts(place);
    let (place, inode) = match place {
        Place::Memfd(_) => (MEMFD, 0),
        Place::Mounted { path: Some(_), inode, .. } => (LINKED, *inode),
        Place::Mounted { path: None, inode, .. } => (UNLINKED, *inode),
    };
    // Names and paths have fewer bytes than 2^16, and there are fewer nodes.
    let short = |len: usize| U16::new(u16::try_from(len).unwrap_or(u16::MAX));
    let nodes = placement.iter().take(NODES_MAX);
    let record = RecordV1 {
        attributes: attributes.into(),
        form,
        page_shift: page_size.shift(),
        frames: frames.map(U64::new),
        index,
        index_len,
        pages,
        shrunk,
        inode: inode.into(),
        place,
        zero: 0,
        texts: [first, second].map(|text| short(text.len())),
        nodes: short(nodes.len()),
    };
    let mut bytes = Vec::with_capacity(len_of(first.len() + second.len(), nodes.len()));
    bytes.extend_from_slice(record.as_bytes());
    bytes.extend_from_slice(first);
    bytes.extend_from_slice(second);
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    for (Node(node), pages) in nodes {
        let node = NodeV1 { node: node.into(), zero: U32::ZERO, pages: pages.into() };
        bytes.extend_from_slice(node.as_bytes());
    }
    bytes
}

const fn bounds(frames: FrameRange) -> [u64; 2] {
    [frames.start().get(), frames.count().get()]
}

pub(super) fn decode(bytes: &[u8]) -> Result<Payload, PayloadError> {
    let wrong_length = |expected: usize| PayloadError::Length {
        found: ByteLen::of(bytes.len()),
        expected: ByteLen::of(expected),
    };
    let (record, behind) =
        RecordV1::read_from_prefix(bytes).map_err(|_| wrong_length(size_of::<RecordV1>()))?;
    let RecordV1 { attributes, form, page_shift, frames, index, index_len, .. } = record;
    let RecordV1 { pages, shrunk, inode, place, zero, texts, nodes, .. } = record;
    let [first, second] = texts.map(|len| usize::from(len.get()));
    let nodes = usize::from(nodes.get());
    let expected = len_of(first + second, nodes);
    if bytes.len() != expected {
        return Err(wrong_length(expected));
    }
    let (first, behind) = behind.split_at_checked(first).unwrap_or_default();
    let (second, behind) = behind.split_at_checked(second).unwrap_or_default();
    let (padding, nodes) =
        behind.split_at_checked(behind.len() - nodes * size_of::<NodeV1>()).unwrap_or_default();
    if zero != 0 || padding.iter().any(|byte| *byte != 0) {
        return Err(impossible("there is something where nothing should be"));
    }
    let attributes = attributes.believe().map_err(impossible)?;
    let page_size =
        PageSize::from_shift(page_shift).ok_or(impossible("there are no pages of such a size"))?;
    if !attributes.size.is_multiple_of(page_size.bytes()) {
        return Err(impossible("no file has a part of a huge page"));
    }
    Ok(Payload {
        attributes,
        page_size,
        place: believe_place(place, first, second, inode.get())?,
        placement: believe_placement(nodes)?,
        form: believe_form(form, frames.map(U64::get), [index, index_len, pages, shrunk].map(U64::get))?,
    })
}

fn believe_place(place: u8, first: &[u8], second: &[u8], inode: u64) -> Result<Place, PayloadError> {
    let mount = || Path::new(first).filter(Path::is_absolute).ok_or(impossible("nothing is mounted there"));
    match place {
        MEMFD if !second.is_empty() || inode != 0 => Err(impossible("a memfd has a name and nothing else")),
        MEMFD => crate::Name::new(first).map(Place::Memfd).ok_or(impossible("no memfd has such a name")),
        LINKED => {
            let path = Path::new(second).filter(|path| !path.is_absolute());
            let path = Some(path.ok_or(impossible("no file has such a path"))?);
            Ok(Place::Mounted { mount: mount()?, path, inode })
        }
        UNLINKED if second.is_empty() => Ok(Place::Mounted { mount: mount()?, path: None, inode }),
        UNLINKED => Err(impossible("an unlinked file has no path")),
        _ => Err(impossible("there is no such place")),
    }
}

fn believe_placement(nodes: &[u8]) -> Result<Placement, PayloadError> {
    let nodes = <[NodeV1]>::ref_from_bytes(nodes).map_err(|_| impossible("a node is cut off"))?;
    if nodes.len() > NODES_MAX {
        return Err(impossible("no host has so many nodes"));
    }
    if !nodes.is_sorted_by(|one, next| one.node.get() < next.node.get()) {
        return Err(impossible("nodes do not ascend"));
    }
    if nodes.iter().any(|node| node.zero != U32::ZERO || node.pages == U64::ZERO) {
        return Err(impossible("a node has no pages, or something else"));
    }
    let pages = nodes.iter().try_fold(0u64, |sum, node| sum.checked_add(node.pages.get()));
    pages.ok_or(impossible("no file has so many pages"))?;
    Ok(nodes.iter().map(|node| (Node(node.node.get()), node.pages.get())).collect())
}

fn believe_form(
    form: u8,
    [first, second]: [u64; 2],
    [index, index_len, pages, shrunk]: [u64; 4],
) -> Result<Form, PayloadError> {
    let segment = || {
        let bounds = Pfn::new(first).zip(FrameCount::new(second));
        let frames = bounds.and_then(|(start, count)| FrameRange::new(start, count));
        frames.ok_or(impossible("no segment has such frames"))
    };
    let named = |name: u64| (name != 0).then(|| Name::new(name));
    let frames = match form {
        SEGMENT if (index, index_len, pages, shrunk) == (0, 0, 0, 0) => return Ok(Form::Segment(segment()?)),
        SEGMENT => return Err(impossible("a segment has no page map")),
        SLOTS => match (named(first), named(index)) {
            (None, None) if (second, index_len, pages, shrunk) == (0, 0, 0, 0) => Frames::Slots(None),
            (Some(Some(slots)), Some(Some(_))) if (second, shrunk) == (0, 0) => Frames::Slots(Some(slots)),
            _ => {
                return Err(impossible("a store has slots and an index, each with a name, and nothing else"));
            }
        },
        STAND_IN => Frames::StandIn(segment()?),
        _ => return Err(impossible("there is no such form")),
    };
    let index = named(index).flatten();
    if index.is_none() && matches!(frames, Frames::StandIn(_)) {
        return Err(impossible("a stand-in has an index, with a name"));
    }
    if shrunk > pages {
        return Err(impossible("no pool shrinks by more pages than were freed"));
    }
    Ok(Form::Copied(Copied { frames, index, index_len, pages, shrunk }))
}
