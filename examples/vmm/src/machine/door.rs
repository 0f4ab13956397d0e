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
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::sync::Arc;

use kvm_bindings::{
    KVM_MEM_GUEST_MEMFD, kvm_device_attr, kvm_userspace_memory_region, kvm_userspace_memory_region2,
    kvm_xsave,
};
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
/// Each slot of `vm` lies in `memory`, which stays mapped, and shared, as long as this lives. Nobody else makes vCPUs
/// of it: others hold it only to carry it.
pub(super) struct Vm {
    // Dropped before the memory.
    vm: luo_guestmemfd::Vm,
    _memory: Mapped,
}

/// A vCPU, with the virtual machine that it belongs to.
pub(super) struct VcpuHandle {
    pub(super) fd: VcpuFd,
    vm: Arc<Vm>,
}

impl Vm {
    /// Gives a fresh virtual machine its memory.
    pub(super) fn new(vm: luo_guestmemfd::Vm, memory: Mapped) -> Result<Self, Error> {
        for ((slot, region), file) in (0..).zip(memory.guest().iter()).zip(memory.files()) {
            // A guest_memfd that was made for this machine is bound to it. One that was made for a predecessor's cannot
            // be: it serves by the address of its mapping, as a memfd does.
            let native = file.native_to(&vm);
            let slot = kvm_userspace_memory_region2 {
                slot,
                flags: if native.is_some() { KVM_MEM_GUEST_MEMFD } else { 0 },
                guest_phys_addr: region.start_addr().0,
                memory_size: region.len(),
                userspace_addr: region.as_ptr().addr() as u64,
                guest_memfd: native.map_or(0, |file| file.as_fd().as_raw_fd().unsigned_abs()),
                ..kvm_userspace_memory_region2::default()
            };
            // INVARIANT: the slot is all of a region of `memory`, of which `Self` keeps a clone; clones share mappings.
            // SAFETY: the mapping is as long as the slot, and outlives the last vCPU because each holds an `Arc` of
            // `Self`; no vCPU, no access. It is accessed as volatile memory only.
            unsafe { set_slot(vm.fd(), slot) }?;
        }
        Ok(Self { vm, _memory: memory })
    }

    pub(super) fn fd(&self) -> &VmFd {
        self.vm.fd()
    }

    /// Makes a vCPU.
    pub(super) fn vcpu(self: &Arc<Self>, number: u32) -> Result<VcpuHandle, Error> {
        let fd = self.fd().create_vcpu(u64::from(number))?;
        Ok(VcpuHandle { fd, vm: Arc::clone(self) })
    }
}

/// Makes a slot, by the older call unless it is bound to a file: older kernels know no other.
///
/// # Safety
///
/// As `VmFd::set_user_memory_region`.
unsafe fn set_slot(vm: &VmFd, slot: kvm_userspace_memory_region2) -> Result<(), Error> {
    if slot.flags & KVM_MEM_GUEST_MEMFD != 0 {
        // SAFETY: the caller's.
        return unsafe { vm.set_user_memory_region2(slot) };
    }
    let kvm_userspace_memory_region2 { slot, flags, guest_phys_addr, memory_size, userspace_addr, .. } = slot;
    let slot = kvm_userspace_memory_region { slot, flags, guest_phys_addr, memory_size, userspace_addr };
    // SAFETY: the caller's.
    unsafe { vm.set_user_memory_region(slot) }
}

impl VcpuHandle {
    /// Sets the floating-point area.
    pub(super) fn set_xsave(&self, xsave: &kvm_xsave) -> Result<(), Error> {
        if self.vm.fd().check_extension_int(Cap::Xsave2) > 4096 {
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
