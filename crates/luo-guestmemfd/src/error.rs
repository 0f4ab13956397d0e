//! What goes wrong with guest_memfds, and what is refused.

use alloc::string::String;

use luo_core::{Refusal, Token};
use luo_descriptor::HostError;
use luo_kho::{ByteLen, KhoError, StoreError};
use luo_xarray::page_map::PageMapError;

use crate::abi::RecordError;

/// Why a guest_memfd was not carried.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GuestMemfdError {
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
    Record(#[from] RecordError),
    /// The host cannot read it.
    #[error("{why}")]
    Hidden {
        /// What it cannot read, and what follows.
        why: String,
    },
    /// The memory behind a page is broken, and what was in it is lost.
    #[error("page {page} is poisoned: what was in it cannot be read")]
    Poisoned {
        /// Which page of the file.
        page: u64,
    },
    /// The file names a virtual machine that is not preserved beside it.
    #[error("its virtual machine is not preserved in its session: {cause}")]
    VmNotPreserved {
        /// What is known of the machine.
        cause: Refusal,
    },
    /// The machine that the file names did not arrive.
    #[error("its virtual machine, token {token}, is missing: {cause}")]
    NoVm {
        /// Under which token it should have been.
        token: Token,
        /// Why it is not there.
        cause: Refusal,
    },
    /// A copy needs a machine in which it is made.
    #[error("it was preserved without its virtual machine, and nobody said in which one to make it anew")]
    VmUnknown,
    /// The embedder has no machine for it.
    #[error("there is no virtual machine in which to make it anew: {0}")]
    VmRefused(#[source] Refusal),
    /// More pages exist than prepare reserved frames for, and freeze takes no memory.
    #[error(
        "{present} pages exist, prepare reserved frames for {reserved}; prepare again, or with more to spare"
    )]
    OutOfRoom {
        /// How many there are now.
        present: u64,
        /// How many frames there are.
        reserved: u64,
    },
    /// More was told since prepare than it reserved room for.
    #[error(
        "{bindings} bindings and {runs} runs of shared and private frames do not fit into what prepare reserved; prepare again"
    )]
    ToldTooMuch {
        /// Bindings now.
        bindings: usize,
        /// Runs now.
        runs: u64,
    },
    /// More runs of shared and private frames than are carried.
    #[error("its shared and private frames come in {runs} runs, of which {max} can be carried")]
    TooManyRuns {
        /// How many.
        runs: u64,
        /// How many can be.
        max: u64,
    },
    /// The embedder could not say which private pages exist.
    #[error("its private pages cannot be found: {0}")]
    Search(#[source] Refusal),
    /// The embedder could not export a page.
    #[error("private page {page} cannot be exported: {cause}")]
    Export {
        /// Which.
        page: u64,
        /// Why not.
        cause: Refusal,
    },
    /// The embedder could not import a page.
    #[error("private page {page} cannot be imported: {cause}")]
    Import {
        /// Which.
        page: u64,
        /// Why not.
        cause: Refusal,
    },
    /// Private pages arrived, and this program cannot import any.
    #[error("its private pages were exported, and this program has no means to import them")]
    NoImport,
    /// What arrived in its place is no guest_memfd.
    #[error("what arrived in its place is not a guest_memfd")]
    NotAGuestMemfd,
    /// It is another file than was written down: a guest_memfd never changes its size.
    #[error("it arrived with {found}, it was frozen with {recorded}")]
    OtherSize {
        /// What it has.
        found: ByteLen,
        /// What it had.
        recorded: ByteLen,
    },
}

impl From<GuestMemfdError> for Refusal {
    fn from(error: GuestMemfdError) -> Self {
        Self::new(error)
    }
}
