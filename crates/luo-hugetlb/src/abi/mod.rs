//! Payloads: what is written down of one file, and of the pages of one size.
//!
//! - A [`Payload`] is that of a file as this program has it; [`v1`] is how it lies in bytes. [`counts`] are the pages
//!   of one size, by node. A change of a layout is another version beside it.
//! - The **form** says where the contents lie: in a segment, which is the file itself, or copied, under a page map.
//!
//! Payloads carry no magic and no checksum of their own: the records that hold them have both. Everything else about
//! them is checked here.

pub(crate) mod counts;
mod v1;
#[cfg(test)]
mod tests;

use alloc::vec::Vec;

use luo_core::{PayloadError, Record, Version, VersionRange};
use luo_kho::{ByteLen, FrameRange, Name};

use crate::pool::Placement;
use crate::{Attributes, PageSize, Place};

/// The newest version.
pub(crate) const NEWEST: Version = Version(1);
/// Versions that this build reads.
pub(crate) const READS: VersionRange = VersionRange::up_to(NEWEST);
/// Versions that this build writes, newest first.
pub(crate) const WRITES: [Version; 1] = [NEWEST];
/// As many nodes as Linux can have (`MAX_NUMNODES`), and the unknown one.
const NODES_MAX: usize = 1025;

/// What is written down of one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Payload {
    pub(crate) attributes: Attributes,
    pub(crate) page_size: PageSize,
    pub(crate) place: Place,
    /// On which nodes its pages lay: as of prepare where they stay, as of freeze where they were copied.
    pub(crate) placement: Placement,
    pub(crate) form: Form,
}

/// Where the contents lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Where they always lay: the file is attached.
    Segment(FrameRange),
    /// Somewhere else.
    Copied(Copied),
}

/// A copy, and how much of it there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Copied {
    pub(crate) frames: Frames,
    /// The room for the page map. `None`: nothing was reserved, the file is one hole.
    pub(crate) index: Option<Name>,
    /// Bytes of the page map.
    pub(crate) index_len: u64,
    /// Huge pages that the page map names.
    pub(crate) pages: u64,
    /// Pages by which their pool has shrunk.
    pub(crate) shrunk: u64,
}

/// The frames that hold it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Frames {
    /// Slots, one for each 4 KiB. `None` with the index.
    Slots(Option<Name>),
    /// Those of a stand-in, which is attached.
    StandIn(FrameRange),
}

impl Payload {
    /// The most bytes that a payload of this version takes for a file in this place, or renamed, on a host with so many
    /// nodes.
    pub(crate) fn most_bytes(version: Version, place: &Place, nodes: usize) -> ByteLen {
        match version {
            NEWEST => v1::most_bytes(place, nodes),
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
