//! Virtual machines, as programs hold them.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use core::fmt;
use std::io;

use kvm_bindings::{KVM_CAP_GUEST_MEMFD, KVM_CAP_USER_MEMORY2};
use kvm_ioctls::{Kvm, VmFd};

use super::GuestMemfd;
use crate::{Flags, VmType};

/// A descriptor of a virtual machine. Clones are cheap and share it; another descriptor of the same machine counts as
/// another machine.
#[derive(Clone)]
pub struct Vm(Arc<Shared>);

struct Shared {
    fd: VmFd,
    vm_type: VmType,
}

impl Vm {
    /// A new machine of the default type, without memory and vCPUs.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn create() -> io::Result<Self> {
        Self::create_of(VmType::default())
    }

    /// A new machine of this type.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn create_of(vm_type: VmType) -> io::Result<Self> {
        let fd = Kvm::new()?.create_vm_with_type(vm_type.0)?;
        Ok(Self::new(fd, vm_type))
    }

    /// A machine that was made as one of this type.
    pub fn new(fd: VmFd, vm_type: VmType) -> Self {
        Self(Arc::new(Shared { fd, vm_type }))
    }

    /// The descriptor.
    pub fn fd(&self) -> &VmFd {
        &self.0.fd
    }

    /// What type it was made as.
    pub fn vm_type(&self) -> VmType {
        self.0.vm_type
    }

    /// A number that no other machine of this program has while this one lives.
    pub fn number(&self) -> u64 {
        luo_kho::ByteLen::of(Arc::as_ptr(&self.0).addr()).get()
    }

    /// Whether the other is a clone of this.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// Whether this machine has guest_memfds that hosts can map, and this user may make them; else why not.
///
/// # Errors
///
/// Why not, in words.
pub fn supported() -> Result<(), String> {
    let vm = Vm::create().map_err(|error| format!("no virtual machine can be made by /dev/kvm: {error}"))?;
    for (number, name) in
        [(KVM_CAP_GUEST_MEMFD, "guest_memfds"), (KVM_CAP_USER_MEMORY2, "slots of guest_memfds")]
    {
        if vm.fd().check_extension_raw(number.into()) < 1 {
            return Err(format!("this kernel has no {name}"));
        }
    }
    let made = GuestMemfd::create(&vm, 1, Flags::OPEN);
    made.map(drop).map_err(|error| format!("no guest_memfd with MMAP and INIT_SHARED can be made: {error}"))
}

impl fmt::Debug for Vm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vm").field("vm_type", &self.0.vm_type).finish_non_exhaustive()
    }
}
