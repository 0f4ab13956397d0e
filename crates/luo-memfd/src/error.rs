//! What goes wrong with memfds, and what is refused.

use luo_core::Refusal;
use luo_kho::{ByteLen, KhoError, StoreError};
use luo_xarray::page_map::PageMapError;

use crate::abi::PayloadError;
use crate::{Access, Attributes, Seals, Status};

/// A call that the host refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{call} failed with errno {errno}")]
pub struct HostError {
    /// The call.
    pub call: &'static str,
    /// The host's error number.
    pub errno: i32,
}

/// Why a memfd was not carried.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MemfdError {
    /// The host refused.
    #[error(transparent)]
    Host(#[from] HostError),
    /// Preserved memory refused.
    #[error(transparent)]
    Kho(#[from] KhoError),
    /// A structure in preserved memory could not be made, or is not believed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The page map is not believed.
    #[error(transparent)]
    PageMap(#[from] PageMapError),
    /// The payload is not believed.
    #[error(transparent)]
    Payload(#[from] PayloadError),
    /// It would have to be copied, and the embedder does not want that.
    #[error("it would have to be copied, which this handler was told never to do: {why}")]
    MayNotCopy {
        /// Why it cannot go by reference.
        why: alloc::string::String,
    },
    /// It would have to be copied, and a copy would lack something.
    #[error("it has to be copied, and a copy cannot have its {bond}")]
    CannotCopy {
        /// What its users put on it.
        bond: &'static str,
    },
    /// More pages are populated than prepare reserved frames for, and freeze takes no memory.
    #[error(
        "{populated} pages are populated, prepare reserved frames for {reserved}; prepare again, or with more head room"
    )]
    OutOfRoom {
        /// How many are populated now.
        populated: u64,
        /// How many frames there are.
        reserved: u64,
    },
    /// The embedder's dirty log failed.
    #[error("the dirty log failed: {0}")]
    DirtyLog(#[source] Refusal),
    /// What arrived in its place is no memfd.
    #[error("what arrived in its place is not a memfd")]
    NotAMemfd,
    /// It was cut off or has grown since it was frozen.
    #[error("it arrived with {found}, it was frozen with {recorded}")]
    OtherSize {
        /// What it has.
        found: ByteLen,
        /// What it had.
        recorded: ByteLen,
    },
    /// It got seals that it did not have when it was frozen. Seals cannot be taken off.
    #[error("it arrived with seals {:#x} that it did not have when it was frozen", .seals.bits())]
    Sealed {
        /// Those.
        seals: Seals,
    },
    /// The descriptor may not be used as before.
    #[error("it arrived for {found:?}, it was open for {recorded:?}")]
    OtherAccess {
        /// What it may be used for.
        found: Access,
        /// What it could be used for.
        recorded: Access,
    },
    /// The descriptor has other flags, which it keeps from its opening on.
    #[error("it arrived with status flags {:#x}, it was open with {:#x}", .found.bits(), .recorded.bits())]
    OtherStatus {
        /// What it has.
        found: Status,
        /// What it had.
        recorded: Status,
    },
    /// The host made another file than it was asked for.
    #[error("the host was asked for {wanted:?}, and made {made:?}")]
    Unfaithful {
        /// What it was asked for.
        wanted: Attributes,
        /// What it made.
        made: Attributes,
    },
}

impl From<MemfdError> for Refusal {
    fn from(error: MemfdError) -> Self {
        Self::new(error)
    }
}
