//! In preserved frames of the simulated machine: across a kexec, over frames that are not neighbours, and with every
//! call failing once.

use alloc::vec::Vec;

use luo_kho::sim::{FaultPlan, Fragmentation, Machine, MachineConfig};
use luo_kho::{FrameCount, Kho, Memory, Name, ownership};

use super::patterns::{fragmented, isolated, linear};
use super::{encode, entries_of};
use crate::serial::{Builder, Run, SerialError, SerializedXArray};

fn machine(fragmentation: Fragmentation) -> Machine {
    let frames = FrameCount::new(2048).unwrap();
    Machine::new(MachineConfig::default().frames(frames).fragmentation(fragmentation).seed(7))
}

fn contents() -> [Vec<Run>; 4] {
    [Vec::new(), linear(1 << 28), isolated(1000, 1), fragmented(60_000, 2)]
}

#[test]
fn a_map_survives_a_kexec_wherever_its_frames_lie() {
    let fragmentations =
        [Fragmentation::Contiguous, Fragmentation::Single, Fragmentation::Descending, Fragmentation::Random];
    for fragmentation in fragmentations {
        for runs in contents() {
            let machine = machine(fragmentation);
            let (mut old, owned) = machine.found().unwrap();
            let mut builder = Builder::new();
            for run in &runs {
                builder.add(*run).unwrap();
            }
            let map = builder.finish(&mut old).unwrap();
            assert_eq!(map.len(), encode(&runs).len());
            map.verify(&old).unwrap();
            old.publish(Some(map.name().as_root())).unwrap();
            let offer = ownership::offer(&mut old, owned).unwrap();
            machine.kexec();

            let mut new = machine.successor().unwrap();
            let name = Name::new(new.root().unwrap().get()).unwrap();
            let opened = SerializedXArray::open(&new, name).unwrap();
            opened.verify(&new).unwrap();
            let restored = SerializedXArray::restore(&mut new, name).unwrap();
            assert!(SerializedXArray::restore(&mut new, name).is_err(), "frames are claimed once");
            let _owned = ownership::commit(&mut new, offer).unwrap();

            let view = restored.view(&new).unwrap();
            let read: Vec<Run> = view.runs().map(Result::unwrap).collect();
            assert_eq!(encode(&read), encode(&runs));
            if read.len() > 1 {
                assert!(view.entries().map(Result::unwrap).eq(entries_of(&runs)));
            }
            for run in &read {
                assert_eq!(restored.get(&new, run.first()), Ok(Some(run.value())));
            }
            restored.free(&mut new).unwrap();
            assert_eq!(new.preserved().unwrap(), []);
            assert_eq!(new.census().unwrap().allocated, []);
        }
    }
}

#[test]
fn a_changed_byte_in_memory_is_found() {
    let machine = machine(Fragmentation::Single);
    let (mut kho, _owned) = machine.found().unwrap();
    let map = SerializedXArray::store(&mut kho, &encode(&fragmented(3000, 5))).unwrap();
    // The first frame is the head of the array's chain, whose tail nobody reads.
    let frames = map.frames();
    assert!(frames.len() > 1);
    for frame in frames.into_iter().skip(1) {
        let at = frame.addr().checked_add(luo_kho::ByteLen::new(128)).unwrap();
        let mut word: [u8; 8] = kho.read(frame).unwrap()[128..136].try_into().unwrap();
        word[3] ^= 4;
        kho.write(at, &word).unwrap();
        let found = SerializedXArray::open(&kho, map.name()).and_then(|map| map.verify(&kho));
        assert!(matches!(found, Err(SerialError::Store(_) | SerialError::Checksum { .. })), "{found:?}");
        word[3] ^= 4;
        kho.write(at, &word).unwrap();
        assert_eq!(map.verify(&kho), Ok(()));
    }
}

#[test]
fn whatever_call_fails_nothing_stays_behind() {
    let encoded = encode(&fragmented(100_000, 3));
    let mut failures = 0;
    for nth in 0.. {
        let machine = machine(Fragmentation::Single);
        let (mut kho, _owned) = machine.found().unwrap();
        let before = kho.census().unwrap();
        machine.inject(FaultPlan::none().fail(machine.counters().calls + nth));
        if let Ok(map) = SerializedXArray::store(&mut kho, &encoded) {
            // The last call of all was passed: none is left to fail.
            machine.inject(FaultPlan::none());
            map.free(&mut kho).unwrap();
            assert_eq!(kho.census().unwrap(), before);
            break;
        }
        failures += 1;
        assert_eq!(kho.census().unwrap(), before, "after call {nth} failed");
    }
    assert!(failures > 10, "{failures} calls failed");
}
