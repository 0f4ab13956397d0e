//! The pages of one size that an update preserves. Version 1, little-endian: 8 bytes, then 24 for each node.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 1 | binary logarithm of the bytes of a huge page |
//! | 1 | 5 | 0 |
//! | 6 | 2 | count of nodes: at most 1024 nodes, and the unknown one |
//!
//! A node:
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 4 | its number, 2^32 - 1 for an unknown one; they ascend |
//! | 4 | 4 | 0 |
//! | 8 | 8 | pages by reference |
//! | 16 | 8 | copied pages |

use alloc::vec::Vec;

use luo_core::{PayloadError, Record};
use luo_kho::ByteLen;
use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::NODES_MAX;
use crate::PageSize;
use crate::pool::NodeCount;

#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct HeadV1 {
    page_shift: u8,
    zero: [u8; 5],
    nodes: U16,
}

#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct CountV1 {
    node: U32,
    zero: U32,
    kept: U64,
    copied: U64,
}

const _: () = {
    use core::mem::offset_of;
    assert!(size_of::<HeadV1>() == 8);
    assert!(offset_of!(HeadV1, zero) == 1);
    assert!(offset_of!(HeadV1, nodes) == 6);
    assert!(size_of::<CountV1>() == 24);
    assert!(offset_of!(CountV1, zero) == 4);
    assert!(offset_of!(CountV1, kept) == 8);
    assert!(offset_of!(CountV1, copied) == 16);
};

const fn impossible(why: &'static str) -> PayloadError {
    PayloadError::Impossible { why }
}

/// The most bytes for so many nodes.
pub(crate) const fn most_bytes(nodes: usize) -> ByteLen {
    let nodes = if nodes < NODES_MAX { nodes } else { NODES_MAX };
    ByteLen::of(size_of::<HeadV1>() + nodes * size_of::<CountV1>())
}

pub(crate) fn encode(page_size: PageSize, counts: &[NodeCount]) -> Vec<u8> {
    let counts = counts.get(..NODES_MAX).unwrap_or(counts);
    let nodes = U16::new(u16::try_from(counts.len()).unwrap_or(u16::MAX));
    let head = HeadV1 { page_shift: page_size.shift(), zero: [0; 5], nodes };
    let mut bytes = head.as_bytes().to_vec();
    for &NodeCount { node, kept, copied } in counts {
        let count = CountV1 { node: node.into(), zero: U32::ZERO, kept: kept.into(), copied: copied.into() };
        bytes.extend_from_slice(count.as_bytes());
    }
    bytes
}

/// What somebody else wrote.
///
/// # Errors
///
/// What the bytes say that cannot be.
pub(crate) fn decode(record: &Record<'_>) -> Result<(PageSize, Vec<NodeCount>), PayloadError> {
    if record.version != super::NEWEST {
        return Err(PayloadError::Version { version: record.version });
    }
    let bytes = record.payload;
    let wrong_length = |expected: ByteLen| PayloadError::Length { found: ByteLen::of(bytes.len()), expected };
    let (head, behind) =
        HeadV1::read_from_prefix(bytes).map_err(|_| wrong_length(ByteLen::of(size_of::<HeadV1>())))?;
    let HeadV1 { page_shift, zero, nodes } = head;
    let counts = <[CountV1]>::ref_from_bytes(behind).ok();
    let counts = counts.filter(|counts| counts.len() == usize::from(nodes.get()));
    let counts = counts.ok_or_else(|| wrong_length(most_bytes(nodes.get().into())))?;
    let page_size =
        PageSize::from_shift(page_shift).ok_or(impossible("there are no pages of such a size"))?;
    if counts.len() > NODES_MAX || !counts.is_sorted_by(|one, next| one.node.get() < next.node.get()) {
        return Err(impossible("nodes do not ascend, or are too many"));
    }
    if zero != [0; 5] || counts.iter().any(|count| count.zero != U32::ZERO) {
        return Err(impossible("there is something where nothing should be"));
    }
    let live = |count: &CountV1| NodeCount {
        node: count.node.get(),
        kept: count.kept.get(),
        copied: count.copied.get(),
    };
    Ok((page_size, counts.iter().map(live).collect()))
}
