//! A descriptor that several holders share.

use alloc::sync::Arc;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::Attributes;

/// A descriptor of a file in memory. Clones are cheap and share it; what is recorded of the descriptor itself, its
/// close-on-exec flag and its access, is that of this one.
#[derive(Clone, Debug)]
pub struct Descriptor(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    descriptor: OwnedFd,
    arrival: Option<Attributes>,
}

impl Descriptor {
    /// One that came by reference, with what it looked like then.
    pub fn arrived(descriptor: OwnedFd, arrival: Attributes) -> Self {
        Self(Arc::new(Shared { descriptor, arrival: Some(arrival) }))
    }

    /// What it looked like when it came; `None` for any other.
    pub fn arrival(&self) -> Option<&Attributes> {
        self.0.arrival.as_ref()
    }

    /// A file on a duplicate of the descriptor, closed on exec. It shares the position.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn to_file(&self) -> io::Result<File> {
        Ok(self.as_fd().try_clone_to_owned()?.into())
    }

    /// The file itself, if nobody else holds it; otherwise [`to_file`](Self::to_file).
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn into_file(self) -> io::Result<File> {
        match Arc::try_unwrap(self.0) {
            Ok(Shared { descriptor, .. }) => Ok(descriptor.into()),
            Err(shared) => Self(shared).to_file(),
        }
    }
}

impl From<OwnedFd> for Descriptor {
    fn from(descriptor: OwnedFd) -> Self {
        Self(Arc::new(Shared { descriptor, arrival: None }))
    }
}

impl AsFd for Descriptor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.descriptor.as_fd()
    }
}
