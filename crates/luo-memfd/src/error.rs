//! What goes wrong with memfds, and what is refused.

use luo_core::{PayloadError, Refusal};
use luo_kho::{KhoError, StoreError};
use luo_xarray::page_map::PageMapError;

use crate::{Attributes, HostError, Mismatch, Seals};

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
    /// What arrived in its place is another file, or was changed.
    #[error(transparent)]
    Mismatch(#[from] Mismatch),
    /// It got seals that this build does not know.
    #[error("it has seals {:#x}, which this build does not know", .seals.bits())]
    StrangeSeals {
        /// Those.
        seals: Seals,
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
