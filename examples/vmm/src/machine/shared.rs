//! What the vCPUs of a machine share while they run.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use kvm_bindings::kvm_msi;
use parking_lot::Mutex;

use super::door::Vm;
use super::error::MachineError;
use super::memory::Mapped;
use super::threads::Bells;
use crate::devices::Devices;
use crate::guest::{VECTOR, books};
use crate::trace::{Mark, Trace};

/// Where a message for the local APIC of vCPU 0 is written to; bits from 12 on name the vCPU.
const MESSAGES: u32 = 0xFEE0_0000;

/// See the room's head.
pub(super) struct Shared {
    pub(super) memory: Mapped,
    pub(super) trace: Arc<Trace>,
    devices: Arc<Mutex<Devices>>,
    doorbell: Doorbell,
    /// Whether vCPUs are to come out.
    stop: AtomicBool,
    /// Whether one was entered since the machine began to run.
    entered: AtomicBool,
}

/// How an interrupt is raised.
pub(super) enum Doorbell {
    Kvm(Arc<Vm>),
    Threads(Bells),
}

impl Shared {
    pub(super) fn new(
        devices: Arc<Mutex<Devices>>,
        trace: Arc<Trace>,
        memory: Mapped,
        doorbell: Doorbell,
    ) -> Self {
        let (stop, entered) = (AtomicBool::new(true), AtomicBool::new(false));
        Self { memory, trace, devices, doorbell, stop, entered }
    }

    /// From now on vCPUs may be entered.
    pub(super) fn begin(&self) {
        self.entered.store(false, Ordering::Relaxed);
        self.stop.store(false, Ordering::SeqCst);
    }

    /// From now on they are to come out.
    pub(super) fn end(&self) {
        self.stop.store(true, Ordering::SeqCst);
    }

    /// Whether a vCPU is to come out.
    pub(super) fn is_over(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }

    /// A vCPU is about to be entered: the first one is marked.
    pub(super) fn entering(&self) {
        if !self.entered.swap(true, Ordering::Relaxed) {
            self.trace.mark(Mark::Entered);
        }
    }

    /// A vCPU came out.
    pub(super) fn left(&self) {
        self.entered.store(true, Ordering::Relaxed);
    }

    /// Whether a vCPU was entered since the machine began to run, or could not be.
    pub(super) fn has_entered(&self) -> bool {
        self.entered.load(Ordering::Relaxed)
    }

    /// A character for the serial port; at the end of a line the doorbell is rung.
    pub(super) fn print(&self, vcpu: u32, character: u8) -> Result<(), MachineError> {
        if self.devices.lock().print(vcpu, character) { self.ring(vcpu) } else { Ok(()) }
    }

    /// Rings the doorbell of a vCPU, unless the guest has not counted the last ring yet.
    pub(super) fn ring(&self, vcpu: u32) -> Result<(), MachineError> {
        let counted = books(self.memory.guest(), vcpu)?.interrupts;
        if !self.devices.lock().ring(vcpu, counted) {
            return Ok(());
        }
        match &self.doorbell {
            Doorbell::Threads(bells) => bells.ring(vcpu),
            Doorbell::Kvm(vm) => {
                let message = kvm_msi {
                    address_lo: MESSAGES | vcpu << 12,
                    data: u32::from(VECTOR),
                    ..kvm_msi::default()
                };
                vm.fd()
                    .signal_msi(message)
                    .map_err(|errno| MachineError::Kvm { call: "KVM_SIGNAL_MSI", errno })?;
            }
        }
        Ok(())
    }
}
