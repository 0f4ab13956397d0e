//! What the builder refuses to take, and why bytes are not believed.

use luo_kho::{FrameCount, FrameRange, Order, StoreError};

use crate::serial::SerialError;

/// Why an extent cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ExtentError {
    /// Extents have to ascend.
    #[error("page {page} does not come after page {last}, which was the last one")]
    NotAscending {
        /// The first page that was given.
        page: u64,
        /// The last page that the builder took.
        last: u64,
    },
    /// No file has so many pages.
    #[error("{count} from page {page} on reach past the end of any file")]
    PastTheEnd {
        /// The first page.
        page: u64,
        /// How many.
        count: FrameCount,
    },
    /// Folios start at multiples of their size, in the file and in memory.
    #[error("page {page} in {frames} is not made of folios of order {}", order.get())]
    Misaligned {
        /// The first page.
        page: u64,
        /// The frames.
        frames: FrameRange,
        /// The order.
        order: Order,
    },
    /// A folio smaller than the file's smallest.
    #[error("page {page} has order {}, the smallest of its file is {}", order.get(), granule.get())]
    BelowGranule {
        /// The first page.
        page: u64,
        /// The order.
        order: Order,
        /// The file's granule.
        granule: Order,
    },
}

/// Why a serialized page map is not believed. Its bytes were written by somebody else.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PageMapError {
    /// The bytes do not start with the magic.
    #[error("this is not a page map: its magic is {found:#010x}")]
    Magic {
        /// What stood there.
        found: u32,
    },
    /// A version that this build does not read.
    #[error("the page map has version {found}, which this build does not read")]
    Version {
        /// What stood there.
        found: u16,
    },
    /// The header's checksum does not agree with its bytes.
    #[error("the header of the page map has checksum {found:#010x}, its bytes have {computed:#010x}")]
    Checksum {
        /// What stood there.
        found: u32,
        /// What the bytes give.
        computed: u32,
    },
    /// A field says something that cannot be.
    #[error("the page map is impossible: {why}")]
    Impossible {
        /// What it is.
        why: &'static str,
    },
    /// An extent that cannot be.
    #[error("the page map is impossible: {0}")]
    Extent(#[from] ExtentError),
    /// The map of the frames.
    #[error("the frames of the page map: {0}")]
    Frames(#[source] SerialError),
    /// The map of the attributes.
    #[error("the attributes of the page map: {0}")]
    Attributes(#[source] SerialError),
    /// The map names frames that are not the file's, or pages that it does not have.
    #[error("the page map is not that of this file: {why}")]
    Foreign {
        /// Which.
        why: &'static str,
    },
    /// The preserved frames could not be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
}
