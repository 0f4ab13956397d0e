//! Why memory could not be opened, and how the host's errors are told.

use rustix::io::Errno;

use crate::{BadBlock, FrameRange, KhoError, Word};

/// Why memory of files could not be made, or what was carried here is not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The descriptor is not a memfd whose seals can be asked for.
    #[error("the {file} is not a memfd")]
    NotMemfd {
        /// Which descriptor.
        file: &'static str,
    },
    /// Without `F_SEAL_SHRINK` the file could be cut off under whoever reads it.
    #[error("the {file} is not sealed against shrinking")]
    MayShrink {
        /// Which descriptor.
        file: &'static str,
    },
    /// The file is sealed against writing: its next owner could not use it.
    #[error("the {file} is sealed against writing")]
    ReadOnly {
        /// Which descriptor.
        file: &'static str,
    },
    /// The file is shorter than what it is said to hold.
    #[error("the {file} has {len} bytes, at least {least} are needed")]
    TooShort {
        /// Which descriptor.
        file: &'static str,
        /// Its length.
        len: u64,
        /// The least that would do.
        least: u64,
    },
    /// The header or the table of segments is damaged.
    #[error(transparent)]
    Bad(#[from] BadBlock),
    /// The header was sealed for another offer than the one that stands.
    #[error("the arena was sealed under {sealed}, which {offered} did not come from")]
    OtherOffer {
        /// The word under which it was sealed.
        sealed: Word,
        /// The word that makes the offer.
        offered: Word,
    },
    /// Another number of segments was carried than the arena says.
    #[error("the arena has {said} segments, {carried} were carried")]
    SegmentsMissing {
        /// What the arena says.
        said: u64,
        /// How many descriptors came.
        carried: u64,
    },
    /// A segment's frame numbers cannot be.
    #[error("the segment {range} is impossible: {why}")]
    BadSegment {
        /// Its frames.
        range: FrameRange,
        /// Why not.
        why: &'static str,
    },
    /// There is nothing on offer, the tracker is damaged, or the host failed.
    #[error(transparent)]
    Kho(#[from] KhoError),
}

/// Names the call that failed.
pub(super) fn host(call: &'static str) -> impl Fn(Errno) -> KhoError + Copy {
    move |errno| KhoError::Host { call, errno: errno.raw_os_error() }
}

/// As [`host`], for calls of the standard library.
pub(super) fn host_io(call: &'static str) -> impl Fn(std::io::Error) -> KhoError + Copy {
    move |error| KhoError::Host { call, errno: error.raw_os_error().unwrap_or(0) }
}
