//! Why the array did not take a block or a value.

use crate::Block;

/// Why nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum XArrayError {
    /// A block starts at a multiple of its size.
    #[error("a block of order {order} cannot start at index {first:#x}, which is no multiple of its size")]
    Misaligned {
        /// Where it was to start.
        first: u64,
        /// The exponent of its size.
        order: u8,
    },
    /// There are 2^64 indices and no more.
    #[error("a block of order {order} has more indices than there are")]
    OrderTooLarge {
        /// The exponent of its size.
        order: u8,
    },
    /// The value grows along the indices and cannot grow so far.
    #[error("the value for indices {first:#x} to {last:#x} cannot grow so far")]
    ValueEnds {
        /// The first index it was to cover.
        first: u64,
        /// The last index it was to cover.
        last: u64,
    },
    /// An entry is in the way.
    #[error("{by} already has an entry")]
    Occupied {
        /// The first entry in the way.
        by: Block,
    },
    /// A reservation is in the way.
    #[error("index {index:#x} is reserved")]
    Reserved {
        /// The first reserved index in the way.
        index: u64,
    },
}

/// A store that did not happen gives the value back.
#[must_use = "the value is still inside"]
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{error}")]
pub struct Refused<V> {
    /// What the caller gave.
    pub value: V,
    /// Why nothing happened.
    #[source]
    pub error: XArrayError,
}
