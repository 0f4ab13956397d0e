//! Version 1: the kernel's structures as they are, one behind the other, always the same ones.
//!
//! | bytes | what |
//! |---|---|
//! | 16 | what executes the guest (1 KVM, 2 threads), vCPUs, bytes of memory |
//! | KVM: 48, 3 x 520 | `kvm_clock_data`; `kvm_irqchip` of both old controllers and the I/O APIC |
//! | for each KVM vCPU: | |
//! | 144, 312, 128, 64 | `kvm_regs`, `kvm_sregs`, `kvm_debugregs`, `kvm_vcpu_events` |
//! | 392, 4096, 1024, 4 | `kvm_xcrs`, `kvm_xsave`, `kvm_lapic_state`, `kvm_mp_state` |
//! | 4, 8 | number of model-specific registers; what is added to the host's time stamp counter |
//! | 16 each | `kvm_msr_entry` |
//! | for each thread vCPU: 48 | six words: counter, page, word, left, unprinted, rung |
//!
//! The frequency of the time stamp counter is not carried: this version is for updates on one host.

use luo_core::Version;

use super::bytes::{Kind, Reader, Writer, msr_count, put_layout, take_layout};
use super::{CHIPS, GuestState, KvmPlatform, KvmVcpu, MachineState, StateError, ThreadVcpu};

/// The format's number.
pub(crate) const V1: Version = Version(1);

pub(super) fn write(state: &MachineState) -> Vec<u8> {
    let mut writer = Writer::default();
    let MachineState { layout, guest } = state;
    match guest {
        GuestState::Kvm { platform, vcpus } => {
            put_layout(&mut writer, Kind::Kvm, layout);
            let KvmPlatform { clock, chips } = &**platform;
            writer.put(clock);
            for chip in chips {
                writer.put(chip);
            }
            for vcpu in vcpus {
                put_vcpu(&mut writer, vcpu);
            }
        }
        GuestState::Threads { vcpus } => {
            put_layout(&mut writer, Kind::Threads, layout);
            for vcpu in vcpus {
                put_thread(&mut writer, vcpu);
            }
        }
    }
    writer.0
}

pub(super) fn read(bytes: &[u8]) -> Result<MachineState, StateError> {
    let mut reader = Reader(bytes);
    let (kind, layout) = take_layout(&mut reader)?;
    let guest = match kind {
        Kind::Kvm => {
            let clock = reader.take("the clock")?;
            let mut chips = [kvm_bindings::kvm_irqchip::default(); CHIPS];
            for chip in &mut chips {
                *chip = reader.take("an interrupt controller")?;
            }
            let vcpus = (0..layout.vcpus()).map(|_| take_vcpu(&mut reader).map(Box::new));
            let vcpus = vcpus.collect::<Result<_, _>>()?;
            GuestState::Kvm { platform: Box::new(KvmPlatform { clock, chips }), vcpus }
        }
        Kind::Threads => {
            let vcpus = (0..layout.vcpus()).map(|_| take_thread(&mut reader)).collect::<Result<_, _>>()?;
            GuestState::Threads { vcpus }
        }
    };
    reader.end()?;
    Ok(MachineState { layout, guest })
}

fn put_vcpu(writer: &mut Writer, vcpu: &KvmVcpu) {
    let KvmVcpu { regs, sregs, xsave, xcrs, debug, lapic, events, mp, msrs, tsc_offset, tsc_khz: _ } = vcpu;
    writer.put(regs);
    writer.put(sregs);
    writer.put(debug);
    writer.put(events);
    writer.put(xcrs);
    writer.put(xsave);
    writer.put(lapic);
    writer.put(mp);
    writer.u32(u32::try_from(msrs.len()).unwrap_or(u32::MAX));
    writer.u64(tsc_offset.cast_unsigned());
    for msr in msrs {
        writer.put(msr);
    }
}

fn take_vcpu(reader: &mut Reader<'_>) -> Result<KvmVcpu, StateError> {
    let regs = reader.take("general registers")?;
    let sregs = reader.take("special registers")?;
    let debug = reader.take("debug registers")?;
    let events = reader.take("events")?;
    let xcrs = reader.take("extended control registers")?;
    let xsave = reader.take("the floating-point area")?;
    let lapic = reader.take("the local APIC")?;
    let mp = reader.take("the vCPU's run state")?;
    let count = msr_count(reader.u32("the number of model-specific registers")?)?;
    let tsc_offset = reader.u64("the time stamp counter")?.cast_signed();
    let msrs = (0..count).map(|_| reader.take("a model-specific register")).collect::<Result<_, _>>()?;
    Ok(KvmVcpu { regs, sregs, xsave, xcrs, debug, lapic, events, mp, msrs, tsc_offset, tsc_khz: None })
}

fn put_thread(writer: &mut Writer, vcpu: &ThreadVcpu) {
    let ThreadVcpu { counter, page, word, left, unprinted, rung } = *vcpu;
    for value in [counter, page, word, left, unprinted, u64::from(rung)] {
        writer.u64(value);
    }
}

fn take_thread(reader: &mut Reader<'_>) -> Result<ThreadVcpu, StateError> {
    let mut next = || reader.u64("a register of the step function");
    let [counter, page, word, left, unprinted] = [next()?, next()?, next()?, next()?, next()?];
    let rung = match next()? {
        0 => false,
        1 => true,
        _ => return Err(StateError::Impossible { what: "the doorbell is neither rung nor not" }),
    };
    Ok(ThreadVcpu { counter, page, word, left, unprinted, rung })
}
