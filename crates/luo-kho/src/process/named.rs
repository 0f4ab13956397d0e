//! Descriptors that an embedder gives along, each under a **name**.

use alloc::borrow::ToOwned as _;
use alloc::string::String;
use alloc::vec::Vec;

use rustix::fd::{AsFd as _, BorrowedFd, OwnedFd};

use super::segment::duplicate;
use super::waybill::{self, Load, Role};
use crate::KhoError;

/// Them all.
#[derive(Debug, Default)]
pub(super) struct Named {
    files: Vec<(String, OwnedFd)>,
    edition: u64,
}

impl Named {
    /// Adds a duplicate of `file`, in place of what had this name before.
    ///
    /// # Errors
    ///
    /// [`KhoError::BadName`], [`KhoError::Host`].
    pub(super) fn carry(&mut self, name: &str, file: BorrowedFd<'_>) -> Result<(), KhoError> {
        if !waybill::is_name(name) {
            return Err(KhoError::BadName);
        }
        let file = duplicate(file)?;
        self.edition += 1;
        self.files.retain(|(known, _)| known != name);
        self.files.push((name.to_owned(), file));
        Ok(())
    }

    /// As a waybill lists them.
    pub(super) fn loads(&self) -> impl Iterator<Item = Load<'_>> {
        self.files.iter().map(|(name, file)| (Role::Named(name.clone()), file.as_fd()))
    }

    /// Another number after each change.
    pub(super) const fn edition(&self) -> u64 {
        self.edition
    }
}
