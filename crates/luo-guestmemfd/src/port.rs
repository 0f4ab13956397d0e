//! The port: the least that a host must lend, so that its guest_memfds can be carried.
//!
//! - A **file** is what users hold: a guest_memfd, what was [told](crate::Told) of it, and the virtual machine that it
//!   serves.
//! - A **reader** is a way of the host's own to the contents.
//! - A **draft** is a new guest_memfd that is being filled. Nobody else knows it.
//!
//! [`linux`](crate::linux) is one adapter, [`sim`](crate::sim) another. A method changes nothing unless it says so.
//! Undoing is dropping: readers, drafts, files and machines give back what they took.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;

use luo_core::{Identity, Refusal};
use luo_kho::{FrameCount, FrameRange, KhoError, Memory};

use crate::{Facts, GuestMemfdError, HostError, VmType};

/// What a file is to the handler of guest_memfds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    /// A guest_memfd.
    GuestMemfd,
    /// Something else.
    Other,
}

/// What can be seen of a file. Everything else has to be told: see [`Facts`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// Bytes, holes included. It never changes.
    pub size: u64,
    /// Whether an `execve` closes the descriptor.
    pub close_on_exec: bool,
}

/// A host with guest_memfds.
pub trait Port: Send + Sync + 'static {
    /// A virtual machine, as users hold it.
    type Vm: Clone + Send + Sync + 'static;
    /// A guest_memfd, as users hold it.
    type File: Clone + Send + Sync + 'static;
    /// A way to its contents.
    type Reader: Send + Sync + 'static;
    /// A new one.
    type Draft: Send + Sync + 'static;

    /// What tells the machine from others: the same for every clone.
    fn vm_identity(&self, vm: &Self::Vm) -> Identity;

    /// What type of machine it was made as.
    fn vm_type(&self, vm: &Self::Vm) -> VmType;

    /// A machine of this program that takes the place of one that it did not get: new, or made by it beforehand.
    ///
    /// # Errors
    ///
    /// Why there is none.
    fn make_vm(&self, of: VmType) -> Result<Self::Vm, Refusal>;

    /// What tells the file from others: the same for every reference to one inode, whatever machine it serves.
    fn identity(&self, file: &Self::File) -> Identity;

    /// What the file is.
    ///
    /// # Errors
    ///
    /// The host's.
    fn sort(&self, file: &Self::File) -> Result<Sort, HostError>;

    /// What can be seen of it.
    ///
    /// # Errors
    ///
    /// The host's.
    fn look(&self, file: &Self::File) -> Result<Look, HostError>;

    /// What was told of it. As long as nothing else is told, each call gives the same.
    fn facts(&self, file: &Self::File) -> Arc<Facts>;

    /// The machine that it serves, if anybody said.
    fn vm(&self, file: &Self::File) -> Option<Self::Vm>;

    /// Attaches the file to preserved memory, as [`Memory::attach`] says.
    ///
    /// # Errors
    ///
    /// Those of [`Memory::attach`].
    fn attach(
        &self,
        file: &Self::File,
        memory: &mut dyn Memory,
        frames: FrameCount,
    ) -> Result<FrameRange, KhoError>;

    /// The file behind a segment, for its new user: serving `vm`, with the facts that were written down of it.
    ///
    /// # Errors
    ///
    /// [`GuestMemfdError::Kho`], [`GuestMemfdError::Host`], [`GuestMemfdError::NotAGuestMemfd`].
    fn attached(
        &self,
        memory: &dyn Memory,
        segment: FrameRange,
        vm: Option<Self::Vm>,
        facts: Facts,
        close_on_exec: bool,
    ) -> Result<Self::File, GuestMemfdError>;

    /// A way to the contents of a file that the host can read.
    ///
    /// # Errors
    ///
    /// The host's.
    fn open(&self, file: &Self::File) -> Result<Self::Reader, HostError>;

    /// Which pages exist: ascending, not touching.
    ///
    /// # Errors
    ///
    /// The host's.
    fn present(&self, reader: &Self::Reader) -> Result<Vec<Range<u64>>, HostError>;

    /// Makes ready to read pages that exist.
    ///
    /// # Errors
    ///
    /// The host's; [`GuestMemfdError::Poisoned`].
    fn touch(&self, reader: &Self::Reader, pages: Range<u64>) -> Result<(), GuestMemfdError>;

    /// Reads whole pages that exist, from `page` on.
    ///
    /// # Errors
    ///
    /// As [`touch`](Self::touch); some of `bytes` may have been filled.
    fn read(&self, reader: &Self::Reader, page: u64, bytes: &mut [u8]) -> Result<(), GuestMemfdError>;

    /// A new guest_memfd of this machine, with the flags and the size that `facts` say, all of it a hole.
    ///
    /// # Errors
    ///
    /// The host's.
    fn draft(&self, vm: &Self::Vm, facts: &Facts) -> Result<Self::Draft, HostError>;

    /// Writes whole pages, from `page` on.
    ///
    /// # Errors
    ///
    /// The host's.
    fn write(&self, draft: &Self::Draft, page: u64, bytes: &[u8]) -> Result<(), HostError>;

    /// Copies pages that exist from one file to another.
    ///
    /// # Errors
    ///
    /// As [`touch`](Self::touch).
    fn transfer(
        &self,
        from: &Self::Reader,
        to: &Self::Draft,
        pages: Range<u64>,
    ) -> Result<(), GuestMemfdError>;

    /// Hands the draft out, serving `vm` if it serves a machine by name, with these facts.
    ///
    /// # Errors
    ///
    /// The host's.
    fn complete(
        &self,
        draft: Self::Draft,
        vm: Option<Self::Vm>,
        facts: Facts,
        close_on_exec: bool,
    ) -> Result<Self::File, HostError>;

    /// About how many bytes the host copies in a second, for plans. Never 0.
    fn bytes_per_second(&self) -> u64;
}
