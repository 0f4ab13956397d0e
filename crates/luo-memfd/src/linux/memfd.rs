//! A memfd as programs hold it.

use alloc::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use luo_descriptor::linux::{Descriptor, create};
use rustix::fs::{MemfdFlags, ftruncate};

use crate::Attributes;

/// A descriptor of a memfd. Clones are cheap and share it; what is recorded of the descriptor itself, its close-on-exec
/// flag and its access, is that of this one.
///
/// ```
/// use std::os::fd::AsFd;
///
/// let memfd = luo_memfd::Memfd::create("guest", 2 << 20)?;
/// let clone = memfd.clone();
/// assert_eq!(std::fs::File::from(clone.as_fd().try_clone_to_owned()?).metadata()?.len(), 2 << 20);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Memfd(Descriptor);

impl Memfd {
    /// A new memfd, all of it a hole: closed on exec; seals can be added.
    ///
    /// It says that it may be executable (`MFD_EXEC`): where the default is otherwise, a memfd would be sealed so
    /// that Linux 7.3 gives it back write-sealed after a kexec.
    ///
    /// # Errors
    ///
    /// The kernel's; [`io::ErrorKind::InvalidInput`] if the name holds a NUL.
    pub fn create(name: &str, size: u64) -> io::Result<Self> {
        let name = CString::new(name)?;
        let descriptor = create(&name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING | MemfdFlags::EXEC)?;
        ftruncate(&descriptor, size)?;
        Ok(descriptor.into())
    }

    /// A file on a duplicate of the descriptor, closed on exec. It shares the position.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn to_file(&self) -> io::Result<File> {
        self.0.to_file()
    }

    /// The file itself, if nobody else holds it; otherwise [`to_file`](Self::to_file).
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn into_file(self) -> io::Result<File> {
        self.0.into_file()
    }

    /// One that came by reference, with what it looked like then.
    pub(super) fn arrived(descriptor: OwnedFd, arrival: Attributes) -> Self {
        Self(Descriptor::arrived(descriptor, arrival))
    }

    pub(super) fn arrival(&self) -> Option<&Attributes> {
        self.0.arrival()
    }
}

impl From<OwnedFd> for Memfd {
    fn from(descriptor: OwnedFd) -> Self {
        Self(descriptor.into())
    }
}

impl From<File> for Memfd {
    fn from(file: File) -> Self {
        OwnedFd::from(file).into()
    }
}

impl AsFd for Memfd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
