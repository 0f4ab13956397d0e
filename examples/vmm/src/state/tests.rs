//! Both formats: what goes in comes out, bytes that arrived are not believed, and layouts do not change by accident.

use super::*;
use zerocopy::{FromBytes, FromZeros};

/// Bytes that look like something.
fn noise<T: FromBytes>(seed: u8) -> T {
    let mut bytes = vec![0; size_of::<T>()];
    let mut byte = seed;
    for place in &mut bytes {
        byte = byte.wrapping_mul(167).wrapping_add(13);
        *place = byte;
    }
    T::read_from_bytes(&bytes).unwrap()
}

/// A local APIC whose registers are what a format that knows the registers can carry.
fn lapic() -> kvm_lapic_state {
    let mut bytes = [0u8; 1024];
    for (nth, register) in (0u32..).zip(bytes.chunks_mut(16)) {
        register[..4].copy_from_slice(&(nth * 77).to_le_bytes());
    }
    kvm_lapic_state::read_from_bytes(&bytes).unwrap()
}

fn kvm() -> MachineState {
    let vcpu = |seed: u8| {
        let mut xsave = kvm_xsave::new_zeroed();
        xsave.region[3] = 5;
        xsave.region[400] = u32::from(seed);
        Box::new(KvmVcpu {
            regs: noise(seed),
            sregs: noise(seed + 1),
            xsave,
            xcrs: noise(seed + 2),
            debug: noise(seed + 3),
            lapic: lapic(),
            events: noise(seed + 4),
            mp: noise(seed + 5),
            msrs: (0..40).map(|nth| bytes::msr(0xC000_0080 + nth, u64::from(nth) << 40 | 7)).collect(),
            tsc_offset: -1_234_567_890_123,
            tsc_khz: Some(2_600_000),
        })
    };
    let platform = Box::new(KvmPlatform { clock: noise(9), chips: [noise(1), noise(2), noise(3)] });
    let guest = GuestState::Kvm { platform, vcpus: vec![vcpu(20), vcpu(90)] };
    MachineState { layout: Layout::new(64 << 20, 2).unwrap(), guest }
}

fn threads() -> MachineState {
    let vcpu =
        |counter| ThreadVcpu { counter, page: 3, word: 584, left: 17, unprinted: 4, rung: counter == 2 };
    let guest = GuestState::Threads { vcpus: (0..3).map(vcpu).collect() };
    MachineState { layout: Layout::new(64 << 20, 3).unwrap(), guest }
}

#[test]
fn what_goes_in_comes_out_of_each_format() {
    for state in [kvm(), threads()] {
        // Version 1 is the simplest witness of a whole state.
        let whole = state.write(V1).unwrap();
        for version in [V1, V2] {
            let bytes = state.write(version).unwrap();
            assert!(bytes.len() as u64 <= MachineState::bytes_max(state.layout.vcpus()));
            let back = MachineState::read(version, &bytes).unwrap();
            assert_eq!(back.write(V1).unwrap(), whole, "{version:?}");
            assert_eq!(back.write(version).unwrap().len(), bytes.len());
        }
    }
}

#[test]
fn the_largest_state_is_not_larger_than_is_said() {
    let mut state = kvm();
    let GuestState::Kvm { vcpus, .. } = &mut state.guest else { unreachable!() };
    for vcpu in vcpus {
        vcpu.msrs = vec![bytes::msr(1, 2); MSRS_MAX];
        vcpu.xsave = noise(77);
    }
    for version in [V1, V2] {
        let bytes = state.write(version).unwrap();
        assert!(bytes.len() as u64 <= MachineState::bytes_max(2), "{version:?}: {}", bytes.len());
        MachineState::read(version, &bytes).unwrap();
    }
}

#[test]
fn only_version_2_knows_the_frequency() {
    let frequency = |version| {
        let back = MachineState::read(version, &kvm().write(version).unwrap()).unwrap();
        let GuestState::Kvm { vcpus, .. } = back.guest else { unreachable!() };
        vcpus[0].tsc_khz
    };
    assert_eq!((frequency(V1), frequency(V2)), (None, Some(2_600_000)));
}

#[test]
fn formats_differ_and_do_not_read_each_other() {
    for state in [kvm(), threads()] {
        let [one, two] = [V1, V2].map(|version| state.write(version).unwrap());
        assert_ne!(one, two);
        MachineState::read(V1, &two).unwrap_err();
        MachineState::read(V2, &one).unwrap_err();
    }
    assert_eq!(MachineState::read(Version(3), &[]).unwrap_err(), StateError::Version { version: 3 });
}

#[test]
fn version_2_leaves_zeros_out() {
    let [one, two] = [V1, V2].map(|version| kvm().write(version).unwrap().len());
    assert!(two < one / 2, "{two} bytes instead of {one}");
}

#[test]
fn bytes_that_are_cut_or_go_on_are_refused() {
    for state in [kvm(), threads()] {
        for version in [V1, V2] {
            let mut bytes = state.write(version).unwrap();
            for len in (0..bytes.len()).step_by(7) {
                MachineState::read(version, &bytes[..len]).unwrap_err();
            }
            bytes.push(0);
            MachineState::read(version, &bytes).unwrap_err();
        }
    }
}

#[test]
fn bytes_that_were_changed_do_no_harm() {
    for state in [kvm(), threads()] {
        for version in [V1, V2] {
            let bytes = state.write(version).unwrap();
            for at in 0..bytes.len().min(4096) {
                let mut changed = bytes.clone();
                changed[at] ^= 0xFF;
                // Whatever it says of it: it says so without a panic.
                drop(MachineState::read(version, &changed));
            }
        }
    }
}

#[test]
fn released_bytes_are_still_read_and_written() {
    let golden: [(&[u8], MachineState, Version); 4] = [
        (include_bytes!("../../../../tests/golden/vmm/kvm-v1.bin"), kvm(), V1),
        (include_bytes!("../../../../tests/golden/vmm/kvm-v2.bin"), kvm(), V2),
        (include_bytes!("../../../../tests/golden/vmm/threads-v1.bin"), threads(), V1),
        (include_bytes!("../../../../tests/golden/vmm/threads-v2.bin"), threads(), V2),
    ];
    for (bytes, state, version) in golden {
        assert_eq!(state.write(version).unwrap(), bytes, "{version:?}: a new layout is a new version");
        let back = MachineState::read(version, bytes).unwrap();
        assert_eq!(back.layout, state.layout);
    }
}
