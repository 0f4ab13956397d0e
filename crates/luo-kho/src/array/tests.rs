//! What arrays promise: they cross, they take only what they say, a failure leaves no trace, and nobody's lies are
//! believed. A **lie** is a wrong field under a correct checksum.

use alloc::vec::Vec;
use core::fmt::Debug;

use proptest::prelude::*;
use zerocopy::little_endian::U64;

use super::chain::{CHUNK, CHUNK_ENTRIES, HEAD, HEAD_ENTRIES};
use super::*;
use crate::bare::{Bare, World};
use crate::block::BlockKind;
use crate::ownership;
use crate::sim::{FaultPlan, Fragmentation, Machine, MachineConfig};
use crate::{BadBlock, FRAME_BYTES, FRAME_SIZE, Kho, PhysAddr};

/// One frame at a time, and none a neighbour of the next.
fn singles() -> Bare {
    Bare::new(1 << 20, 1, 1)
}

/// Five frames at a time, all neighbours.
fn runs() -> Bare {
    Bare::new(1 << 20, 5, 0)
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len as u64).map(|n| n.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_le_bytes()[7]).collect()
}

fn name(number: u64) -> Name {
    Name::new(number).unwrap()
}

#[test]
fn bytes_of_any_length_cross() {
    for len in [1, 7, 8, 9, 4095, 4096, 4097, 5 * 4096, 13 * 4096 + 5] {
        for mut memory in [singles(), runs()] {
            let bytes = pattern(len);
            let array = PreservedArray::from_bytes(&mut memory, &bytes).unwrap();
            memory.hand_over();
            let opened = PreservedArray::<u8>::open(&memory, array.name()).unwrap();
            opened.verify(&memory).unwrap();
            assert_eq!(opened.to_vec(&memory).unwrap(), bytes);
            assert_eq!(opened.pieces(&memory).unwrap().concat(), bytes);
            assert_eq!(opened.bytes(), ByteLen::of(len));
            assert_eq!(opened.frames(), array.frames());
            let restored = PreservedArray::<u8>::restore(&mut memory, array.name()).unwrap();
            assert!(PreservedArray::<u8>::restore(&mut memory, array.name()).is_err());
            restored.free(&mut memory).unwrap();
            assert_eq!(memory.world(), World::default());
        }
    }
}

#[test]
fn neighbouring_frames_are_one_extent() {
    let mut memory = runs();
    let array = PreservedArray::<u8>::alloc(&mut memory, 100 * FRAME_BYTES).unwrap();
    assert_eq!(array.extents().len(), 1);
    assert_eq!(array.frames().len(), 2);
    let mut memory = singles();
    let array = PreservedArray::<u8>::alloc(&mut memory, 100 * FRAME_BYTES).unwrap();
    assert_eq!((array.extents().len(), array.frames().len()), (100, 101));
}

#[test]
fn a_chunk_begins_where_the_block_before_is_full() {
    for (entries, chunks) in [
        (HEAD_ENTRIES, 0),
        (HEAD_ENTRIES + 1, 1),
        (HEAD_ENTRIES + CHUNK_ENTRIES, 1),
        (HEAD_ENTRIES + CHUNK_ENTRIES + 1, 2),
        (HEAD_ENTRIES + 2 * CHUNK_ENTRIES + 7, 3),
    ] {
        let mut memory = singles();
        let array = PreservedArray::<[u8; 4096]>::alloc(&mut memory, entries as u64).unwrap();
        assert_eq!(array.chunks.len(), chunks, "{entries}");
        let opened = PreservedArray::<[u8; 4096]>::open(&memory, array.name()).unwrap();
        assert_eq!(opened.frames(), array.frames());
        assert_eq!(opened.len(), entries as u64);
        opened.free(&mut memory).unwrap();
        assert_eq!(memory.world(), World::default());
    }
}

#[test]
fn six_tebibytes_take_a_chain_of_777_chunks_and_touch_no_item() {
    const SIX_TIB: u64 = 6 << 40;
    let mut memory = Bare::new(1 << 32, 1 << 16, 1);
    let mut array = PreservedArray::<u64>::alloc(&mut memory, SIX_TIB / 8).unwrap();
    assert_eq!(array.bytes(), ByteLen::new(SIX_TIB));
    assert_eq!((array.extents().len(), array.chunks.len()), (24_576, 777));
    assert_eq!(memory.touched(), 778);
    let last = SIX_TIB / 8 - 1;
    array.write(&mut memory, last, &[0x0123_4567_89AB_CDEF]).unwrap();
    array.write(&mut memory, 1 << 39, &[7, 8]).unwrap();
    assert_eq!(memory.touched(), 780);
    let opened = PreservedArray::<u64>::open(&memory, array.name()).unwrap();
    let mut items = [0; 3];
    opened.read(&memory, last - 2, &mut items).unwrap();
    assert_eq!(items, [0, 0, 0x0123_4567_89AB_CDEF]);
    opened.read(&memory, (1 << 39) - 1, &mut items).unwrap();
    assert_eq!(items, [0, 7, 8]);
    assert_eq!(opened.frames(), array.frames());
}

#[test]
fn lengths_that_cannot_be_are_refused() {
    let mut memory = runs();
    for len in [0, u64::MAX, u64::MAX / 8 + 1] {
        let error = PreservedArray::<u64>::alloc(&mut memory, len).unwrap_err();
        assert!(matches!(error, StoreError::BadLength { .. }), "{error}");
    }
    let error = PreservedArray::<u8>::alloc(&mut memory, u64::MAX).unwrap_err();
    assert!(matches!(error, StoreError::Kho(KhoError::OutOfFrames { .. })), "{error}");
    // Fits the span, but not the memory: what was taken is given back.
    let mut full = Bare::new(64, 5, 5);
    let error = PreservedArray::<u8>::alloc(&mut full, 60 * FRAME_BYTES).unwrap_err();
    assert!(matches!(error, StoreError::Kho(KhoError::OutOfFrames { .. })), "{error}");
    assert_eq!(full.world(), World::default());
}

#[test]
fn items_beyond_the_end_are_refused() {
    let mut memory = runs();
    let mut array = PreservedArray::<U64>::alloc(&mut memory, 10).unwrap();
    let items = [U64::new(1); 3];
    array.write(&mut memory, 7, &items).unwrap();
    let before = memory.world();
    for index in [8, 10, 11, u64::MAX] {
        assert!(matches!(array.write(&mut memory, index, &items), Err(StoreError::OutOfBounds { .. })));
        let mut out = items;
        assert!(matches!(array.read(&memory, index, &mut out), Err(StoreError::OutOfBounds { .. })));
    }
    array.read(&memory, 10, &mut []).unwrap();
    assert_eq!(memory.world(), before);
}

#[test]
fn the_seal_covers_the_items_as_they_were() {
    let mut memory = singles();
    let mut array = PreservedArray::<u8>::alloc(&mut memory, 9000).unwrap();
    let impossible = |error| matches!(error, StoreError::Bad(BadBlock::Impossible { .. }));
    assert!(impossible(array.verify(&memory).unwrap_err()));
    assert!(impossible(
        PreservedArray::<u8>::open(&memory, array.name()).unwrap().verify(&memory).unwrap_err()
    ));
    array.seal(&mut memory).unwrap();
    array.write(&mut memory, 8999, &[1]).unwrap();
    assert!(impossible(array.verify(&memory).unwrap_err()));
    let stale = PreservedArray::<u8>::open(&memory, array.name()).unwrap();
    assert!(matches!(stale.verify(&memory), Err(StoreError::Bad(BadBlock::Checksum { .. }))));
    array.seal(&mut memory).unwrap();
    PreservedArray::<u8>::open(&memory, array.name()).unwrap().verify(&memory).unwrap();
}

/// Fails one call after the other; what failed left no trace. `total` is how many calls there are: of many, those in
/// the middle are alike and are tried here and there.
fn sweep<T: Debug>(total: u64, make: impl Fn() -> Bare, act: impl Fn(&mut Bare) -> Result<T, StoreError>) {
    for nth in (0..total).filter(|nth| *nth < 16 || nth + 16 > total || nth % 13 == 0) {
        let mut memory = make();
        let before = memory.world();
        memory.fail_nth(nth);
        act(&mut memory).unwrap_err();
        assert_eq!(memory.world(), before, "call {nth}");
    }
    let mut memory = make();
    memory.fail_nth(total);
    act(&mut memory).unwrap();
}

#[test]
fn a_failing_call_leaves_no_trace() {
    // Frame 0 has no name and is given back, the head is in the next that comes; 504 frames need one chunk.
    let alloc = |memory: &mut Bare| PreservedArray::<u8>::alloc(memory, 504 * FRAME_BYTES);
    sweep(4 + 2 + 2 * (504 + 1) + 2, singles, alloc);
    let bytes = pattern(9001);
    // Written are: the head, three frames, a word at the end; for the seal the head again.
    sweep(4 + 2 + 2 * 3 + 1 + 3 + 2 + 3 + 2, singles, |memory| PreservedArray::from_bytes(memory, &bytes));
    let made = || {
        let mut memory = singles();
        PreservedArray::<u8>::alloc(&mut memory, 504 * FRAME_BYTES).unwrap();
        memory.hand_over();
        memory
    };
    let head = name(2 * FRAME_BYTES);
    sweep(2, made, |memory| PreservedArray::<u8>::open(memory, head));
    sweep(2 + 2 + 504, made, |memory| PreservedArray::<u8>::restore(memory, head));
    sweep(2 + 504 + 2, made, |memory| PreservedArray::<u8>::open(memory, head)?.seal(memory));
}

#[test]
fn freeing_goes_on_past_an_error_and_reports_it() {
    for nth in 0.. {
        let mut memory = runs();
        memory.alloc(FrameCount::ONE).unwrap();
        let before = memory.world();
        let array = PreservedArray::from_bytes(&mut memory, &pattern(9000)).unwrap();
        let frames = array.frames();
        memory.fail_nth(nth);
        let Err(error) = array.free(&mut memory) else {
            assert_eq!((memory.world(), nth), (before, 2 * frames.len() as u64));
            return;
        };
        assert!(matches!(error, StoreError::Kho(KhoError::Injected { .. })));
        // One range is left: preserved if the first of its two calls failed.
        memory.fail_none();
        let left = frames[usize::try_from(nth / 2).unwrap()];
        assert_eq!(memory.is_preserved(left), nth % 2 == 0);
        if nth % 2 == 0 {
            memory.unpreserve(left).unwrap();
        }
        memory.free(left).unwrap();
        assert_eq!(memory.world(), before);
    }
}

// ---- on the simulated machine

const FRAGMENTATIONS: [Fragmentation; 4] =
    [Fragmentation::Contiguous, Fragmentation::Single, Fragmentation::Descending, Fragmentation::Random];

#[test]
fn an_array_crosses_a_kexec_from_however_broken_memory() {
    let bytes = pattern(700 * 4096 + 1);
    for fragmentation in FRAGMENTATIONS {
        let machine = Machine::new(MachineConfig::default().fragmentation(fragmentation));
        let (mut kho, owned) = machine.found().unwrap();
        let array = PreservedArray::from_bytes(&mut kho, &bytes).unwrap();
        kho.publish(Some(array.name().as_root())).unwrap();
        let offer = ownership::offer(&mut kho, owned).unwrap();
        machine.kexec();
        let mut next = machine.successor().unwrap();
        let name = name(next.root().unwrap().get());
        let restored = PreservedArray::<u8>::restore(&mut next, name).unwrap();
        let _owned = ownership::commit(&mut next, offer).unwrap();
        restored.verify(&next).unwrap();
        assert!(restored.to_vec(&next).unwrap() == bytes, "{fragmentation:?}");
        restored.free(&mut next).unwrap();
        next.publish(None).unwrap();
        let census = next.census().unwrap();
        assert_eq!((census.preserved, census.claimed, census.tracker_nodes), (Vec::new(), Vec::new(), 1));
        assert_eq!(machine.violations(), []);
    }
}

#[test]
fn a_call_that_fails_on_the_machine_leaves_no_trace() {
    let bytes = pattern(9 * 4096 + 1);
    for fragmentation in FRAGMENTATIONS {
        let machine = Machine::new(MachineConfig::default().fragmentation(fragmentation));
        let (mut kho, _owned) = machine.found().unwrap();
        let before = kho.census().unwrap();
        let mut failures = 0;
        loop {
            machine.inject(FaultPlan::none().fail(machine.counters().calls + failures));
            match PreservedArray::from_bytes(&mut kho, &bytes) {
                Ok(array) => {
                    array.free(&mut kho).unwrap();
                    break;
                }
                Err(error) => assert_eq!(kho.census().unwrap(), before, "{error}"),
            }
            failures += 1;
        }
        assert!(failures > 8, "{fragmentation:?}: {failures}");
        assert_eq!(kho.census().unwrap(), before);
    }
}

// ---- bytes that somebody else wrote

type Bytes = PreservedArray<u8>;

/// An array of single frames with two chunks.
fn long() -> (Bare, Bytes) {
    let mut memory = singles();
    let frames = (HEAD_ENTRIES + CHUNK_ENTRIES + 3) as u64;
    let array = Bytes::alloc(&mut memory, frames * FRAME_BYTES - 17).unwrap();
    (memory, array)
}

/// Writes a field and makes the checksum right again: a liar, not an accident.
fn lie(memory: &mut Bare, kind: BlockKind, frame: Pfn, offset: u64, value: u64) {
    let mut block = memory.read(frame.as_range()).unwrap().to_vec();
    let len = u32::from_le_bytes(block[8..12].try_into().unwrap());
    block.truncate(usize::try_from(len).unwrap());
    block[usize::try_from(offset).unwrap()..][..8].copy_from_slice(&value.to_le_bytes());
    kind.seal(&mut block);
    memory.poke(frame.addr(), &block);
}

fn refused(memory: &Bare, array: &Bytes) -> StoreError {
    Bytes::open(memory, array.name()).unwrap_err()
}

#[test]
fn every_flipped_byte_is_refused_or_means_nothing() {
    let (mut memory, array) = long();
    for frame in [array.name().frame(), array.chunks[0], array.chunks[1]] {
        let bytes = memory.read(frame.as_range()).unwrap().to_vec();
        // Behind the three entries of the last chunk nothing means anything.
        let meaningless = if frame == array.chunks[1] { 48 + 3 * 8 } else { FRAME_SIZE };
        for (offset, byte) in (0..).zip(bytes).filter(|&(offset, _)| offset < meaningless || offset % 61 == 0)
        {
            let at = PhysAddr::new(frame.addr().get() + offset as u64);
            memory.poke(at, &[byte ^ 0x10]);
            let opened = Bytes::open(&memory, array.name());
            assert_eq!(opened.is_ok(), offset >= meaningless, "byte {offset} of {frame}");
            assert!(opened.is_err() || opened.unwrap().frames() == array.frames());
            memory.poke(at, &[byte]);
        }
    }
}

#[test]
fn numbers_that_do_not_fit_each_other_are_refused() {
    for offset in (16..80).step_by(8) {
        for value in [0, 1, 2, 3, 1 << 20, 1 << 32, 1 << 52, u64::MAX >> 1, u64::MAX - 1, u64::MAX] {
            let (mut memory, array) = long();
            let head = array.name().frame();
            let stood =
                memory.read(head.as_range()).unwrap()[usize::try_from(offset).unwrap()..][..8].to_vec();
            lie(&mut memory, HEAD, head, offset, value);
            // True, or a checksum of the items: whether that is right, `verify` says.
            let harmless = stood == value.to_le_bytes() || (offset == 40 && value >> 32 == 1);
            assert_eq!(Bytes::open(&memory, array.name()).is_ok(), harmless, "{value:#x} at {offset}");
        }
    }
}

#[test]
fn chains_that_lie_are_refused() {
    let (_, array) = long();
    let head = array.name().get();
    let [first, second] = [array.chunks[0], array.chunks[1]].map(|chunk| chunk.addr().get());
    // Which chunk, which field, what it says: cycles, shortcuts, ends too early and too late, strangers.
    for (chunk, offset, value) in [
        (0, 32, first),
        (0, 32, head),
        (0, 32, 0),
        (0, 32, second + 8),
        (0, 32, 1 << 60),
        (1, 32, first),
        (1, 32, second),
        (0, 24, 1),
        (1, 24, 0),
        (1, 24, u64::MAX),
        (0, 16, first),
        (0, 40, 505),
        (1, 40, 4),
        (1, 40, 0),
        (1, 40, u64::MAX),
    ] {
        let (mut memory, array) = long();
        lie(&mut memory, CHUNK, array.chunks[chunk], offset, value);
        let error = refused(&memory, &array);
        assert!(!matches!(error, StoreError::Bad(BadBlock::Checksum { .. })), "{error}");
    }
    for value in [second, head, 0, first + 1] {
        let (mut memory, array) = long();
        lie(&mut memory, HEAD, array.name().frame(), 72, value);
        refused(&memory, &array);
    }
}

#[test]
fn entries_that_lie_are_refused() {
    let (_, array) = long();
    let frame = |index: usize| array.extents()[index].start().get();
    let free = array.chunks[1].get() + 1;
    for value in [
        frame(1),                   // serves twice
        array.name().frame().get(), // the head as an item's frame
        array.chunks[0].get(),      // a chunk as an item's frame
        free,                       // not preserved
        1 << 20,                    // past the span
        (1 << 52) - 1,              // past the span
        u64::MAX,                   // past all frames
        frame(0) | (1 << 52),       // two frames where there is one
    ] {
        let (mut memory, array) = long();
        lie(&mut memory, HEAD, array.name().frame(), 80, value);
        refused(&memory, &array);
        let (mut memory, array) = long();
        lie(&mut memory, CHUNK, array.chunks[1], 48 + 2 * 8, value);
        refused(&memory, &array);
    }
}

#[test]
fn frames_that_nobody_promised_are_not_read() {
    for taken_back in [0, 1, 2, 3, 700] {
        let (mut memory, array) = long();
        let range = array.frames()[taken_back];
        memory.unpreserve(range).unwrap();
        assert_eq!(refused(&memory, &array), StoreError::Kho(KhoError::NotPreserved { range }));
    }
}

#[test]
fn items_of_another_size_are_refused() {
    let mut memory = runs();
    let array = PreservedArray::<u64>::alloc(&mut memory, 10).unwrap();
    assert!(PreservedArray::<u32>::open(&memory, array.name()).is_err());
    assert!(PreservedArray::<[u64; 2]>::open(&memory, array.name()).is_err());
}

#[test]
fn an_array_keeps_its_chain_when_it_is_written_on_the_far_side() {
    let (mut memory, array) = long();
    memory.hand_over();
    let mut restored = Bytes::restore(&mut memory, array.name()).unwrap();
    restored.write(&mut memory, 5_000, b"written by the successor").unwrap();
    restored.seal(&mut memory).unwrap();
    let opened = Bytes::open(&memory, array.name()).unwrap();
    opened.verify(&memory).unwrap();
    assert_eq!(opened.frames(), array.frames());
}

// ---- against a dumb model

fn ops() -> impl Strategy<Value = Vec<(usize, Vec<[u8; 3]>)>> {
    let items = prop::collection::vec(any::<[u8; 3]>(), 0..2000);
    prop::collection::vec((0..7000usize, items), 1..8)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn agrees_with_a_vector(len in 1..7000usize, ops in ops(), run in 1..4u64, gap in 0..2u64) {
        // Items of three bytes reach across words and frames.
        let mut memory = Bare::new(1 << 20, run, gap);
        let mut array = PreservedArray::<[u8; 3]>::alloc(&mut memory, len as u64).unwrap();
        let mut model = alloc::vec![[0u8; 3]; len];
        for (index, items) in ops {
            let fits = index + items.len() <= len;
            prop_assert_eq!(array.write(&mut memory, index as u64, &items).is_ok(), fits);
            if fits {
                model[index..][..items.len()].copy_from_slice(&items);
                let mut back = items.clone();
                array.read(&memory, index as u64, &mut back).unwrap();
                prop_assert_eq!(&back, &items);
            }
        }
        array.seal(&mut memory).unwrap();
        let opened = PreservedArray::<[u8; 3]>::open(&memory, array.name()).unwrap();
        opened.verify(&memory).unwrap();
        prop_assert_eq!(opened.to_vec(&memory).unwrap(), model);
    }

    #[test]
    fn lies_never_panic(lies in prop::collection::vec((0..3usize, 2..512u64, any::<u64>(), 0..4u8), 1..5)) {
        let (mut memory, array) = long();
        let frames = [array.name().frame(), array.chunks[0], array.chunks[1]];
        for (frame, word, value, kind) in lies {
            let value = match kind {
                0 => value,
                1 => frames[usize::from(value.to_le_bytes()[0]) % 3].addr().get(),
                2 => value & 0xFFF,
                _ => 0,
            };
            // The last chunk holds three entries.
            let word = if frame == 2 { 2 + word % 7 } else { word };
            lie(&mut memory, if frame == 0 { HEAD } else { CHUNK }, frames[frame], word * 8, value);
        }
        if let Ok(opened) = Bytes::open(&memory, array.name()) {
            prop_assert!(opened.frames().iter().all(|&range| memory.is_preserved(range)));
        }
    }
}
