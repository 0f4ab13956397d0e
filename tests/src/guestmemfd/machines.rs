//! The fixture of virtual machines, on any host. A machine takes nothing from memory, cannot be changed, and is never
//! refused.

use std::fmt;

use luo_core::conformance::{Fixture, Side};
use luo_core::{Registry, Version};
use luo_guestmemfd::sim::SimHost;
use luo_guestmemfd::{Port, VmType, Vms};

/// Machines of one host.
pub struct VmFixture<P: Port> {
    port: P,
    /// The types of its machines.
    types: &'static [u64],
    make: fn(&P, VmType) -> P::Vm,
    alive: fn(&P) -> usize,
    /// Makes call number so and so fail; none for `None`. Whether one did.
    arm: fn(&P, Option<u64>) -> bool,
}

impl VmFixture<SimHost> {
    /// Simulated machines.
    pub fn simulated() -> Self {
        let arm = |host: &SimHost, nth: Option<u64>| match nth {
            Some(nth) => {
                host.arm(nth);
                false
            }
            None => host.disarm(),
        };
        Self { port: SimHost::new(), types: &[0, 1, u64::MAX], make: SimHost::vm, alive: SimHost::alive, arm }
    }
}

#[cfg(target_os = "linux")]
impl VmFixture<luo_guestmemfd::Linux> {
    /// Real machines.
    pub fn real() -> Self {
        Self {
            port: luo_guestmemfd::Linux::new(),
            types: &[0, 0],
            make: |_, vm_type| luo_guestmemfd::Vm::create_of(vm_type).expect("it is supported"),
            alive: |_| super::real::open_files("kvm-vm"),
            arm: |_, _| false,
        }
    }
}

impl<P: Port + Clone> Fixture for VmFixture<P> {
    type Handler = Vms<P>;
    type Portrait = VmType;
    type Baseline = usize;

    fn renew(&mut self) {}

    fn handler(&mut self, _: Side) -> Vms<P> {
        Vms::new(self.port.clone())
    }

    fn company(&mut self, _: Side, _: &mut Registry) {}

    fn files(&self) -> usize {
        self.types.len()
    }

    fn file(&mut self, nth: usize) -> P::Vm {
        let vm_type = self.types.get(nth).expect("one of those that there are");
        (self.make)(&self.port, VmType(*vm_type))
    }

    fn another_reference(&mut self, vm: &P::Vm) -> P::Vm {
        vm.clone()
    }

    fn refused(&mut self) -> Vec<P::Vm> {
        Vec::new()
    }

    fn strangers(&mut self) -> Vec<P::Vm> {
        Vec::new()
    }

    fn portrait(&mut self, vm: &P::Vm, _: Version) -> VmType {
        self.port.vm_type(vm)
    }

    fn baseline(&mut self) -> usize {
        (self.alive)(&self.port)
    }

    fn changes(&self) -> usize {
        0
    }

    fn change(&mut self, _: &P::Vm, _: usize) -> bool {
        false
    }

    fn arm(&mut self, nth: u64) {
        (self.arm)(&self.port, Some(nth));
    }

    fn disarm(&mut self) -> bool {
        (self.arm)(&self.port, None)
    }
}

impl<P: Port> fmt::Debug for VmFixture<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VmFixture").field("types", &self.types).finish_non_exhaustive()
    }
}
