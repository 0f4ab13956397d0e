//! Payloads: what is written down of one guest_memfd.
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

use alloc::sync::Arc;
use alloc::vec::Vec;

use luo_core::{PayloadError, Record, Token, Version, VersionRange};
use luo_kho::{ByteLen, FrameRange};
use luo_xarray::page_map::StoreNames;
use luo_xarray::serial::SerialError;

use crate::{Facts, TellError};

/// The newest version.
pub(crate) const NEWEST: Version = Version(1);
/// Versions that this build reads.
pub(crate) const READS: VersionRange = VersionRange::up_to(NEWEST);
/// Versions that this build writes, newest first.
pub(crate) const WRITES: [Version; 1] = [NEWEST];

/// What is written down of one guest_memfd.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Payload {
    pub(crate) close_on_exec: bool,
    /// Under which token of the same session the machine is that the file serves.
    pub(crate) vm: Option<Token>,
    pub(crate) form: Form,
    pub(crate) facts: Arc<Facts>,
}

/// Where the contents lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Where they always lay: the file is attached.
    Segment(FrameRange),
    /// In preserved frames.
    Store(StoreNames),
}

/// Why a record is not believed. Its bytes were written by somebody else.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// The payload as such.
    #[error(transparent)]
    Payload(#[from] PayloadError),
    /// A binding that cannot be.
    #[error("the payload is impossible: {0}")]
    Binding(#[from] TellError),
    /// The map of shared and private frames is not believed.
    #[error("the map of shared and private frames: {0}")]
    Sharing(#[from] SerialError),
}

impl RecordError {
    /// A field says something that cannot be.
    pub(crate) const fn impossible(why: &'static str) -> Self {
        Self::Payload(PayloadError::Impossible { why })
    }
}

impl Payload {
    /// The most bytes that a payload of this version takes, with no more bindings and runs than these.
    pub(crate) const fn most_bytes(version: Version, bindings: usize, runs: u64) -> ByteLen {
        match version {
            NEWEST => v1::most_bytes(bindings, runs),
            _ => ByteLen::ZERO,
        }
    }

    /// The bytes in one version; `map` is the sharing of the facts, encoded.
    ///
    /// # Errors
    ///
    /// [`PayloadError::Version`]; [`PayloadError::Impossible`] for more than fits.
    pub(crate) fn encode(&self, version: Version, map: &[u8]) -> Result<Vec<u8>, PayloadError> {
        match version {
            NEWEST => v1::encode(self, map),
            _ => Err(PayloadError::Version { version }),
        }
    }

    /// What somebody else wrote.
    ///
    /// # Errors
    ///
    /// What the bytes say that cannot be.
    pub(crate) fn decode(record: &Record<'_>) -> Result<Self, RecordError> {
        match record.version {
            NEWEST => v1::decode(record.payload),
            version => Err(PayloadError::Version { version }.into()),
        }
    }
}
