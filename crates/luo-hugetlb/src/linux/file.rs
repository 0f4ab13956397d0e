//! A file of huge pages as programs hold it.

use alloc::ffi::CString;
use alloc::sync::Arc;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::OnceLock;

use luo_descriptor::linux::{Descriptor, create};
use rustix::fs::{MemfdFlags, ftruncate};

use crate::{Attributes, PageSize, Place};

/// `MFD_HUGE_SHIFT` in `memfd_create(2)`: the flags carry the binary logarithm of the page size.
const HUGE_SHIFT: u32 = 26;

/// A descriptor of a file of huge pages. Clones are cheap and share it; what is recorded of the descriptor itself, its
/// close-on-exec flag and its access, is that of this one.
///
/// ```no_run
/// use std::os::fd::AsFd;
///
/// use luo_hugetlb::{HugetlbFile, PageSize};
///
/// let file = HugetlbFile::create("guest", 1 << 30, PageSize::MIB_2)?;
/// assert_eq!(file.to_file()?.metadata()?.len(), 1 << 30);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct HugetlbFile {
    descriptor: Descriptor,
    /// Where it is, if that cannot be seen in `/proc`: it got its path after it was opened.
    place: Arc<OnceLock<Place>>,
}

impl HugetlbFile {
    /// A new memfd of huge pages, all of it a hole: closed on exec; seals can be added.
    ///
    /// # Errors
    ///
    /// The kernel's: `ENODEV` if it has no pages of this size, `EINVAL` unless `size` is a multiple of it.
    /// [`io::ErrorKind::InvalidInput`] if the name holds a NUL.
    pub fn create(name: &str, size: u64, page_size: PageSize) -> io::Result<Self> {
        let name = CString::new(name)?;
        let descriptor = create(&name, flags(page_size) | MemfdFlags::ALLOW_SEALING | MemfdFlags::EXEC)?;
        ftruncate(&descriptor, size)?;
        Ok(descriptor.into())
    }

    /// A file on a duplicate of the descriptor, closed on exec. It shares the position.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn to_file(&self) -> io::Result<File> {
        self.descriptor.to_file()
    }

    /// The file itself, if nobody else holds it; otherwise [`to_file`](Self::to_file).
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn into_file(self) -> io::Result<File> {
        self.descriptor.into_file()
    }

    /// One that came by reference, with what it looked like then.
    pub(super) fn arrived(descriptor: OwnedFd, arrival: Attributes, place: &Place) -> Self {
        let file = Self { descriptor: Descriptor::arrived(descriptor, arrival), place: Arc::default() };
        file.found_at(place.clone());
        file
    }

    pub(super) fn arrival(&self) -> Option<&Attributes> {
        self.descriptor.arrival()
    }

    /// Where it may be, if `/proc` does not tell.
    pub(super) fn found_at(&self, place: Place) {
        // What is known is not forgotten.
        let _ = self.place.set(place);
    }

    pub(super) fn maybe_at(&self) -> Option<&Place> {
        self.place.get()
    }
}

impl From<OwnedFd> for HugetlbFile {
    fn from(descriptor: OwnedFd) -> Self {
        Self { descriptor: descriptor.into(), place: Arc::default() }
    }
}

impl From<File> for HugetlbFile {
    fn from(file: File) -> Self {
        OwnedFd::from(file).into()
    }
}

impl AsFd for HugetlbFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

/// The flags with which a memfd of such pages is made, closed on exec.
pub(super) fn flags(page_size: PageSize) -> MemfdFlags {
    let size = u32::from(page_size.shift()) << HUGE_SHIFT;
    MemfdFlags::CLOEXEC | MemfdFlags::HUGETLB | MemfdFlags::from_bits_retain(size)
}
