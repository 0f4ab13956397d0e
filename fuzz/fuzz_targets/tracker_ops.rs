//! Operations on the set of preserved frames, some of which fail, against a set of numbers; and what a successor reads
//! of it.
#![no_main]

use std::collections::BTreeSet;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use luo_kho::sim::{Call, FaultPlan, Machine, MachineConfig};
use luo_kho::{FrameCount, FrameRange, KhoError, Memory as _, ownership};

/// One operation. Frames are those around the border between two leaves.
#[derive(Arbitrary, Debug)]
enum Op {
    Preserve(u8, u8),
    Unpreserve(u8, u8),
    FailNode(u8),
}

const FIRST: u64 = 32_768 - 128;
const LEN: u64 = 1024;

fn range(start: u8, len: u8) -> FrameRange {
    let start = FIRST + u64::from(start);
    FrameRange::from_bounds(start, start + 1 + u64::from(len % 96)).expect("it is not empty")
}

fuzz_target!(|ops: Vec<Op>| {
    let span = FrameRange::from_bounds(FIRST, FIRST + LEN).expect("it is not empty");
    let machine = Machine::new(MachineConfig::default().span(span).scratch([]));
    let (mut kho, owned) = machine.found().expect("nothing was told to fail");
    // All that the operations name belongs to somebody; nodes lie above.
    let all = kho.alloc(FrameCount::new(512).expect("not none")).expect("there is room");
    let mut model = BTreeSet::new();
    for op in ops.iter().take(100) {
        match *op {
            Op::Preserve(start, len) => {
                let range = range(start, len);
                let held = range.frames().filter(|pfn| model.contains(&pfn.get())).count() as u64;
                let before = kho.census().expect("the tracker is whole");
                match kho.preserve(range) {
                    Ok(()) => {
                        assert_eq!(held, 0);
                        model.extend(range.frames().map(luo_kho::Pfn::get));
                    }
                    Err(KhoError::AlreadyPreserved { .. }) => assert_eq!(held, range.count().get()),
                    Err(KhoError::Overlap { .. }) => assert!(held > 0),
                    Err(KhoError::NotAllocated { .. }) => assert!(!all.covers(range)),
                    Err(KhoError::Injected { .. } | KhoError::OutOfFrames { .. }) => {
                        assert_eq!(kho.census().expect("the tracker is whole"), before, "it is undone");
                    }
                    Err(error) => panic!("{error}"),
                }
            }
            Op::Unpreserve(start, len) => {
                let range = range(start, len);
                let held = range.frames().filter(|pfn| model.contains(&pfn.get())).count() as u64;
                match kho.unpreserve(range) {
                    Ok(()) => {
                        assert_eq!(held, range.count().get());
                        model.retain(|frame| !(range.start().get()..range.end()).contains(frame));
                    }
                    Err(KhoError::NotPreserved { .. }) => assert!(held < range.count().get()),
                    Err(KhoError::Injected { .. } | KhoError::OutOfFrames { .. }) => {}
                    Err(error) => panic!("{error}"),
                }
            }
            Op::FailNode(later) => {
                let nth = machine.calls_of(Call::TakeNode) + u64::from(later % 8);
                machine.inject(FaultPlan::none().fail_call(Call::TakeNode, nth));
            }
        }
        let census = kho.census().expect("the tracker is whole");
        let frames = census.preserved.into_iter().flat_map(FrameRange::frames).map(luo_kho::Pfn::get);
        assert!(frames.eq(model.iter().copied()), "the set is that of the model");
    }
    machine.inject(FaultPlan::none());
    ownership::offer(&mut kho, owned).expect("nothing was told to fail");
    let view = machine.successor().expect("the tree is a good one");
    let found = luo_kho::Kho::preserved(&view).expect("it was opened");
    assert!(found.into_iter().flat_map(FrameRange::frames).map(luo_kho::Pfn::get).eq(model));
});
