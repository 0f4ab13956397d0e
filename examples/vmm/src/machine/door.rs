//! The door: the calls of KVM's that the compiler cannot check.
//!
//! - A [`Vm`] holds the memory of its slots mapped for as long as it lives.
//! - A [`VcpuHandle`] holds its [`Vm`]: the kernel keeps a virtual machine alive while one of its vCPUs is.

#![expect(
    unsafe_code,
    reason = "memory slots, the area of KVM_SET_XSAVE, and attributes that kvm-ioctls does not wrap"
)]
// UNSAFETY: KVM writes guest memory behind the compiler's back, at host addresses that are given to it as numbers; and
// two calls take pointers to structures whose size or type the wrappers do not know.

use std::io;
use std::os::fd::AsRawFd as _;
use std::sync::Arc;

use kvm_bindings::{kvm_device_attr, kvm_userspace_memory_region, kvm_xsave};
use kvm_ioctls::{Cap, Error, VcpuFd, VmFd};
use vm_memory::{GuestMemoryBackend as _, GuestMemoryRegion as _};

use super::memory::Mapped;

/// `KVM_SET_DEVICE_ATTR` and `KVM_GET_DEVICE_ATTR`, from `linux/kvm.h`.
const SET_DEVICE_ATTR: libc::c_ulong = 0x4018_AEE1;
const GET_DEVICE_ATTR: libc::c_ulong = 0x4018_AEE2;
/// `KVM_VCPU_TSC_CTRL` and its `KVM_VCPU_TSC_OFFSET`, from `asm/kvm.h`.
const TSC_CTRL: u32 = 0;
const TSC_OFFSET: u64 = 0;

/// A virtual machine with its memory.
///
/// # Invariants
///
/// Each slot of `fd` lies in `memory`, which stays mapped, and shared, as long as this lives.
pub(super) struct Vm {
    // Dropped before the memory.
    fd: VmFd,
    _memory: Mapped,
}

/// A vCPU, with the virtual machine that it belongs to.
pub(super) struct VcpuHandle {
    pub(super) fd: VcpuFd,
    vm: Arc<Vm>,
}

impl Vm {
    /// Gives a fresh virtual machine its memory.
    pub(super) fn new(fd: VmFd, memory: Mapped) -> Result<Self, Error> {
        for (slot, region) in (0..).zip(memory.guest().iter()) {
            let slot = kvm_userspace_memory_region {
                slot,
                flags: 0,
                guest_phys_addr: region.start_addr().0,
                memory_size: region.len(),
                userspace_addr: region.as_ptr().addr() as u64,
            };
            // INVARIANT: the slot is all of a region of `memory`, of which `Self` keeps a clone; clones share mappings.
            // SAFETY: the mapping is as long as the slot, and outlives `fd` by the order of the fields, and the last
            // vCPU because each holds an `Arc` of `Self`. It is accessed as volatile memory only.
            unsafe { fd.set_user_memory_region(slot) }?;
        }
        Ok(Self { fd, _memory: memory })
    }

    pub(super) const fn fd(&self) -> &VmFd {
        &self.fd
    }

    /// Makes a vCPU.
    pub(super) fn vcpu(self: &Arc<Self>, number: u32) -> Result<VcpuHandle, Error> {
        let fd = self.fd.create_vcpu(u64::from(number))?;
        Ok(VcpuHandle { fd, vm: Arc::clone(self) })
    }
}

impl VcpuHandle {
    /// Sets the floating-point area.
    pub(super) fn set_xsave(&self, xsave: &kvm_xsave) -> Result<(), Error> {
        if self.vm.fd.check_extension_int(Cap::Xsave2) > 4096 {
            return Err(Error::new(libc::EOVERFLOW));
        }
        // SAFETY: the kernel reads as many bytes as KVM_CAP_XSAVE2 says, which are no more than `xsave` has.
        unsafe { self.fd.set_xsave(xsave) }
    }

    /// What is added to the host's time stamp counter.
    pub(super) fn tsc_offset(&self) -> Result<i64, Error> {
        let mut offset = 0i64;
        self.attribute(GET_DEVICE_ATTR, (&raw mut offset).expose_provenance())?;
        Ok(offset)
    }

    /// Sets what is added to the host's time stamp counter.
    pub(super) fn set_tsc_offset(&self, offset: i64) -> Result<(), Error> {
        self.attribute(SET_DEVICE_ATTR, (&raw const offset).expose_provenance())
    }

    fn attribute(&self, call: libc::c_ulong, address: usize) -> Result<(), Error> {
        let attribute = kvm_device_attr { flags: 0, group: TSC_CTRL, attr: TSC_OFFSET, addr: address as u64 };
        // SAFETY: both calls take a `kvm_device_attr`. For this attribute the kernel reads or writes eight bytes at
        // `addr`: both callers pass the address of an `i64` of theirs that lives until the call returns.
        let done = unsafe { libc::ioctl(self.fd.as_raw_fd(), call, &raw const attribute) };
        if done == 0 {
            return Ok(());
        }
        Err(Error::new(io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO)))
    }
}
