//! A **bare** machine: the calls to KVM that an update cannot do without, and nothing around them.
//!
//! It has one vCPU, and neither a seat nor devices. Benchmarks measure with it what the kernel takes for itself. The
//! calls are those of the real machine, because they are made by the same functions.

use kvm_ioctls::{Kvm, VcpuExit};
use luo_guestmemfd::VmType;

use super::door::Vm;
use super::error::MachineError;
use super::kvm::{KvmMachine, Vcpu};
use super::memory::Mapped;
use crate::guest::{LINE_EVERY, Layout};
use crate::state::{GuestState, MachineState};
use crate::trace::now;

/// Accesses to the serial port in one stint. The guest prints one line in so many steps: it is in the middle of one
/// when the stint ends, or has just begun it.
const ACCESSES: u64 = 24;
const _: () = assert!(ACCESSES < LINE_EVERY);

/// See the room's head.
pub(crate) struct Bare {
    layout: Layout,
    vcpu: Vcpu,
    machine: KvmMachine,
}

impl Bare {
    /// Nanoseconds in which the kernel creates a virtual machine, its slots and its first vCPU.
    ///
    /// # Errors
    ///
    /// [`MachineError::Kvm`].
    pub(crate) fn creation(memory: &Mapped) -> Result<u64, MachineError> {
        let since = now();
        created(memory).map_err(|errno| MachineError::Kvm { call: "to create a machine", errno })?;
        Ok(now().saturating_sub(since))
    }

    /// A machine that was never entered.
    ///
    /// # Errors
    ///
    /// [`MachineError`].
    pub(crate) fn new(layout: Layout, memory: &Mapped) -> Result<Self, MachineError> {
        let (machine, vcpus) = KvmMachine::new(&layout, memory)?;
        let vcpu = vcpus.into_iter().next().ok_or(MachineError::Other { what: "a machine without vCPUs" })?;
        Ok(Self { layout, vcpu, machine })
    }

    /// Puts the vCPU where a guest begins.
    ///
    /// # Errors
    ///
    /// [`MachineError`].
    pub(crate) fn boot(&mut self) -> Result<(), MachineError> {
        self.vcpu.boot(&self.layout)
    }

    /// Runs the guest for a while, and completes the access in which it was.
    ///
    /// # Errors
    ///
    /// [`MachineError`].
    pub(crate) fn stint(&mut self) -> Result<(), MachineError> {
        let fd = &mut self.vcpu.handle.fd;
        let mut accesses = 0;
        while accesses < ACCESSES {
            match fd.run() {
                Ok(VcpuExit::IoOut(..)) => accesses += 1,
                Ok(VcpuExit::Intr) => {}
                Ok(exit) => return Err(MachineError::Exit { vcpu: 0, exit: format!("{exit:?}") }),
                Err(error) if [libc::EINTR, libc::EAGAIN].contains(&error.errno()) => {}
                Err(errno) => return Err(MachineError::Kvm { call: "KVM_RUN", errno }),
            }
        }
        fd.set_kvm_immediate_exit(1);
        let completed = fd.run().map(drop);
        fd.set_kvm_immediate_exit(0);
        match completed {
            Err(errno) if errno.errno() != libc::EINTR => Err(MachineError::Kvm { call: "KVM_RUN", errno }),
            _ => Ok(()),
        }
    }

    /// Its state.
    ///
    /// # Errors
    ///
    /// [`MachineError`].
    pub(crate) fn save(&self) -> Result<MachineState, MachineError> {
        let vcpus = vec![self.vcpu.save()?];
        let platform = Box::new(self.machine.save()?);
        Ok(MachineState { layout: self.layout, guest: GuestState::Kvm { platform, vcpus } })
    }

    /// Puts it where the state says.
    ///
    /// # Errors
    ///
    /// [`MachineError`].
    pub(crate) fn restore(&mut self, state: &MachineState) -> Result<(), MachineError> {
        let GuestState::Kvm { platform, vcpus } = &state.guest else {
            return Err(MachineError::Other { what: "what executes it" });
        };
        self.machine.restore(platform)?;
        vcpus.iter().try_for_each(|state| self.vcpu.restore(state))
    }
}

fn created(memory: &Mapped) -> Result<(), kvm_ioctls::Error> {
    let kvm = Kvm::new()?;
    let fd = kvm.create_vm()?;
    fd.set_tss_address(super::kvm::TSS)?;
    fd.create_irq_chip()?;
    let vm = std::sync::Arc::new(Vm::new(luo_guestmemfd::Vm::new(fd, VmType::default()), memory.clone())?);
    let cpuid = kvm.get_supported_cpuid(kvm_bindings::KVM_MAX_CPUID_ENTRIES)?;
    let vcpu = vm.vcpu(0)?;
    vcpu.fd.set_cpuid2(&cpuid)?;
    // Taking it apart again is not part of it.
    core::mem::forget((vcpu, vm));
    Ok(())
}
