//! The port: the least that a host must lend, so that its memfds can be carried.
//!
//! - A **file** is what users hold: a reference to an open memfd.
//! - A **reader** is a way of one's own to a file's contents and holes. It moves nothing that users can see: a memfd is
//!   searched for holes by moving a position, so a reader has a position of its own.
//! - A **draft** is a new memfd that is being filled. Nobody else knows it; it has no seals yet.
//!
//! [`linux`](crate::linux) is one adapter, [`sim`](crate::sim) another. A method changes nothing unless it says so.
//! Undoing is dropping: readers, drafts and files give back what they took.

use alloc::borrow::Cow;
use core::ops::Range;

use luo_core::Identity;
use luo_kho::{FrameCount, FrameRange, KhoError, Memory};

use crate::{Attributes, HostError, MemfdError, Name};

/// What a file is to the handler of memfds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sort {
    /// A memfd in shared memory.
    Memfd,
    /// Something else.
    Other,
    /// Something so near to a memfd that its user should hear why it is none, or why it cannot travel.
    Unfit {
        /// Why: lower case, no full stop.
        reason: Cow<'static, str>,
    },
}

/// A host with memfds.
pub trait Port: Send + Sync + 'static {
    /// What users hold.
    type File: Clone + Send + Sync + 'static;
    /// A way to its contents.
    type Reader: Send + Sync + 'static;
    /// A new one.
    type Draft: Send + Sync + 'static;

    /// What tells the file from others: the same for every reference to one inode.
    fn identity(&self, file: &Self::File) -> Identity;

    /// What the file is.
    ///
    /// # Errors
    ///
    /// The host's.
    fn sort(&self, file: &Self::File) -> Result<Sort, HostError>;

    /// All that a user can ask for.
    ///
    /// # Errors
    ///
    /// The host's.
    fn look(&self, file: &Self::File) -> Result<Attributes, HostError>;

    /// The name.
    ///
    /// # Errors
    ///
    /// The host's.
    fn name(&self, file: &Self::File) -> Result<Name, HostError>;

    /// What users have put on the file that a copy cannot have: locks, extended attributes.
    ///
    /// # Errors
    ///
    /// The host's.
    fn bonds(&self, file: &Self::File) -> Result<Option<&'static str>, HostError>;

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

    /// The file behind a segment, for its new user: with `wanted`'s access, fixed status flags and close-on-exec flag.
    /// Everything else of it is as it arrived.
    ///
    /// # Errors
    ///
    /// [`MemfdError::Kho`], [`MemfdError::Host`], [`MemfdError::NotAMemfd`].
    fn attached(
        &self,
        memory: &dyn Memory,
        segment: FrameRange,
        wanted: &Attributes,
    ) -> Result<Self::File, MemfdError>;

    /// What a file from [`attached`](Self::attached) looked like on its arrival; `None` for any other.
    fn arrival<'f>(&self, file: &'f Self::File) -> Option<&'f Attributes>;

    /// Changes mode, owner, position, changeable status flags and seals from what they are to what they shall be. What
    /// the host refuses stays as it is.
    fn amend(&self, file: &Self::File, is: &Attributes, shall: &Attributes);

    /// A way to the contents.
    ///
    /// # Errors
    ///
    /// The host's.
    fn open(&self, file: &Self::File) -> Result<Self::Reader, HostError>;

    /// The first populated bytes at or after byte `from`: from there, or from the start of a page, to the end of a
    /// page, or of the file. What was reserved and never written is a hole.
    ///
    /// # Errors
    ///
    /// The host's.
    fn next_data(&self, reader: &Self::Reader, from: u64) -> Result<Option<Range<u64>>, HostError>;

    /// Reads from byte `at` on. Holes, and what lies beyond the end, read as zeros.
    ///
    /// # Errors
    ///
    /// The host's; some of `bytes` may have been filled.
    fn read(&self, reader: &Self::Reader, at: u64, bytes: &mut [u8]) -> Result<(), HostError>;

    /// A new memfd of this name and `wanted`'s size, all of it a hole.
    ///
    /// # Errors
    ///
    /// The host's.
    fn draft(&self, name: &Name, wanted: &Attributes) -> Result<Self::Draft, HostError>;

    /// Writes from byte `at` on, within the size.
    ///
    /// # Errors
    ///
    /// The host's.
    fn write(&self, draft: &Self::Draft, at: u64, bytes: &[u8]) -> Result<(), HostError>;

    /// Gives the draft all other attributes of `wanted`, its seals last, and hands it out.
    ///
    /// # Errors
    ///
    /// The host's, also where it does not let this program give a file such an attribute.
    fn complete(&self, draft: Self::Draft, wanted: &Attributes) -> Result<Self::File, HostError>;
}
