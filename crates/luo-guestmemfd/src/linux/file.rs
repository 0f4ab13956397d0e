//! A guest_memfd as programs hold it.

use alloc::sync::Arc;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use luo_kho::FRAME_BYTES;
use rustix::fs::fstat;

use super::{Vm, Window, door};
use crate::{Facts, Flags, Told};

/// A descriptor of a guest_memfd, and what was told of it. Clones are cheap and share both.
#[derive(Clone, Debug)]
pub struct GuestMemfd(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    descriptor: OwnedFd,
    told: Told,
    vm: Option<Vm>,
    /// Whether it was made for `vm`, so that it can be bound to it.
    native: bool,
}

impl GuestMemfd {
    /// A new guest_memfd of `vm`, of so many pages of 4 KiB, closed on exec.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn create(vm: &Vm, pages: u64, flags: Flags) -> io::Result<Self> {
        let size = pages.checked_mul(FRAME_BYTES).ok_or(io::ErrorKind::FileTooLarge)?;
        let descriptor = door::create(vm.fd(), size, flags.bits())?;
        Ok(Self::of(descriptor, Facts::new(flags, pages), Some(vm.clone()), true))
    }

    /// A guest_memfd that was made with these flags, for `vm` where somebody says so: neither can be asked for. Where
    /// it is bound remains to be [told](Self::told).
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn new(descriptor: OwnedFd, flags: Flags, vm: Option<Vm>) -> io::Result<Self> {
        let size = fstat(&descriptor)?.st_size.unsigned_abs();
        let native = vm.is_some();
        Ok(Self::of(descriptor, Facts::new(flags, size / FRAME_BYTES), vm, native))
    }

    pub(super) fn of(descriptor: OwnedFd, facts: Facts, vm: Option<Vm>, native: bool) -> Self {
        Self(Arc::new(Shared { descriptor, told: Told::new(facts), vm, native }))
    }

    /// What was told of it.
    pub fn told(&self) -> &Told {
        &self.0.told
    }

    /// The machine that it serves, if anybody said.
    pub fn vm(&self) -> Option<&Vm> {
        self.0.vm.as_ref()
    }

    /// Whether it was made for this machine, so that slots of the machine can be bound to it. One that was handed over
    /// and [mapped](crate::Retrieve::MapOld) was made for another.
    pub fn is_native_to(&self, vm: &Vm) -> bool {
        self.0.native && self.0.vm.as_ref().is_some_and(|own| own.is(vm))
    }

    /// Maps all of it, to be read and written.
    ///
    /// # Errors
    ///
    /// The kernel's; it refuses unless the file was made with [`Flags::MMAP`].
    pub fn map(&self) -> io::Result<Window> {
        Window::of(self.to_file()?, self.told().facts().pages())
    }

    /// A duplicate of the descriptor, closed on exec.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn to_file(&self) -> io::Result<File> {
        Ok(self.0.descriptor.try_clone()?.into())
    }
}

impl AsFd for GuestMemfd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.descriptor.as_fd()
    }
}
