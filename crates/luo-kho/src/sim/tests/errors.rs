//! Every typed error, by name.

use super::super::*;
use super::*;
use crate::PFN_END;
use crate::tracker::{NodeStore, TrackerError};
use crate::{ByteLen, PhysAddr};

#[test]
fn out_of_range_in_every_call_that_names_frames() {
    let (machine, mut kho, _owned) = founded(small());
    let range = frames(255, 257);
    let error = Err(KhoError::OutOfRange { range, span: machine.span() });
    assert_eq!(kho.free(range), error);
    assert_eq!(kho.preserve(range), error);
    assert_eq!(kho.unpreserve(range), error);
    assert_eq!(kho.reclaim(range), error);
    assert_eq!(kho.forgo(range), error);
    assert_eq!(kho.read(range).map(|_| ()), error);
    assert_eq!(kho.write(pfn(255).addr(), &[0; 2 * FRAME_SIZE]), error);
    let past = KhoError::OutOfRange { range: frames(PFN_END - 1, PFN_END), span: machine.span() };
    assert_eq!(kho.write(PhysAddr::new(u64::MAX - 7), &[0; 16]), Err(past));
    assert_eq!(kho.peek(pfn(256)), None);
}

#[test]
fn out_of_range_when_a_tracker_names_a_node_that_is_not_there() {
    let machine = Machine::new(small());
    let mut bank = bank::Bank::new(machine.clone(), machine.guardian().party(), ram::Ram::blank(0));
    let range = frames(256, 257);
    let error = KhoError::OutOfRange { range, span: machine.span() };
    assert_eq!(bank.node(range.start()), Err(error.clone()));
    assert_eq!(bank.store(range.addr(), 1), Err(error));
    bank.store(pfn(255).addr(), 0x0102).unwrap();
    assert_eq!(bank.node(pfn(255)).unwrap()[..3], [2, 1, 0]);
}

#[test]
fn in_scratch_when_one_frame_meets_either_edge() {
    let scratch = frames(64, 80);
    let (_, mut kho, _owned) = founded(small().scratch([scratch]));
    let all: Vec<_> = core::iter::from_fn(|| kho.alloc(count(256)).ok()).collect();
    assert!(all.iter().all(|range| range.intersection(scratch).is_none()), "scratch was handed out: {all:?}");
    for range in [frames(63, 65), frames(79, 81), frames(64, 80), frames(70, 71), frames(60, 90)] {
        assert_eq!(kho.preserve(range), Err(KhoError::InScratch { range, scratch }));
    }
    assert_eq!(kho.scratch(), [scratch]);
    // Right beside it is fine, as long as the tracker has frames for its nodes.
    kho.free(frames(100, 120)).unwrap();
    kho.preserve(frames(63, 64)).unwrap();
    kho.preserve(frames(80, 81)).unwrap();
}

#[test]
fn in_scratch_and_not_allocated_when_the_tracker_that_arrived_says_so() {
    let layout = config::Layout::of(small());
    let inherit = |runs: &[FrameRange], nodes: &[Pfn]| {
        frames::Frames::all_free(&layout, 0).inherit(&layout, runs, nodes)
    };
    let scratch = frames(64, 80);
    for range in [frames(60, 65), frames(79, 90), frames(64, 80)] {
        assert_eq!(inherit(&[range], &[]), Err(KhoError::InScratch { range, scratch }));
    }
    assert_eq!(inherit(&[], &[pfn(79)]), Err(KhoError::InScratch { range: frames(79, 80), scratch }));
    let range = frames(0, 2);
    assert_eq!(inherit(&[range], &[]), Err(KhoError::NotAllocated { range }));
    assert_eq!(inherit(&[frames(1, 64), frames(80, 256)], &[]), Ok(()));
}

#[test]
fn out_of_frames_when_none_is_left_or_wanted() {
    let (_, mut kho, _owned) = founded(MachineConfig::default().frames(count(16)));
    assert_eq!(kho.alloc(FrameCount::ZERO), Err(KhoError::OutOfFrames { want: FrameCount::ZERO }));
    // One frame is frame 0, one the tracker's root.
    let range = kho.alloc(count(100)).unwrap();
    assert_eq!(range.count(), count(14));
    assert_eq!(kho.alloc(count(1)), Err(KhoError::OutOfFrames { want: count(1) }));
    // No frame is left to record it in.
    let before = kho.census().unwrap();
    assert_eq!(kho.preserve(range), Err(KhoError::OutOfFrames { want: count(1) }));
    assert_eq!(kho.census().unwrap(), before);
    kho.free(range).unwrap();
}

#[test]
fn out_of_frames_before_the_tracker_has_its_root() {
    let machine = Machine::new(MachineConfig::default().frames(count(1)));
    assert_eq!(machine.fresh().map(|_| ()), Err(KhoError::OutOfFrames { want: count(1) }));
}

#[test]
fn not_allocated_for_free_frames_frame_zero_and_the_trackers_own() {
    let (_, mut kho, _owned) = founded(small());
    let range = kho.alloc(count(4)).unwrap();
    let node = pfn(1).as_range();
    assert_ne!(range.start(), node.start(), "the tracker's root takes the lowest frame");
    let beyond = frames(range.start().get(), range.end() + 1);
    for range in [node, pfn(0).as_range(), beyond, frames(200, 201), frames(64, 65)] {
        let error = Err(KhoError::NotAllocated { range });
        assert_eq!(kho.free(range), error);
        assert_eq!(kho.read(range).map(|_| ()), error);
        assert_eq!(kho.write(range.addr(), &[0; 8]).is_err(), range != beyond);
        if range != frames(64, 65) {
            assert_eq!(kho.preserve(range), error);
        }
    }
    kho.free(range).unwrap();
    assert_eq!(kho.free(range), Err(KhoError::NotAllocated { range }));
}

#[test]
fn already_preserved_and_overlap() {
    let (_, mut kho, _owned) = founded(small());
    let all = kho.alloc(count(12)).unwrap();
    let at = all.start().get();
    let middle = frames(at + 4, at + 8);
    kho.preserve(middle).unwrap();
    assert_eq!(kho.preserve(middle), Err(KhoError::AlreadyPreserved { range: middle }));
    for range in [frames(at, at + 5), frames(at + 7, at + 12), all] {
        let with = range.intersection(middle).unwrap();
        assert_eq!(kho.preserve(range), Err(KhoError::Overlap { range, with }));
    }
    assert_eq!(kho.preserved().unwrap(), [middle]);
    assert!(kho.is_preserved(middle) && !kho.is_preserved(all));
}

#[test]
fn not_preserved_for_unpreserve_and_reclaim() {
    let (_, mut kho, _owned) = founded(small());
    let range = kho.alloc(count(2)).unwrap();
    assert_eq!(kho.unpreserve(range), Err(KhoError::NotPreserved { range }));
    kho.preserve(range).unwrap();
    // Its own frames are not inherited.
    assert_eq!(kho.reclaim(range), Err(KhoError::NotPreserved { range }));
    kho.unpreserve(range).unwrap();
    assert_eq!(kho.unpreserve(range), Err(KhoError::NotPreserved { range }));
}

#[test]
fn still_preserved_when_freed_in_whole_or_in_part() {
    let (_, mut kho, _owned) = founded(small());
    let all = kho.alloc(count(4)).unwrap();
    let last = frames(all.end() - 1, all.end());
    kho.preserve(last).unwrap();
    assert_eq!(kho.free(last), Err(KhoError::StillPreserved { range: last }));
    assert_eq!(kho.free(all), Err(KhoError::StillPreserved { range: all }));
    kho.unpreserve(last).unwrap();
    kho.free(all).unwrap();
}

#[test]
fn already_reclaimed_and_not_reclaimed() {
    let (machine, mut kho, owned) = founded(small());
    let range = kho.alloc(count(4)).unwrap();
    kho.preserve(range).unwrap();
    ownership::offer(&mut kho, owned).unwrap();
    let mut next = machine.successor().unwrap();
    let (head, _) = range.split_at(count(1)).unwrap();

    assert_eq!(next.forgo(range), Err(KhoError::NotReclaimed { range }));
    next.reclaim(head).unwrap();
    assert_eq!(next.reclaim(head), Err(KhoError::AlreadyReclaimed { range: head }));
    assert_eq!(next.reclaim(range), Err(KhoError::AlreadyReclaimed { range }));
    assert_eq!(next.forgo(range), Err(KhoError::NotReclaimed { range }));

    let _owned = commit(&mut next).unwrap();
    assert_eq!(next.unpreserve(range), Err(KhoError::NotReclaimed { range }));
    next.unpreserve(head).unwrap();
    next.free(head).unwrap();
    // Claimed once in this adoption, whatever became of it.
    assert_eq!(next.reclaim(head), Err(KhoError::AlreadyReclaimed { range: head }));
    assert_eq!(next.forgo(head), Err(KhoError::NotReclaimed { range: head }));
}

#[test]
fn unaligned_stores() {
    let (_, mut kho, _owned) = founded(small());
    let at = kho.alloc(count(1)).unwrap().addr();
    let inside = PhysAddr::new(at.get() + 4);
    assert_eq!(kho.write(inside, &[0; 8]), Err(KhoError::Unaligned { at: inside, len: ByteLen::new(8) }));
    assert_eq!(kho.write(at, &[0; 12]), Err(KhoError::Unaligned { at, len: ByteLen::new(12) }));
    kho.write(at, &[]).unwrap();
}

#[test]
fn not_owner_before_founding_after_the_seal_and_before_the_commit() {
    let machine = Machine::new(small());
    let mut kho = machine.fresh().unwrap();
    refuses_changes(&mut kho);
    let owned = ownership::found(&mut kho).unwrap();
    let range = kho.alloc(count(1)).unwrap();
    kho.preserve(range).unwrap();
    let offer = ownership::offer(&mut kho, owned).unwrap();
    refuses_changes(&mut kho);

    let mut next = machine.successor().unwrap();
    refuses_changes(&mut next);
    next.reclaim(range).unwrap();
    refuses_changes(&mut next);
    refuses_changes(&mut machine.guardian());

    let owned = ownership::commit(&mut next, offer).unwrap();
    refuses_changes(&mut kho);
    next.write(range.addr(), &[1; 8]).unwrap();
    ownership::retire(&mut next, owned).unwrap();
    refuses_changes(&mut next);
}

/// Every call that changes memory is refused, changes nothing, and is noticed.
fn refuses_changes(kho: &mut SimKho) {
    let (machine, before) = (kho.machine().clone(), kho.census().unwrap());
    let noticed = machine.violations().len();
    let range = before.preserved.first().copied().unwrap_or(frames(2, 3));
    let error = KhoError::NotOwner { word: machine.word() };
    assert_eq!(kho.alloc(count(1)), Err(error.clone()));
    assert_eq!(kho.free(range), Err(error.clone()));
    assert_eq!(kho.preserve(range), Err(error.clone()));
    assert_eq!(kho.unpreserve(range), Err(error.clone()));
    assert_eq!(kho.write(range.addr(), &[9; 8]), Err(error.clone()));
    assert_eq!(kho.publish(Root::new(1)), Err(error));
    assert_eq!(kho.census().unwrap(), before);
    let calls = [Call::Alloc, Call::Free, Call::Preserve, Call::Unpreserve, Call::Write, Call::Publish];
    let expected: Vec<Violation> =
        calls.map(|call| Violation::Change { party: kho.party(), call, word: machine.word() }).into();
    assert_eq!(machine.violations().split_off(noticed), expected);
}

#[test]
fn not_offered_in_every_state_but_offered() {
    let machine = Machine::new(small());
    let refused = |machine: &Machine| {
        assert_eq!(machine.successor().map(|_| ()), Err(KhoError::NotOffered { word: machine.word() }));
    };
    refused(&machine);
    let (mut kho, owned) = machine.found().unwrap();
    refused(&machine);
    let offer = ownership::offer(&mut kho, owned).unwrap();
    let mut next = machine.successor().unwrap();
    let owned = ownership::commit(&mut next, offer).unwrap();
    refused(&machine);
    ownership::retire(&mut next, owned).unwrap();
    refused(&machine);
    machine.kexec();
    refused(&machine);
}

#[test]
fn swap_lost_by_the_second_founder_and_by_whoever_has_an_old_word() {
    let machine = Machine::new(small());
    let (mut first, mut second) = (machine.fresh().unwrap(), machine.fresh().unwrap());
    let owned = ownership::found(&mut first).unwrap();
    assert!(matches!(ownership::found(&mut second), Err(OwnershipError::WrongTurn { .. })));
    let (vacant, running) = (Word::VACANT, owned.word());
    assert_eq!(second.swap(vacant, running), Err(KhoError::SwapLost { expected: vacant, found: running }));
    refuses_changes(&mut second);
}

#[test]
fn tracker_when_its_bytes_are_damaged() {
    let (machine, mut kho, owned) = founded(small());
    let range = kho.alloc(count(1)).unwrap();
    kho.preserve(range).unwrap();
    ownership::offer(&mut kho, owned).unwrap();
    let good = machine.fork();

    // The root node, which is the lowest frame, names a node outside the machine.
    let wild = pfn(1000).addr().get().to_le_bytes().repeat(FRAME_SIZE / 8);
    assert!(machine.tamper(pfn(1).addr(), &wild));
    let error = machine.successor().map(|_| ()).unwrap_err();
    assert!(matches!(error, KhoError::Tracker(TrackerError::NodeOutOfSpan { .. })), "{error}");
    // The damage is in this machine only, and the next kernel keeps nothing of it.
    assert_eq!(good.successor().unwrap().preserved().unwrap(), [range]);
    machine.kexec();
    assert!(machine.successor().is_err());

    assert!(good.tamper_names(None, Some(PhysAddr::new(12))));
    let error = good.successor().map(|_| ()).unwrap_err();
    assert!(matches!(error, KhoError::Tracker(TrackerError::UnalignedNode { .. })), "{error}");
    assert!(!good.tamper(pfn(255).addr(), &[0; FRAME_SIZE + 1]));
    assert!(good.tamper(pfn(255).addr(), &[0; FRAME_SIZE]));
}

#[test]
fn injected_by_number_and_by_name() {
    let (machine, mut kho, _owned) = founded(small());
    let now = machine.counters().calls;
    machine.inject(FaultPlan::none().fail(now + 1).fail_call(Call::Write, 0));
    let range = kho.alloc(count(1)).unwrap();
    assert_eq!(kho.preserve(range), Err(KhoError::Injected { call: "preserve", nth: now + 1 }));
    assert_eq!(kho.write(range.addr(), &[1; 8]), Err(KhoError::Injected { call: "write", nth: now + 2 }));
    kho.write(range.addr(), &[1; 8]).unwrap();
    assert_eq!(machine.counters().failed, 2);

    let now = machine.counters().calls;
    machine.inject(FaultPlan::none().fail_from(now + 1));
    kho.word().unwrap();
    for nth in now + 1..now + 3 {
        assert_eq!(kho.word(), Err(KhoError::Injected { call: "word", nth }));
    }
    kho.free(range).unwrap();
    machine.inject(FaultPlan::none().fail_call_from(Call::Alloc, 2));
    kho.alloc(count(1)).unwrap();
    for _ in 0..3 {
        assert!(matches!(kho.alloc(count(1)), Err(KhoError::Injected { call: "alloc", .. })));
    }
}

#[test]
fn crashed_for_good_and_without_effect() {
    let (machine, mut kho, owned) = founded(small());
    let range = kho.alloc(count(1)).unwrap();
    kho.preserve(range).unwrap();
    let before = kho.census().unwrap();
    assert!(machine.is_alive(kho.party()));
    machine.kill(kho.party());

    assert_eq!(kho.alloc(count(1)), Err(KhoError::Crashed));
    assert_eq!(kho.write(range.addr(), &[1; 8]), Err(KhoError::Crashed));
    assert_eq!(kho.unpreserve(range), Err(KhoError::Crashed));
    assert_eq!(kho.free(range), Err(KhoError::Crashed));
    assert_eq!(kho.read(range).map(|_| ()), Err(KhoError::Crashed));
    assert_eq!(kho.reclaim(range), Err(KhoError::Crashed));
    assert_eq!(kho.forgo(range), Err(KhoError::Crashed));
    assert_eq!(kho.publish(None), Err(KhoError::Crashed));
    assert_eq!(kho.preserved(), Err(KhoError::Crashed));
    assert_eq!(kho.word(), Err(KhoError::Crashed));
    let kept = ownership::offer(&mut kho, owned).unwrap_err();
    assert_eq!(kept.error, OwnershipError::Kho(KhoError::Crashed));
    assert_eq!(kho.census().unwrap(), before);
    assert_eq!(machine.violations(), []);
}

#[test]
fn scratch_regions_may_touch_and_small_machines_have_none() {
    let touching = [frames(64, 70), frames(70, 80)];
    assert_eq!(founded(small().scratch(touching)).1.scratch(), touching);
    assert_eq!(founded(MachineConfig::default().frames(count(64))).1.scratch(), [frames(16, 20)]);
    assert_eq!(founded(MachineConfig::default().frames(count(63))).1.scratch(), []);
}

#[test]
#[should_panic(expected = "is not above")]
fn scratch_regions_do_not_overlap() {
    Machine::new(small().scratch([frames(64, 70), frames(69, 80)]));
}

#[test]
#[should_panic(expected = "lies outside")]
fn a_machine_cannot_have_scratch_outside_its_memory() {
    Machine::new(small().scratch([frames(250, 260)]));
}

#[test]
#[should_panic(expected = "cannot start")]
fn a_numa_node_has_frames() {
    Machine::new(small().node_starts([pfn(100), pfn(100)]));
}
