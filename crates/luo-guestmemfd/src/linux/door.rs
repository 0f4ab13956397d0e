//! The door: the calls that the compiler cannot check.
//!
//! - **Presence** of pages is asked for with `mincore`, which writes where it is told to; `madvise` puts pages in
//!   place.
//! - A **slot** is given to KVM as a number that is an address.

#![expect(
    unsafe_code,
    reason = "mincore, madvise, memory slots, and a descriptor that kvm-ioctls returns as a number"
)]
// UNSAFETY: KVM writes guest memory behind the compiler's back, at host addresses that are given to it as numbers;
// mincore and madvise take pointers; and a new descriptor comes as a number that nobody owns yet.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, FromRawFd as _, OwnedFd};

use kvm_bindings::{
    KVM_MEM_GUEST_MEMFD, kvm_create_guest_memfd, kvm_userspace_memory_region, kvm_userspace_memory_region2,
};
use kvm_ioctls::{Error, VmFd};
use luo_kho::{ByteLen, FRAME_BYTES};
use rustix::io::{FdFlags, fcntl_setfd};
use vm_memory::MmapRegion;

use super::{GuestMemfd, Vm, Window};
use crate::Binding;

/// Whether each of the pages from `page` on exists: one byte for each, whose lowest bit says so. `exists` has room for
/// no more pages than the mapping has behind `page`.
pub(super) fn mincore(mapping: &MmapRegion, page: u64, exists: &mut [u8]) -> io::Result<()> {
    let start = ByteLen::new(page * FRAME_BYTES).as_usize();
    let len = ByteLen::new(ByteLen::of(exists.len()).get() * FRAME_BYTES).as_usize();
    assert!(start.checked_add(len).is_some_and(|end| end <= mapping.size()), "it asks within the mapping");
    let from = mapping.as_ptr().wrapping_add(start).cast();
    // SAFETY: the kernel writes one byte for each page of `len` bytes, which are as many as `exists` has. It only looks
    // at the pages, which are mapped: the range lies within the mapping.
    let done = unsafe { libc::mincore(from, len, exists.as_mut_ptr()) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Puts pages in place, to be read, or to be written too. They exist from then on.
pub(super) fn populate(mapping: &MmapRegion, pages: &Range<u64>, write: bool) -> io::Result<()> {
    let [start, end] =
        [pages.start, pages.end].map(|page| ByteLen::new(page.saturating_mul(FRAME_BYTES)).as_usize());
    assert!(start <= end && end <= mapping.size(), "it asks within the mapping");
    let advice = if write { libc::MADV_POPULATE_WRITE } else { libc::MADV_POPULATE_READ };
    let from = mapping.as_ptr().wrapping_add(start).cast();
    // SAFETY: this advice changes no byte of what is mapped; the range lies within the mapping.
    let done = unsafe { libc::madvise(from, end - start, advice) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Makes a guest_memfd for this machine. An exec closes it, as it closes the machine: KVM has no flag for that.
pub(super) fn create(vm: &VmFd, size: u64, flags: u64) -> Result<OwnedFd, Error> {
    let wanted = kvm_create_guest_memfd { size, flags, ..kvm_create_guest_memfd::default() };
    let raw = vm.create_guest_memfd(wanted)?;
    // SAFETY: the kernel has just opened it for this call, so nobody else owns it.
    let made = unsafe { OwnedFd::from_raw_fd(raw) };
    fcntl_setfd(&made, FdFlags::CLOEXEC).map_err(|errno| Error::new(errno.raw_os_error()))?;
    Ok(made)
}

/// The slots of a machine in which its guest sees a file. They are gone when this is dropped.
///
/// # Invariants
///
/// Each slot in `made` lies in `window`, which is mapped, shared, as long as the slot is there.
#[derive(Debug)]
pub struct Slots {
    vm: Vm,
    window: Arc<Window>,
    made: Vec<u32>,
    native: bool,
}

impl Slots {
    /// Makes a slot for each binding that was told of the file. If the file was made for this machine, they are bound
    /// to it; if it was made for another, the kernel refuses that, and they are at the address of a mapping.
    ///
    /// # Errors
    ///
    /// The host's; no slot is left then.
    pub fn make(vm: &Vm, file: &GuestMemfd) -> io::Result<Self> {
        let window = Arc::new(file.map()?);
        let native = file.is_native_to(vm);
        let mut slots = Self { vm: vm.clone(), window, made: Vec::new(), native };
        for binding in file.told().facts().bindings() {
            slots.add(binding, native.then_some(file)).map_err(io::Error::from)?;
        }
        Ok(slots)
    }

    /// Whether they are bound to the file, and not to a mapping of it.
    pub const fn are_native(&self) -> bool {
        self.native
    }

    /// The file as it is mapped here, whichever sort the slots are of.
    pub fn window(&self) -> &Window {
        &self.window
    }

    fn add(&mut self, binding: &Binding, file: Option<&GuestMemfd>) -> Result<(), Error> {
        let Binding { slot, frame, page, count } = *binding;
        let [guest_phys_addr, offset, memory_size] = [frame, page, count].map(|pages| pages * FRAME_BYTES);
        let mapping = self.window.mapping();
        let start = ByteLen::new(offset).as_usize();
        let end = start.checked_add(ByteLen::new(memory_size).as_usize());
        assert!(end.is_some_and(|end| end <= mapping.size()), "a slot lies in its file");
        let userspace_addr = mapping.as_ptr().wrapping_add(start).expose_provenance() as u64;
        let region = kvm_userspace_memory_region2 {
            slot,
            flags: if file.is_some() { KVM_MEM_GUEST_MEMFD } else { 0 },
            guest_phys_addr,
            memory_size,
            userspace_addr,
            guest_memfd_offset: if file.is_some() { offset } else { 0 },
            guest_memfd: file.map_or(0, |file| file.as_fd().as_raw_fd().unsigned_abs()),
            ..kvm_userspace_memory_region2::default()
        };
        // INVARIANT: the slot is a part of `window`, which `Self` holds until the slot is gone.
        // SAFETY: the mapping is as long as the slot says, and outlives it: see `drop`. It is accessed as volatile
        // memory only.
        unsafe { self.vm.fd().set_user_memory_region2(region) }?;
        self.made.push(slot);
        Ok(())
    }
}

impl Drop for Slots {
    fn drop(&mut self) {
        for &slot in &self.made {
            let none = kvm_userspace_memory_region { slot, ..kvm_userspace_memory_region::default() };
            // SAFETY: a slot of no bytes is no slot: this takes one away.
            let gone = unsafe { self.vm.fd().set_user_memory_region(none) };
            if gone.is_err() {
                // The guest may still reach the memory: it stays mapped for ever.
                core::mem::forget(Arc::clone(&self.window));
            }
        }
    }
}
