//! What goes wrong with files of huge pages, and what is refused.

use luo_core::{PayloadError, Refusal};
use luo_kho::{KhoError, StoreError};
use luo_xarray::page_map::PageMapError;

use crate::pool::Shortage;
use crate::{Attributes, HostError, Mismatch, PageSize, Path, Seals};

/// Why a file was not carried.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HugetlbError {
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
    /// What arrived in its place is another file, or was changed.
    #[error(transparent)]
    Mismatch(#[from] Mismatch),
    /// Pages are short. Nothing was taken, and what was handed over is untouched: another attempt may find more.
    #[error(transparent)]
    Shortage(#[from] Shortage),
    /// A page of the file has broken memory under it.
    #[error(
        "the page of {page_size} at byte {offset:#x} is poisoned: its memory is broken, its contents are lost"
    )]
    Poisoned {
        /// Where the page begins.
        offset: u64,
        /// Its size.
        page_size: PageSize,
    },
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
    /// Its pages would have to be freed while they are copied, which cannot be done.
    #[error("its pages cannot be freed while they are copied: {why}")]
    CannotFree {
        /// Why.
        why: alloc::borrow::Cow<'static, str>,
    },
    /// More pages are populated than prepare reserved frames for, and freeze takes no memory.
    #[error(
        "{populated} pages are populated, prepare reserved frames for {reserved}; prepare again, or with more head room"
    )]
    OutOfRoom {
        /// How many are populated now.
        populated: u64,
        /// For how many there are frames.
        reserved: u64,
    },
    /// Pages that had been freed could not be had again. Their contents are in ordinary memory.
    #[error(
        "{stranded} of its pages were freed and cannot be had again yet: bring them back before anybody uses the file"
    )]
    Stranded {
        /// How many.
        stranded: u64,
    },
    /// It got seals that this build does not know.
    #[error("it has seals {:#x}, which this build does not know", .seals.bits())]
    StrangeSeals {
        /// Those.
        seals: Seals,
    },
    /// What arrived in its place is no file of huge pages.
    #[error("what arrived in its place is not a file of huge pages")]
    NotHuge,
    /// It arrived with pages of another size.
    #[error("it arrived with pages of {found}, it was frozen with pages of {recorded}")]
    OtherPageSize {
        /// What it has.
        found: PageSize,
        /// What it had.
        recorded: PageSize,
    },
    /// No file system with pages of this size is mounted where the file was.
    #[error("no file system with pages of {page_size} is mounted at `{mount}`")]
    NoMount {
        /// Where it was mounted.
        mount: Path,
        /// The page size.
        page_size: PageSize,
    },
    /// The host made another file than it was asked for.
    #[error("the host was asked for {wanted:?}, and made {made:?}")]
    Unfaithful {
        /// What it was asked for.
        wanted: Attributes,
        /// What it made.
        made: Attributes,
    },
    /// The page map names frames that are not the file's, or pages that it does not have.
    #[error("the page map is not that of this file: {why}")]
    ForeignPages {
        /// Which.
        why: &'static str,
    },
}

impl From<HugetlbError> for Refusal {
    fn from(error: HugetlbError) -> Self {
        Self::new(error)
    }
}
