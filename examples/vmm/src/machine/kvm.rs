//! vCPUs that the processor executes, by way of `/dev/kvm`.

use std::sync::Arc;

use kvm_bindings::{
    CpuId, KVM_CLOCK_REALTIME, KVM_MAX_CPUID_ENTRIES, KVM_MP_STATE_RUNNABLE, Msrs, kvm_clock_data,
    kvm_dtable, kvm_irqchip, kvm_mp_state, kvm_msr_entry, kvm_regs, kvm_segment,
};
use kvm_ioctls::{Error, Kvm, VcpuExit};
use luo_guestmemfd::VmType;

use super::door::{VcpuHandle, Vm};
use super::error::MachineError;
use super::memory::Mapped;
use super::shared::Shared;
use super::{Clock, Entry};
use crate::guest::{INTERRUPTS, Layout, PAGE_TABLES, PORT, Registers, SEGMENTS, registers_of};
use crate::state::{CHIPS, KvmPlatform, KvmVcpu, MSRS_MAX};

/// Three pages that Intel processors want for themselves, in the gap between the regions.
pub(super) const TSS: usize = 0xFFFB_D000;
/// The time stamp counter. It is carried as an offset, not as a value: time goes on during an update.
const IA32_TSC: u32 = 0x10;
/// When these are set, KVM writes the time of day into guest memory: only who owns it may. A guest with Hyper-V's
/// leaves, which this one has not, would have more of the kind.
const WALL_CLOCKS: [u32; 2] = [0x11, 0x4B56_4D00];
/// The local APIC's spurious interrupt vector register, whose bit 8 switches it on.
const APIC_SPURIOUS: usize = 0xF0;
/// Pieces of one access, at most.
const COMPLETIONS: usize = 8;

/// What all vCPUs share.
pub(super) struct KvmMachine {
    vm: Arc<Vm>,
}

/// A vCPU that lies still, or is in its seat.
pub(super) struct Vcpu {
    number: u32,
    pub(super) handle: VcpuHandle,
    /// The model-specific registers that it has.
    msrs: Vec<u32>,
    /// Those that are set when the guest is ours.
    late: Vec<kvm_msr_entry>,
}

fn failed(call: &'static str) -> impl Fn(Error) -> MachineError {
    move |errno| MachineError::Kvm { call, errno }
}

/// Whether there is a `/dev/kvm` that can be used; else why not.
pub(crate) fn available() -> Result<(), String> {
    let kvm = Kvm::new().map_err(|error| format!("/dev/kvm cannot be opened: {error}"))?;
    kvm.create_vm().map(drop).map_err(|error| format!("no virtual machine can be made: {error}"))
}

impl KvmMachine {
    /// Makes a machine and its vCPUs. Writes no guest memory.
    pub(super) fn new(layout: &Layout, memory: &Mapped) -> Result<(Self, Vec<Vcpu>), MachineError> {
        let kvm = Kvm::new().map_err(failed("open(/dev/kvm)"))?;
        let vm = match memory.vm() {
            Some(vm) => vm.clone(),
            None => {
                luo_guestmemfd::Vm::new(kvm.create_vm().map_err(failed("KVM_CREATE_VM"))?, VmType::default())
            }
        };
        let fd = vm.fd();
        fd.set_tss_address(TSS).map_err(failed("KVM_SET_TSS_ADDR"))?;
        fd.create_irq_chip().map_err(failed("KVM_CREATE_IRQCHIP"))?;
        let vm = Vm::new(vm, memory.clone()).map_err(failed("KVM_SET_USER_MEMORY_REGION"))?;
        let machine = Self { vm: Arc::new(vm) };
        let cpuid = kvm.get_supported_cpuid(KVM_MAX_CPUID_ENTRIES);
        let cpuid = cpuid.map_err(failed("KVM_GET_SUPPORTED_CPUID"))?;
        let listed = kvm.get_msr_index_list().map_err(failed("KVM_GET_MSR_INDEX_LIST"))?;
        let listed = listed.as_slice().iter().copied().filter(|index| *index != IA32_TSC);
        let listed: Vec<_> = listed.collect();
        if listed.len() > MSRS_MAX {
            return Err(MachineError::Other { what: "more model-specific registers than can be carried" });
        }
        let vcpus = (0..layout.vcpus()).map(|number| machine.vcpu(number, &cpuid, &listed));
        let vcpus = vcpus.collect::<Result<_, _>>()?;
        Ok((machine, vcpus))
    }

    pub(super) fn vm(&self) -> Arc<Vm> {
        Arc::clone(&self.vm)
    }

    fn vcpu(&self, number: u32, cpuid: &CpuId, listed: &[u32]) -> Result<Vcpu, MachineError> {
        let handle = self.vm.vcpu(number).map_err(failed("KVM_CREATE_VCPU"))?;
        let mut cpuid = cpuid.clone();
        for leaf in cpuid.as_mut_slice() {
            match leaf.function {
                1 => leaf.ebx = leaf.ebx & 0x00FF_FFFF | number << 24,
                0xB | 0x1F => leaf.edx = number,
                _ => {}
            }
        }
        handle.fd.set_cpuid2(&cpuid).map_err(failed("KVM_SET_CPUID2"))?;
        let mut vcpu = Vcpu { number, handle, msrs: listed.to_vec(), late: Vec::new() };
        vcpu.forget_msrs_that_are_not_there()?;
        Ok(vcpu)
    }

    pub(super) fn save(&self) -> Result<KvmPlatform, MachineError> {
        let clock = self.vm.fd().get_clock().map_err(failed("KVM_GET_CLOCK"))?;
        let mut chips = [kvm_irqchip::default(); CHIPS];
        for (number, chip) in (0..).zip(&mut chips) {
            chip.chip_id = number;
            self.vm.fd().get_irqchip(chip).map_err(failed("KVM_GET_IRQCHIP"))?;
        }
        Ok(KvmPlatform { clock, chips })
    }

    pub(super) fn restore(&mut self, state: &KvmPlatform) -> Result<(), MachineError> {
        let KvmPlatform { clock, chips } = state;
        for chip in chips {
            self.vm.fd().set_irqchip(chip).map_err(failed("KVM_SET_IRQCHIP"))?;
        }
        // The clock goes on during an update, if the host can say how long that took.
        let clock = kvm_clock_data {
            clock: clock.clock,
            flags: clock.flags & KVM_CLOCK_REALTIME,
            realtime: clock.realtime,
            ..kvm_clock_data::default()
        };
        self.vm.fd().set_clock(&clock).map_err(failed("KVM_SET_CLOCK"))
    }
}

impl Vcpu {
    /// The kernel lists registers for all processors that it knows; reading stops at the first that this one lacks.
    fn forget_msrs_that_are_not_there(&mut self) -> Result<(), MachineError> {
        for _ in 0..MSRS_MAX {
            match self.read_msrs() {
                Err(MachineError::Msrs { done, .. }) => drop(self.msrs.remove(done)),
                other => return other.map(drop),
            }
        }
        Ok(())
    }

    fn read_msrs(&self) -> Result<Vec<kvm_msr_entry>, MachineError> {
        let call = "KVM_GET_MSRS";
        let entry = |index: &u32| kvm_msr_entry { index: *index, ..kvm_msr_entry::default() };
        let mut msrs = list(&self.msrs.iter().map(entry).collect::<Vec<_>>())?;
        let done = self.handle.fd.get_msrs(&mut msrs).map_err(failed(call))?;
        complete(call, done, msrs.as_slice())?;
        Ok(msrs.as_slice().to_vec())
    }

    fn write_msrs(&self, entries: &[kvm_msr_entry]) -> Result<(), MachineError> {
        let call = "KVM_SET_MSRS";
        let done = self.handle.fd.set_msrs(&list(entries)?).map_err(failed(call))?;
        complete(call, done, entries)
    }

    /// Puts it where the guest's program begins, in 64-bit mode.
    pub(super) fn boot(&mut self, layout: &Layout) -> Result<(), MachineError> {
        let fd = &self.handle.fd;
        let mut sregs = fd.get_sregs().map_err(failed("KVM_GET_SREGS"))?;
        let code = kvm_segment {
            limit: u32::MAX,
            selector: 8,
            // Code, readable, accessed.
            type_: 11,
            present: 1,
            s: 1,
            l: 1,
            g: 1,
            ..kvm_segment::default()
        };
        // Data, writable, accessed.
        let data = kvm_segment { selector: 16, type_: 3, l: 0, db: 1, ..code };
        sregs.cs = code;
        for segment in [&mut sregs.ds, &mut sregs.es, &mut sregs.fs, &mut sregs.gs, &mut sregs.ss] {
            *segment = data;
        }
        sregs.gdt = kvm_dtable { base: SEGMENTS, limit: 23, ..kvm_dtable::default() };
        sregs.idt = kvm_dtable { base: INTERRUPTS, limit: 4095, ..kvm_dtable::default() };
        sregs.cr3 = PAGE_TABLES;
        // Physical address extension.
        sregs.cr4 = 0x20;
        // Paging, alignment mask, write protection, numeric error, extension type, monitor, protection.
        sregs.cr0 = 0x8005_0033;
        // Long mode, enabled and active.
        sregs.efer = 0x500;
        fd.set_sregs(&sregs).map_err(failed("KVM_SET_SREGS"))?;
        let mut lapic = fd.get_lapic().map_err(failed("KVM_GET_LAPIC"))?;
        if let Some([vector, enable]) = lapic.regs.get_mut(APIC_SPURIOUS..APIC_SPURIOUS + 2) {
            (*vector, *enable) = (-1, 1);
        }
        fd.set_lapic(&lapic).map_err(failed("KVM_SET_LAPIC"))?;
        fd.set_regs(&regs_of(registers_of(layout, self.number))).map_err(failed("KVM_SET_REGS"))?;
        let runnable = kvm_mp_state { mp_state: KVM_MP_STATE_RUNNABLE };
        fd.set_mp_state(runnable).map_err(failed("KVM_SET_MP_STATE"))
    }

    /// What its time stamp counter says.
    pub(super) fn clock(&self) -> Result<Clock, MachineError> {
        let khz = self.handle.fd.get_tsc_khz().map_err(failed("KVM_GET_TSC_KHZ"))?;
        let mut list = list(&[kvm_msr_entry { index: IA32_TSC, ..kvm_msr_entry::default() }])?;
        Clock::read(khz.into(), || {
            let done = self.handle.fd.get_msrs(&mut list).map_err(failed("KVM_GET_MSRS"))?;
            complete("KVM_GET_MSRS", done, list.as_slice())?;
            Ok(list.as_slice().first().map_or(0, |msr| msr.data))
        })
    }

    pub(super) fn save(&self) -> Result<Box<KvmVcpu>, MachineError> {
        let fd = &self.handle.fd;
        // The run state first: asking for it makes the kernel take up what is on its way to the local APIC.
        let mp = fd.get_mp_state().map_err(failed("KVM_GET_MP_STATE"))?;
        Ok(Box::new(KvmVcpu {
            regs: fd.get_regs().map_err(failed("KVM_GET_REGS"))?,
            sregs: fd.get_sregs().map_err(failed("KVM_GET_SREGS"))?,
            xsave: fd.get_xsave().map_err(failed("KVM_GET_XSAVE"))?,
            xcrs: fd.get_xcrs().map_err(failed("KVM_GET_XCRS"))?,
            debug: fd.get_debug_regs().map_err(failed("KVM_GET_DEBUGREGS"))?,
            lapic: fd.get_lapic().map_err(failed("KVM_GET_LAPIC"))?,
            events: fd.get_vcpu_events().map_err(failed("KVM_GET_VCPU_EVENTS"))?,
            mp,
            msrs: self.read_msrs()?,
            tsc_offset: self.handle.tsc_offset().map_err(failed("KVM_GET_DEVICE_ATTR(TSC offset)"))?,
            tsc_khz: Some(fd.get_tsc_khz().map_err(failed("KVM_GET_TSC_KHZ"))?),
        }))
    }

    pub(super) fn restore(&mut self, state: &KvmVcpu) -> Result<(), MachineError> {
        let KvmVcpu { regs, sregs, xsave, xcrs, debug, lapic, events, mp, msrs, tsc_offset, tsc_khz } = state;
        let fd = &self.handle.fd;
        if let Some(khz) = tsc_khz
            && fd.get_tsc_khz() != Ok(*khz)
        {
            fd.set_tsc_khz(*khz).map_err(failed("KVM_SET_TSC_KHZ"))?;
        }
        let offset = self.handle.set_tsc_offset(*tsc_offset);
        offset.map_err(failed("KVM_SET_DEVICE_ATTR(TSC offset)"))?;
        fd.set_mp_state(*mp).map_err(failed("KVM_SET_MP_STATE"))?;
        fd.set_sregs(sregs).map_err(failed("KVM_SET_SREGS"))?;
        fd.set_regs(regs).map_err(failed("KVM_SET_REGS"))?;
        fd.set_xcrs(xcrs).map_err(failed("KVM_SET_XCRS"))?;
        self.handle.set_xsave(xsave).map_err(failed("KVM_SET_XSAVE"))?;
        fd.set_debug_regs(debug).map_err(failed("KVM_SET_DEBUGREGS"))?;
        fd.set_lapic(lapic).map_err(failed("KVM_SET_LAPIC"))?;
        // Behind the local APIC and the time stamp counter: one of them is the deadline of the APIC's timer.
        let (late, now) = msrs.iter().partition::<Vec<_>, _>(|msr| WALL_CLOCKS.contains(&msr.index));
        self.write_msrs(&now)?;
        self.late = late.into_iter().filter(|msr| msr.data != 0).collect();
        fd.set_vcpu_events(events).map_err(failed("KVM_SET_VCPU_EVENTS"))
    }

    pub(super) fn run(&mut self, _entry: Entry, shared: &Shared) -> Result<(), MachineError> {
        if !self.late.is_empty() {
            let late = core::mem::take(&mut self.late);
            self.write_msrs(&late)?;
        }
        shared.entering();
        while !shared.is_over() {
            self.enter(shared)?;
        }
        // A port or memory access that the guest is in the middle of is completed by the next entry.
        self.handle.fd.set_kvm_immediate_exit(1);
        let completed = self.complete(shared);
        self.handle.fd.set_kvm_immediate_exit(0);
        completed
    }

    /// Enters until there is nothing more to be done outside: once, unless an access comes in pieces.
    fn complete(&mut self, shared: &Shared) -> Result<(), MachineError> {
        for _ in 0..COMPLETIONS {
            if !self.enter(shared)? {
                return Ok(());
            }
        }
        Err(MachineError::NotNow("is in an access that does not end"))
    }

    /// Enters the guest once, and does what it came out for. Whether it came out for anything.
    fn enter(&mut self, shared: &Shared) -> Result<bool, MachineError> {
        let vcpu = self.number;
        match self.handle.fd.run() {
            Ok(VcpuExit::IoOut(PORT, characters)) => {
                characters.iter().try_for_each(|character| shared.print(vcpu, *character))?;
                Ok(true)
            }
            Ok(VcpuExit::Intr) => Ok(false),
            Ok(exit) => Err(MachineError::Exit { vcpu, exit: format!("{exit:?}") }),
            Err(error) if [libc::EINTR, libc::EAGAIN].contains(&error.errno()) => Ok(false),
            Err(errno) => Err(MachineError::Kvm { call: "KVM_RUN", errno }),
        }
    }
}

fn list(entries: &[kvm_msr_entry]) -> Result<Msrs, MachineError> {
    Msrs::from_entries(entries)
        .map_err(|_| MachineError::Other { what: "more model-specific registers than KVM takes" })
}

fn complete(call: &'static str, done: usize, entries: &[kvm_msr_entry]) -> Result<(), MachineError> {
    match entries.get(done) {
        None => Ok(()),
        Some(next) => Err(MachineError::Msrs { call, done, all: entries.len(), next: next.index }),
    }
}

fn regs_of(registers: Registers) -> kvm_regs {
    let Registers {
        rax,
        rbx,
        rcx,
        rdx,
        rsi,
        rdi,
        rsp,
        rbp,
        r8,
        r9,
        r10,
        r11,
        r12,
        r13,
        r14,
        r15,
        rip,
        rflags,
    } = registers;
    kvm_regs { rax, rbx, rcx, rdx, rsi, rdi, rsp, rbp, r8, r9, r10, r11, r12, r13, r14, r15, rip, rflags }
}
