//! Segments: memory of files with frame numbers of its own.

use alloc::sync::Arc;
use core::any::Any;

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::fcntl_dupfd_cloexec;

use super::error::host;
use crate::{FrameCount, FrameRange, KhoError, Memory};

/// The lowest number that a descriptor of ours may get: 0, 1 and 2 belong to standard input and output.
const ABOVE_STDERR: i32 = 3;

/// What [`Memory::attach`] takes and [`Memory::attached`] shows in this backend: a descriptor of one's own. Clones
/// share it.
#[derive(Clone, Debug)]
pub struct SegmentFile(Arc<OwnedFd>);

impl SegmentFile {
    /// A duplicate of this descriptor.
    ///
    /// # Errors
    ///
    /// [`KhoError::Host`].
    pub fn duplicate(file: BorrowedFd<'_>) -> Result<Self, KhoError> {
        Ok(Self::from(duplicate(file)?))
    }
}

impl From<OwnedFd> for SegmentFile {
    fn from(file: OwnedFd) -> Self {
        Self(Arc::new(file))
    }
}

impl AsFd for SegmentFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Gives the memory of a file frame numbers: [`Memory::attach`] for descriptors. The memory keeps a duplicate of `file`
/// until it is detached.
///
/// # Errors
///
/// Those of [`Memory::attach`].
pub fn attach<M: Memory + ?Sized>(
    memory: &mut M,
    file: BorrowedFd<'_>,
    frames: FrameCount,
) -> Result<FrameRange, KhoError> {
    memory.attach(&SegmentFile::duplicate(file)?, frames)
}

/// A duplicate of the descriptor behind a segment: [`Memory::attached`] for descriptors.
///
/// # Errors
///
/// Those of [`Memory::attached`]; [`KhoError::NotAttachable`] if the memory is not one of descriptors;
/// [`KhoError::Host`].
pub fn attached<M: Memory + ?Sized>(memory: &M, segment: FrameRange) -> Result<OwnedFd, KhoError> {
    duplicate(of_this_backend(memory.attached(segment)?)?.as_fd())
}

pub(super) fn of_this_backend(file: &dyn Any) -> Result<&SegmentFile, KhoError> {
    file.downcast_ref().ok_or(KhoError::NotAttachable { why: "it is not a descriptor" })
}

/// A duplicate that is closed on exec.
pub(super) fn duplicate(file: BorrowedFd<'_>) -> Result<OwnedFd, KhoError> {
    fcntl_dupfd_cloexec(file, ABOVE_STDERR).map_err(host("fcntl(F_DUPFD_CLOEXEC)"))
}
