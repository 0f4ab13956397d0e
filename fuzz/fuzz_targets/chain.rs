//! The chain of an array of many pieces, in edits that can be sealed: opening, reading and verifying never panic, and
//! take no more time and memory than there are frames. An array that is restored has claimed each of its frames once.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use luo_fuzz::Edit;
use luo_kho::ownership;
use luo_kho::sim::{Fragmentation, Machine, MachineConfig};
use luo_kho::{FRAME_SIZE, FrameCount, Memory as _, Name, Pfn, PreservedArray};
use luo_tests::hostile::{addr, forge_frame};

/// Frames of the array: more than a head can name.
const FRAMES: u64 = 1020;

struct Offer {
    machine: Machine,
    name: Name,
    /// Head and chunks, and what stands there.
    chain: Vec<(Pfn, [u8; FRAME_SIZE])>,
}

static OFFER: LazyLock<Offer> = LazyLock::new(|| {
    let config = MachineConfig::default().frames(FrameCount::new(4096).expect("not none"));
    // From the top down: no two frames in a row are neighbours upwards, so that each has an entry.
    let machine = Machine::new(config.fragmentation(Fragmentation::Descending));
    let (mut kho, owned) = machine.found().expect("nothing was told to fail");
    let mut array = PreservedArray::<u8>::alloc(&mut kho, FRAMES << 12).expect("there is room");
    array.seal(&mut kho).expect("nothing was told to fail");
    let name = array.name();
    let data = array.extents().to_vec();
    let is_data = |pfn: &Pfn| data.iter().any(|extent| extent.contains(*pfn));
    let chain = array.frames().into_iter().flat_map(luo_kho::FrameRange::frames).filter(|pfn| !is_data(pfn));
    let bytes = |pfn| (pfn, *kho.peek(pfn).expect("it is one of the machine"));
    let chain = chain.map(bytes).collect();
    ownership::offer(&mut kho, owned).expect("nothing was told to fail");
    Offer { machine, name, chain }
});

fuzz_target!(|edits: Vec<Edit>| {
    let Offer { machine, name, chain } = &*OFFER;
    let fork = machine.fork();
    let mut frames: Vec<_> = chain.iter().map(|(_, bytes)| *bytes).collect();
    for edit in edits.iter().take(32) {
        let which = usize::from(edit.frame) % frames.len();
        let at = usize::from(edit.at) % FRAME_SIZE;
        let len = usize::from(edit.len % 9).min(FRAME_SIZE - at);
        frames[which][at..at + len].copy_from_slice(&edit.bytes[..len]);
        if edit.sealed {
            forge_frame(&mut frames[which]);
        }
    }
    for ((pfn, was), frame) in chain.iter().zip(&frames) {
        assert!(was == frame || fork.tamper(addr(*pfn, 0), frame));
    }
    let mut view = fork.successor().expect("the tracker is as it was");
    let before = fork.counters().calls;
    let opened = PreservedArray::<u8>::open(&view, *name);
    assert!(fork.counters().calls - before < 64, "opening reads the chain and nothing else");
    let Ok(array) = opened else { return };
    assert!(array.len() <= FRAMES << 12);
    // The items are megabytes; now and then will do.
    if edits.len().is_multiple_of(8) {
        let _ = array.verify(&view);
    }
    if array.len() <= 1 << 20 {
        let _ = array.to_vec(&view);
    }
    if let Ok(restored) = PreservedArray::<u8>::restore(&mut view, *name) {
        for range in restored.frames() {
            assert!(view.reclaim(range).is_err(), "a frame is claimed twice");
        }
    }
});
