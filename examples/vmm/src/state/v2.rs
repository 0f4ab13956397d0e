//! Version 2: numbered sections, each with its length, in any order within its vCPU; and nothing that is all zeros.
//!
//! The first 16 bytes are those of version 1. Then sections: a number (4 bytes), the length of the body (4), the body.
//! A section with a number that the reader does not know is refused: it would be state that is lost.
//!
//! | number | body |
//! |---|---|
//! | 1 | the platform: `kvm_clock_data`, three `kvm_irqchip` |
//! | 2 | a vCPU begins: its number; what follows is its own |
//! | 3 | general registers: 16 by their numbers in the instruction set, instruction pointer, flags |
//! | 4 | `kvm_sregs`, `kvm_debugregs`, `kvm_xcrs`, `kvm_vcpu_events`, `kvm_mp_state` |
//! | 5 | floating point: a bitmap of 64 blocks of 64 bytes, and those that are not zero |
//! | 6 | local APIC: its 64 registers, 4 bytes each, without the space between them |
//! | 7 | model-specific registers: all numbers, then all values |
//! | 8 | time stamp counter: what is added to the host's, and its frequency in kHz |
//! | 9 | a thread vCPU: counter, page, word and left, 8 bytes each; unprinted, and whether it was rung, 4 each |

use kvm_bindings::{kvm_irqchip, kvm_lapic_state, kvm_msr_entry, kvm_regs, kvm_xsave};
use luo_core::Version;
use zerocopy::{FromBytes as _, IntoBytes as _};

use super::bytes::{Kind, Reader, Writer, msr, msr_count, put_layout, take_layout};
use super::{CHIPS, GuestState, KvmPlatform, KvmVcpu, MachineState, StateError, ThreadVcpu};

/// The format's number.
pub(crate) const V2: Version = Version(2);

const PLATFORM: u32 = 1;
const VCPU: u32 = 2;
const GENERAL: u32 = 3;
const SPECIAL: u32 = 4;
const FLOAT: u32 = 5;
const APIC: u32 = 6;
const MSRS: u32 = 7;
const TIME: u32 = 8;
const THREAD: u32 = 9;

/// Bytes of a block of the floating-point area.
const BLOCK: usize = 64;
/// Registers of a local APIC, and bytes from one to the next.
const APIC_REGISTERS: usize = 64;
const APIC_SPACING: usize = 16;

pub(super) fn write(state: &MachineState) -> Vec<u8> {
    let mut writer = Writer::default();
    let MachineState { layout, guest } = state;
    match guest {
        GuestState::Kvm { platform, vcpus } => {
            put_layout(&mut writer, Kind::Kvm, layout);
            let KvmPlatform { clock, chips } = &**platform;
            section(&mut writer, PLATFORM, |body| {
                body.put(clock);
                for chip in chips {
                    body.put(chip);
                }
            });
            for (nth, vcpu) in (0..).zip(vcpus) {
                section(&mut writer, VCPU, |body| body.u32(nth));
                put_vcpu(&mut writer, vcpu);
            }
        }
        GuestState::Threads { vcpus } => {
            put_layout(&mut writer, Kind::Threads, layout);
            for (nth, vcpu) in (0..).zip(vcpus) {
                let ThreadVcpu { counter, page, word, left, unprinted, rung } = *vcpu;
                section(&mut writer, VCPU, |body| body.u32(nth));
                section(&mut writer, THREAD, |body| {
                    for value in [counter, page, word, left] {
                        body.u64(value);
                    }
                    body.u32(u32::try_from(unprinted).unwrap_or(u32::MAX));
                    body.u32(u32::from(rung));
                });
            }
        }
    }
    writer.0
}

fn section(writer: &mut Writer, number: u32, body: impl FnOnce(&mut Writer)) {
    let mut inner = Writer::default();
    body(&mut inner);
    writer.u32(number);
    writer.u32(u32::try_from(inner.0.len()).unwrap_or(u32::MAX));
    writer.0.append(&mut inner.0);
}

fn put_vcpu(writer: &mut Writer, vcpu: &KvmVcpu) {
    let KvmVcpu { regs, sregs, xsave, xcrs, debug, lapic, events, mp, msrs, tsc_offset, tsc_khz } = vcpu;
    section(writer, GENERAL, |body| by_number(regs).into_iter().for_each(|register| body.u64(register)));
    section(writer, SPECIAL, |body| {
        body.put(sregs);
        body.put(debug);
        body.put(xcrs);
        body.put(events);
        body.put(mp);
    });
    section(writer, FLOAT, |body| {
        let blocks = xsave.as_bytes().chunks(BLOCK);
        let used = |block: &[u8]| block.iter().any(|byte| *byte != 0);
        let bitmap = blocks.clone().enumerate().filter(|(_, block)| used(block));
        body.u64(bitmap.fold(0, |bitmap, (nth, _)| bitmap | 1 << nth));
        blocks.filter(|block| used(block)).for_each(|block| body.0.extend_from_slice(block));
    });
    section(writer, APIC, |body| {
        let registers = lapic.as_bytes().chunks(APIC_SPACING).filter_map(|register| register.get(..4));
        registers.for_each(|register| body.0.extend_from_slice(register));
    });
    section(writer, MSRS, |body| {
        for msr in msrs {
            body.u32(msr.index);
        }
        for msr in msrs {
            body.u64(msr.data);
        }
    });
    section(writer, TIME, |body| {
        body.u64(tsc_offset.cast_unsigned());
        body.u32(tsc_khz.unwrap_or(0));
    });
}

/// General registers as the instruction set numbers them, instruction pointer, flags.
fn by_number(regs: &kvm_regs) -> [u64; 18] {
    let kvm_regs {
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
    } = *regs;
    [rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15, rip, rflags]
}

fn from_numbers(registers: [u64; 18]) -> kvm_regs {
    let [rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15, rip, rflags] =
        registers;
    kvm_regs { rax, rbx, rcx, rdx, rsi, rdi, rsp, rbp, r8, r9, r10, r11, r12, r13, r14, r15, rip, rflags }
}

/// A vCPU of which not all sections have been read.
#[derive(Default)]
struct Parts {
    general: Option<kvm_regs>,
    special: Option<Special>,
    float: Option<kvm_xsave>,
    apic: Option<kvm_lapic_state>,
    msrs: Option<Vec<kvm_msr_entry>>,
    time: Option<(i64, Option<u32>)>,
    thread: Option<ThreadVcpu>,
}

/// The body of section 4.
struct Special {
    sregs: kvm_bindings::kvm_sregs,
    debug: kvm_bindings::kvm_debugregs,
    xcrs: kvm_bindings::kvm_xcrs,
    events: kvm_bindings::kvm_vcpu_events,
    mp: kvm_bindings::kvm_mp_state,
}

pub(super) fn read(bytes: &[u8]) -> Result<MachineState, StateError> {
    let mut reader = Reader(bytes);
    let (kind, layout) = take_layout(&mut reader)?;
    let mut platform = None;
    let mut vcpus: Vec<Parts> = Vec::new();
    while !reader.0.is_empty() {
        let number = reader.u32("a section")?;
        let len = reader.u32("the length of a section")?;
        let mut body = Reader(reader.split(usize::try_from(len).unwrap_or(usize::MAX), "a section's body")?);
        match (number, vcpus.last_mut()) {
            (PLATFORM, None) => once(&mut platform, take_platform(&mut body)?)?,
            (VCPU, _) => {
                let in_order = body.u32("the number of a vCPU")? as usize == vcpus.len();
                if !in_order || vcpus.len() >= layout.vcpus() as usize {
                    return Err(StateError::Impossible { what: "vCPUs are out of order" });
                }
                vcpus.push(Parts::default());
            }
            (number, Some(parts)) => parts.take(number, &mut body)?,
            _ => return Err(StateError::Impossible { what: "a section stands before the first vCPU" }),
        }
        body.end()?;
    }
    if vcpus.len() != layout.vcpus() as usize {
        return Err(StateError::Short { wanted: "a vCPU" });
    }
    let guest = match kind {
        Kind::Kvm => {
            let platform = platform.ok_or(StateError::Short { wanted: "the platform" })?;
            let vcpus = vcpus.into_iter().map(Parts::into_kvm).collect::<Result<_, _>>()?;
            GuestState::Kvm { platform, vcpus }
        }
        Kind::Threads => {
            let vcpus = vcpus.into_iter().map(Parts::into_thread).collect::<Result<_, _>>()?;
            GuestState::Threads { vcpus }
        }
    };
    Ok(MachineState { layout, guest })
}

fn once<T>(place: &mut Option<T>, value: T) -> Result<(), StateError> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(StateError::Impossible { what: "a section stands there twice" }),
    }
}

fn take_platform(body: &mut Reader<'_>) -> Result<Box<KvmPlatform>, StateError> {
    let clock = body.take("the clock")?;
    let mut chips = [kvm_irqchip::default(); CHIPS];
    for chip in &mut chips {
        *chip = body.take("an interrupt controller")?;
    }
    Ok(Box::new(KvmPlatform { clock, chips }))
}

impl Parts {
    fn take(&mut self, number: u32, body: &mut Reader<'_>) -> Result<(), StateError> {
        match number {
            GENERAL => {
                let mut registers = [0; 18];
                for register in &mut registers {
                    *register = body.u64("a general register")?;
                }
                once(&mut self.general, from_numbers(registers))
            }
            SPECIAL => {
                let sregs = body.take("special registers")?;
                let debug = body.take("debug registers")?;
                let xcrs = body.take("extended control registers")?;
                let events = body.take("events")?;
                let mp = body.take("the vCPU's run state")?;
                once(&mut self.special, Special { sregs, debug, xcrs, events, mp })
            }
            FLOAT => once(&mut self.float, take_float(body)?),
            APIC => once(&mut self.apic, take_apic(body)?),
            MSRS => once(&mut self.msrs, take_msrs(body)?),
            TIME => {
                let offset = body.u64("the time stamp counter")?.cast_signed();
                let khz = body.u32("its frequency")?;
                once(&mut self.time, (offset, (khz != 0).then_some(khz)))
            }
            THREAD => once(&mut self.thread, take_thread(body)?),
            _ => {
                Err(StateError::Impossible { what: "a section has a number that this version does not know" })
            }
        }
    }

    fn into_kvm(self) -> Result<Box<KvmVcpu>, StateError> {
        let Self { general, special, float, apic, msrs, time, thread } = self;
        let missing = |wanted| StateError::Short { wanted };
        if thread.is_some() {
            return Err(StateError::Impossible { what: "a KVM guest has a vCPU that is a thread" });
        }
        let Special { sregs, debug, xcrs, events, mp } = special.ok_or(missing("special registers"))?;
        let (tsc_offset, tsc_khz) = time.ok_or(missing("the time stamp counter"))?;
        Ok(Box::new(KvmVcpu {
            regs: general.ok_or(missing("general registers"))?,
            sregs,
            xsave: float.ok_or(missing("the floating-point area"))?,
            xcrs,
            debug,
            lapic: apic.ok_or(missing("the local APIC"))?,
            events,
            mp,
            msrs: msrs.ok_or(missing("model-specific registers"))?,
            tsc_offset,
            tsc_khz,
        }))
    }

    fn into_thread(self) -> Result<ThreadVcpu, StateError> {
        match self {
            Self {
                general: None,
                special: None,
                float: None,
                apic: None,
                msrs: None,
                time: None,
                thread,
            } => thread.ok_or(StateError::Short { wanted: "the registers of the step function" }),
            _ => Err(StateError::Impossible { what: "a thread guest has a vCPU of KVM's" }),
        }
    }
}

fn take_float(body: &mut Reader<'_>) -> Result<kvm_xsave, StateError> {
    let bitmap = body.u64("the bitmap of the floating-point area")?;
    let mut bytes = [0; size_of::<kvm_xsave>()];
    for (_, place) in bytes.chunks_mut(BLOCK).enumerate().filter(|(nth, _)| bitmap >> nth & 1 == 1) {
        place.copy_from_slice(body.split(BLOCK, "a block of the floating-point area")?);
    }
    kvm_xsave::read_from_bytes(&bytes).map_err(|_| StateError::Short { wanted: "the floating-point area" })
}

fn take_apic(body: &mut Reader<'_>) -> Result<kvm_lapic_state, StateError> {
    let mut bytes = [0; APIC_REGISTERS * APIC_SPACING];
    for place in bytes.chunks_mut(APIC_SPACING).filter_map(|register| register.get_mut(..4)) {
        place.copy_from_slice(body.split(4, "a register of the local APIC")?);
    }
    kvm_lapic_state::read_from_bytes(&bytes).map_err(|_| StateError::Short { wanted: "the local APIC" })
}

fn take_msrs(body: &mut Reader<'_>) -> Result<Vec<kvm_msr_entry>, StateError> {
    let count = msr_count(u32::try_from(body.0.len() / 12).unwrap_or(u32::MAX))?;
    let mut indices = Reader(body.split(4 * count, "numbers of model-specific registers")?);
    (0..count).map(|_| Ok(msr(indices.u32("a number")?, body.u64("a model-specific register")?))).collect()
}

fn take_thread(body: &mut Reader<'_>) -> Result<ThreadVcpu, StateError> {
    let mut next = || body.u64("a register of the step function");
    let [counter, page, word, left] = [next()?, next()?, next()?, next()?];
    let unprinted = u64::from(body.u32("characters that are not printed")?);
    let rung = match body.u32("the doorbell")? {
        0 => false,
        1 => true,
        _ => return Err(StateError::Impossible { what: "the doorbell is neither rung nor not" }),
    };
    Ok(ThreadVcpu { counter, page, word, left, unprinted, rung })
}
