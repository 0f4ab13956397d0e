//! Payloads: what is written down of one memfd.
//!
//! - A [`Payload`] is that as this program has it. [`v1`] is how it lies in bytes; a change of the layout is another
//!   version beside it.
//! - The **form** says where the contents lie: in a segment, which is the file itself, or in a store, which is a copy.
//!
//! Payloads carry no magic and no checksum of their own: the records that hold them have both. Everything else about
//! them is checked here.

mod v1;
#[cfg(test)]
mod tests;

use alloc::vec::Vec;

use luo_core::{PayloadError, Record, Version, VersionRange};
use luo_kho::{ByteLen, FrameRange};
use luo_xarray::page_map::StoreNames;

use crate::{Attributes, Name};

/// The newest version.
pub(crate) const NEWEST: Version = Version(1);
/// Versions that this build reads.
pub(crate) const READS: VersionRange = VersionRange::up_to(NEWEST);
/// Versions that this build writes, newest first.
pub(crate) const WRITES: [Version; 1] = [NEWEST];

/// What is written down of one memfd.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Payload {
    pub(crate) attributes: Attributes,
    pub(crate) name: Name,
    pub(crate) form: Form,
}

/// Where the contents lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Where they always lay: the file is attached.
    Segment(FrameRange),
    /// In preserved frames.
    Store(StoreNames),
}

impl Payload {
    /// The most bytes that a payload of this version takes, whatever becomes of the file.
    pub(crate) const fn most_bytes(version: Version) -> ByteLen {
        match version {
            NEWEST => v1::MOST_BYTES,
            _ => ByteLen::ZERO,
        }
    }

    /// The bytes in one version.
    ///
    /// # Errors
    ///
    /// [`PayloadError::Version`].
    pub(crate) fn encode(&self, version: Version) -> Result<Vec<u8>, PayloadError> {
        match version {
            NEWEST => Ok(v1::encode(self)),
            _ => Err(PayloadError::Version { version }),
        }
    }

    /// What somebody else wrote.
    ///
    /// # Errors
    ///
    /// What the bytes say that cannot be.
    pub(crate) fn decode(record: &Record<'_>) -> Result<Self, PayloadError> {
        match record.version {
            NEWEST => v1::decode(record.payload),
            version => Err(PayloadError::Version { version }),
        }
    }
}
