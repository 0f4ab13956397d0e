//! Virtual machines: what guest_memfds depend on.
//!
//! - The [`VmType`] is what `KVM_CREATE_VM` was given.
//! - A machine is **made anew** where its descriptor cannot be carried: the far side gets one of its own in its place.
//!
//! No released kernel lets a virtual machine leave the program that made it: in another address space each call on it
//! fails. So version 1 carries the type, and the far side's host makes a machine, or names one that the program has
//! made beforehand. A kernel that can preserve the descriptors of machines and vCPUs needs a version 2, whose form is a
//! segment; files that name the machine by its token stay as they are.

mod v1;

use alloc::vec::Vec;
use core::fmt;

use luo_core::{
    Copying, FileHandler, FreezeScope, Identity, Kind, PayloadError, PrepareScope, Record, Refusal,
    RetrieveScope, Travel, Verdict, Version, VersionRange,
};
use luo_kho::ByteLen;
use luo_kho::carrier::DescriptorKind;

use crate::Port;

/// The descriptor that a carrier would have to take, could any.
pub const VM_DESCRIPTOR: DescriptorKind = DescriptorKind("kvm_vm");

/// The newest version.
const NEWEST: Version = Version(1);

/// What type of machine: the argument of `KVM_CREATE_VM`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VmType(pub u64);

/// Carries virtual machines of one host: by making them anew.
pub struct Vms<P>(P);

impl<P: Port> Vms<P> {
    /// Machines of this host.
    pub const fn new(port: P) -> Self {
        Self(port)
    }
}

/// The type that a payload of a machine holds.
///
/// # Errors
///
/// What the bytes say that cannot be.
fn read(record: &Record<'_>) -> Result<VmType, PayloadError> {
    match record.version {
        NEWEST => v1::decode(record.payload),
        version => Err(PayloadError::Version { version }),
    }
}

impl<P: Port> FileHandler for Vms<P> {
    type File = P::Vm;
    type Held = ();

    fn kind(&self) -> Kind {
        Kind::literal("kvm_vm")
    }

    fn reads(&self) -> VersionRange {
        VersionRange::up_to(NEWEST)
    }

    fn writes(&self) -> Vec<Version> {
        Vec::from([NEWEST])
    }

    fn leans_on(&self) -> Vec<Kind> {
        Vec::new()
    }

    fn judge(&self, _: &P::Vm) -> Verdict {
        Verdict::Mine
    }

    fn identity(&self, vm: &P::Vm) -> Identity {
        self.0.vm_identity(vm)
    }

    fn travel(&self, _: &P::Vm) -> Travel {
        let why = "a virtual machine stays with the program that made it: the successor makes another";
        Travel { descriptor: VM_DESCRIPTOR, bytes: ByteLen::ZERO, copy: Copying::Will { reason: why.into() } }
    }

    fn preserve(&self, _: &P::Vm) -> Result<(), Refusal> {
        Ok(())
    }

    /// Nothing: the type is known.
    fn survey(&self, _: &P::Vm, (): &mut ()) -> Result<(), Refusal> {
        Ok(())
    }

    fn prepare(&self, vm: &P::Vm, (): &mut (), scope: &mut PrepareScope<'_>) -> Result<(), Refusal> {
        for version in scope.versions().to_vec() {
            scope.put(version, &v1::encode(self.0.vm_type(vm)))?;
        }
        Ok(())
    }

    /// Nothing was taken.
    fn cancel(&self, _: &P::Vm, (): &mut ()) {}

    /// Nothing: a machine does not change its type.
    fn freeze(&self, _: &P::Vm, (): &mut (), _: &mut FreezeScope<'_>) -> Result<(), Refusal> {
        Ok(())
    }

    /// Nothing was done.
    fn unfreeze(&self, _: &P::Vm, (): &mut ()) {}

    /// Lets go by dropping. The kernel's object lives on as long as a guest_memfd that was made for it.
    fn depart(&self, _: P::Vm, (): ()) {}

    fn retrieve(&self, record: &Record<'_>, _: &mut RetrieveScope<'_>) -> Result<P::Vm, Refusal> {
        self.0.make_vm(read(record).map_err(Refusal::new)?)
    }

    /// Always.
    fn can_finish(&self, _: &Record<'_>, _: &P::Vm) -> Result<(), Refusal> {
        Ok(())
    }

    /// Nothing is left of what carried it.
    fn finish(&self, _: &Record<'_>, _: &P::Vm) {}

    /// Nothing was taken.
    fn discard(&self, _: &Record<'_>, _: &mut RetrieveScope<'_>) {}
}

impl<P> fmt::Debug for Vms<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vms").finish_non_exhaustive()
    }
}
