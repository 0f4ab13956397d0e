//! What the builder refuses to take, and why bytes are not believed.

use luo_kho::StoreError;

/// Why the builder did not take an entry or a run. It is as before the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// Indices have to ascend.
    #[error("index {index} does not come after {last}, which was the last one")]
    NotAscending {
        /// What was given.
        index: u64,
        /// The last index that the builder took.
        last: u64,
    },
    /// A range without an index, or values that would leave the range of u64.
    #[error("indices {first}..={last} with the first value {value} are not a run")]
    NotARun {
        /// The first index.
        first: u64,
        /// The last index.
        last: u64,
        /// The first value.
        value: u64,
    },
}

/// Where in a serialized map something is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The first 32 bytes.
    Header,
    /// The records that follow the header.
    Directory,
    /// The record of this part, or its body.
    Part(u64),
}

/// Why serialized bytes are not believed. They were written by somebody else.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SerialError {
    /// The bytes do not start with the magic.
    #[error("this is not a serialized map: its magic is {found:#010x}")]
    Magic {
        /// What stood there.
        found: u32,
    },
    /// A version that this build does not read.
    #[error("the serialized map has version {found}, which this build does not read")]
    Version {
        /// What stood there.
        found: u16,
    },
    /// A checksum does not agree with the bytes.
    #[error("{place} of the serialized map has checksum {found:#010x}, its bytes have {computed:#010x}")]
    Checksum {
        /// Which block.
        place: Place,
        /// What stood there.
        found: u32,
        /// What the bytes give.
        computed: u32,
    },
    /// A field says something that cannot be.
    #[error("{place} of the serialized map is impossible: {why}")]
    Impossible {
        /// Which block.
        place: Place,
        /// Which field, and why it cannot be so.
        why: &'static str,
    },
    /// The content could be read, but its one encoding has other bytes.
    #[error("{place} of the serialized map is not what its content encodes to: {why}")]
    NotCanonical {
        /// Which block.
        place: Place,
        /// What differs.
        why: &'static str,
    },
    /// The preserved frames could not be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl core::fmt::Display for Place {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Header => write!(f, "the header"),
            Self::Directory => write!(f, "the directory"),
            Self::Part(number) => write!(f, "part {number}"),
        }
    }
}
