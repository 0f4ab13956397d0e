//! Which frames are handed out, and what is in them.

use super::super::*;
use super::*;

fn all_runs(config: MachineConfig, want: u64) -> Vec<FrameRange> {
    let (_, mut kho, _owned) = founded(config);
    core::iter::from_fn(|| kho.alloc(count(want)).ok()).collect()
}

#[test]
fn every_mode_hands_out_every_usable_frame_once() {
    for mode in
        [Fragmentation::Contiguous, Fragmentation::Single, Fragmentation::Descending, Fragmentation::Random]
    {
        let config = small().node_starts([pfn(100), pfn(180)]).fragmentation(mode).seed(7);
        let runs = all_runs(config, 24);
        let set: crate::ranges::RangeSet = runs.iter().copied().collect();
        // 256 without frame 0, 16 of scratch, and the tracker's root.
        assert_eq!(set.frames(), 256 - 1 - 16 - 1, "{mode:?}");
        for run in runs {
            assert!(run.count() <= count(24));
            for border in [100, 180] {
                assert!(run.end() <= border || border <= run.start().get(), "{run} crosses a node");
            }
        }
    }
}

#[test]
fn contiguous_gives_what_is_wanted_and_else_the_longest() {
    let runs = all_runs(small(), 200);
    assert_eq!(runs, [frames(80, 256), frames(2, 64)]);
    let runs = all_runs(small(), 50);
    assert_eq!(runs[..2], [frames(2, 52), frames(80, 130)]);
    // Two are equally long: the lower.
    let runs = all_runs(MachineConfig::default().frames(count(9)).scratch([frames(5, 6)]), 5);
    assert_eq!(runs, [frames(2, 5), frames(6, 9)]);
}

#[test]
fn single_frames_ascend_and_descending_ones_descend() {
    let runs = all_runs(small().fragmentation(Fragmentation::Single), 50);
    assert!(runs.is_sorted() && runs.iter().all(|run| run.count() == FrameCount::ONE));
    let mut runs = all_runs(small().fragmentation(Fragmentation::Descending), 50);
    assert_eq!(runs[0], frames(254, 255), "the tracker has the highest");
    runs.reverse();
    assert!(runs.is_sorted() && runs.iter().all(|run| run.count() == FrameCount::ONE));
}

#[test]
fn random_is_scattered_and_comes_from_the_seed() {
    let random = |seed| all_runs(small().fragmentation(Fragmentation::Random).seed(seed), 8);
    assert_eq!(random(1), random(1));
    assert_ne!(random(1), random(2));
    let runs = random(1);
    let neighbours = runs.windows(2).filter(|pair| pair[0].end() == pair[1].start().get()).count();
    assert!(neighbours * 4 < runs.len(), "{neighbours} of {runs:?}");
    assert!(runs.iter().any(|run| run.count() > count(1)));
}

#[test]
fn a_preferred_node_is_used_up_before_the_others() {
    let (machine, mut kho, _owned) = founded(small().node_starts([pfn(100), pfn(180)]));
    assert_eq!(machine.node_of(pfn(0)), Some(NumaNode(0)));
    assert_eq!(machine.node_of(pfn(99)), Some(NumaNode(0)));
    assert_eq!(machine.node_of(pfn(100)), Some(NumaNode(1)));
    assert_eq!(machine.node_of(pfn(255)), Some(NumaNode(2)));
    assert_eq!(machine.node_of(pfn(256)), None);

    kho.prefer_node(Some(NumaNode(1)));
    assert_eq!(kho.alloc(count(78)).unwrap(), frames(100, 178));
    assert_eq!(kho.alloc(count(8)).unwrap(), frames(178, 180));
    assert_eq!(kho.alloc(count(8)).unwrap(), frames(2, 10));
    kho.prefer_node(Some(NumaNode(9)));
    assert_eq!(kho.alloc(count(1)).unwrap(), frames(10, 11));
    kho.prefer_node(None);
    assert_eq!(kho.alloc(count(70)).unwrap(), frames(180, 250));
}

#[test]
fn what_is_handed_out_is_zeroed_every_time() {
    let (_, mut kho, _owned) = founded(MachineConfig::default().frames(count(4)));
    for _ in 0..2 {
        let range = kho.alloc(count(2)).unwrap();
        assert_eq!(bytes_of(&kho, range), [0; 2 * FRAME_SIZE]);
        kho.write(range.addr(), &[0xAA; 2 * FRAME_SIZE]).unwrap();
        assert_eq!(bytes_of(&kho, range), [0xAA; 2 * FRAME_SIZE]);
        kho.free(range).unwrap();
        assert_eq!(kho.peek(range.start()).unwrap(), &page(0), "what is free takes no room");
    }
}

#[test]
fn a_write_may_cross_frames_and_begin_inside_one() {
    let (_, mut kho, _owned) = founded(small());
    let range = kho.alloc(count(3)).unwrap();
    let bytes: Vec<u8> = (0..251).cycle().take(FRAME_SIZE + 64).collect();
    let at = range.addr().checked_add(crate::ByteLen::of(FRAME_SIZE - 32)).unwrap();
    kho.write(at, &bytes).unwrap();
    let mut expected = alloc::vec![0; 3 * FRAME_SIZE];
    expected[FRAME_SIZE - 32..][..bytes.len()].copy_from_slice(&bytes);
    assert_eq!(bytes_of(&kho, range), expected);
    assert_eq!(kho.read(range).unwrap().len(), FRAME_SIZE, "one frame is lent at a time");
}

#[test]
fn a_tebibyte_and_the_last_frame_there_can_be() {
    let config = MachineConfig::default().frames(count(1 << 28));
    let (machine, mut kho, owned) = founded(config);
    let range = kho.alloc(count(1 << 27)).unwrap();
    assert_eq!(range.count(), count(1 << 27));
    kho.write(frames(range.end() - 1, range.end()).addr(), &[1; 8]).unwrap();
    kho.preserve(range).unwrap();
    ownership::offer(&mut kho, owned).unwrap();
    machine.kexec();
    let next = machine.successor().unwrap();
    assert_eq!(next.preserved().unwrap(), [range]);
    assert_eq!(next.read(frames(range.end() - 1, range.end())).unwrap()[..8], [1; 8]);
    assert_eq!(next.read(range).unwrap()[..8], [0; 8]);

    let top = frames(crate::PFN_END - 32, crate::PFN_END);
    let (_, mut kho, _owned) = founded(MachineConfig::default().span(top));
    assert_eq!(kho.span(), top);
    let range = kho.alloc(count(32)).unwrap();
    assert_eq!(range, frames(crate::PFN_END - 31, crate::PFN_END));
    let last = frames(crate::PFN_END - 1, crate::PFN_END);
    kho.write(last.addr(), &page(5)).unwrap();
    assert_eq!(kho.read(last).unwrap(), page(5));
}

#[test]
fn handles_and_views_may_be_shared_between_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<Machine>();
    shared::<SimKho>();
}
