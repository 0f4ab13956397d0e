//! Building from slots and filling slots, against entries one by one.

use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::patterns::{
    fragmented, hole_runs, linear, packed_behind_holes, random, shuffled_blocks, single_holes,
};
use super::{Dice, encode_entries, entries_of, pieces, run, view};
use crate::serial::{BuildError, Builder, Run, SerialView, Step};

const HOLE: u64 = u64::MAX;

fn slots_of(runs: &[Run], first: u64, len: usize) -> Vec<u64> {
    let mut slots = vec![HOLE; len];
    for (index, value) in entries_of(runs) {
        if let Some(place) =
            index.checked_sub(first).and_then(|at| slots.get_mut(usize::try_from(at).unwrap()))
        {
            *place = value;
        }
    }
    slots
}

/// Builds from slots and from entries, and reads both ways.
fn check(first: u64, slots: &[u64], hole: Option<u64>) {
    let entries: Vec<(u64, u64)> =
        (first..).zip(slots).filter(|(_, slot)| Some(**slot) != hole).map(|(at, slot)| (at, *slot)).collect();
    let mut builder = Builder::new();
    builder.push_slots(first, slots, hole).unwrap();
    let bytes = builder.encode().to_vec();
    assert!(
        bytes == encode_entries(&entries).to_vec(),
        "the same bytes from {} slots at {first}",
        slots.len()
    );
    let view = view(&bytes);
    view.verify().unwrap();
    let cut = SerialView::open(&pieces(&bytes, 4096)).unwrap();
    let hole = hole.unwrap_or(HOLE);
    for (from, len) in [(0, slots.len()), (1, slots.len() - 1), (slots.len() / 3, slots.len() / 2)] {
        let expected = &slots[from..from + len];
        let mut read = vec![7; len];
        view.fill(first + from as u64, &mut read, hole).unwrap();
        assert!(read == expected, "{len} slots from {from}");
        let mut read = vec![7; len];
        cut.fill(first + from as u64, &mut read, hole).unwrap();
        assert!(read == expected, "{len} slots from {from}, from pieces");
    }
    let mut around = vec![7; slots.len() + 1000];
    let before = first.min(300);
    view.fill(first - before, &mut around, hole).unwrap();
    let mut expected = vec![hole; slots.len() + 1000];
    expected[usize::try_from(before).unwrap()..][..slots.len()].copy_from_slice(slots);
    assert!(around == expected, "with holes around");
}

#[test]
fn patterns_at_any_place() {
    let segment = 1_u64 << 18;
    let count = |slots: u64| usize::try_from(slots).unwrap();
    let cases: [(Vec<Run>, usize); 7] = [
        (linear(2 * segment + 700), count(2 * segment + 900)),
        (shuffled_blocks(1100, 1), 1100 * 512),
        (fragmented(segment + 5000, 2), count(segment + 5000)),
        (single_holes(segment + 100, 10, 3), count(segment + 100)),
        (hole_runs(2 * segment, 4), count(2 * segment)),
        (random(segment, 1 << 22, 5), count(segment)),
        (packed_behind_holes(segment, 6), count(segment)),
    ];
    for (runs, len) in cases {
        let slots = slots_of(&runs, 0, len);
        for first in [0, segment, 5 * segment - 513, 77] {
            check(first, &slots, Some(HOLE));
        }
    }
}

/// A chunk of slots of some kind: on a line or nearly so, with holes or without, anything, or nothing.
fn any_chunk(dice: &mut Dice) -> Vec<u64> {
    let step = [1, u64::MAX, 0][usize::try_from(dice.below(3)).unwrap()];
    let first = [1 << 22, 1 << 61, 600, u64::MAX - 600][usize::try_from(dice.below(4)).unwrap()];
    let mut slots: Vec<u64> = (0..512_u64).map(|at| first.wrapping_add(at.wrapping_mul(step))).collect();
    let kind = dice.below(8);
    match kind {
        0 => slots.fill(HOLE),
        1 => slots.iter_mut().for_each(|slot| *slot = first ^ dice.below(1 << 20)),
        2 => slots[usize::try_from(dice.below(512)).unwrap()] ^= 1,
        _ => {}
    }
    if kind > 1 && dice.one_in(2) {
        let (often, from) = (2 + dice.below(60), usize::try_from(dice.below(513)).unwrap());
        slots[from..].iter_mut().filter(|_| dice.one_in(often)).for_each(|slot| *slot = HOLE);
        slots[..from].iter_mut().filter(|_| dice.one_in(9)).for_each(|slot| *slot = HOLE);
    }
    slots
}

/// Whole segments take a way of their own.
#[test]
fn segments_of_any_chunks() {
    for seed in 0..4 {
        let mut dice = Dice(seed);
        let slots: Vec<u64> = (0..1024).flat_map(|_| any_chunk(&mut dice)).collect();
        check(seed << 18, &slots, Some(HOLE));
    }
}

#[test]
fn holes_are_what_the_caller_says() {
    let slots: Vec<u64> = (0..2000).map(|at| at % 5).collect();
    for hole in [None, Some(0), Some(3), Some(9)] {
        check(1 << 18, &slots, hole);
    }
    check(0, &(1000..3048).collect::<Vec<_>>(), Some(2000));
    check(3, &[HOLE, 4, 5], Some(HOLE));
}

#[test]
fn slots_and_runs_take_turns() {
    let mut builder = Builder::new();
    builder.push_run(0..=9, 90, Step::Up).unwrap();
    builder.push_slots(10, &(100..1_000_000).collect::<Vec<u64>>(), None).unwrap();
    builder.push_slots(2_000_000, &[], None).unwrap();
    builder.push(1_500_000, 1).unwrap();
    let expected = [run(0, 999_909, 90, Step::Up), Run::single(1_500_000, 1)];
    let bytes = builder.encode().to_vec();
    assert_eq!(bytes, super::encode(&expected).to_vec());
}

#[test]
fn slots_ascend_and_have_indices() {
    let mut builder = Builder::new();
    builder.push(10, 0).unwrap();
    let refused = builder.push_slots(10, &[1], None);
    assert_eq!(refused, Err(BuildError::NotAscending { index: 10, last: 10 }));
    let refused = builder.push_slots(u64::MAX, &[1, 2], None);
    assert!(matches!(refused, Err(BuildError::NotARun { first: u64::MAX, .. })));
    builder.push_slots(u64::MAX - 1, &[1, 2], None).unwrap();
    let bytes = builder.encode().to_vec();
    assert_eq!(view(&bytes).get(u64::MAX), Ok(Some(2)));
    let mut last = [0; 3];
    view(&bytes).fill(u64::MAX - 2, &mut last, HOLE).unwrap();
    assert_eq!(last, [HOLE, 1, 2]);
}

/// Also where several threads write.
#[test]
fn beyond_the_last_index_are_holes() {
    let mut builder = Builder::new();
    builder.push(0, 7).unwrap();
    builder.push(u64::MAX, 9).unwrap();
    let bytes = builder.encode().to_vec();
    let mut slots = alloc::vec![0; (3 << 18) + 2];
    view(&bytes).fill(u64::MAX, &mut slots, HOLE).unwrap();
    assert_eq!(slots.iter().position(|slot| *slot == HOLE), Some(1));
    assert_eq!((slots[0], slots.iter().filter(|slot| **slot != HOLE).count()), (9, 1));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn any_slots(seed: u64, first in 0..2_000_u64, len in 1..5_000_usize, holes in 0..6_u64, near in 0..4_u64) {
        let mut dice = Dice(seed);
        let start = [0, 1 << 22, u64::MAX - 9000, u64::MAX][usize::try_from(near).unwrap()];
        let mut value = start;
        let mut next = || {
            value = match dice.below(12) {
                0..=4 => value.wrapping_add(1),
                5..=7 => value.wrapping_sub(1),
                8 | 9 => value,
                10 => dice.next() >> dice.below(64),
                _ => start.wrapping_add(dice.below(700)),
            };
            if holes > 0 && dice.one_in(3 * holes) { HOLE - 5 } else { value }
        };
        let slots: Vec<u64> = (0..len).map(|_| next()).collect();
        check(first + (1 << 20), &slots, Some(HOLE - 5));
        let map: BTreeMap<u64, u64> = (first..).zip(slots.iter().copied()).collect();
        let mut builder = Builder::new();
        builder.push_slots(first, &slots, None).unwrap();
        let bytes = builder.encode().to_vec();
        let view = view(&bytes);
        prop_assert_eq!(view.verify(), Ok(()));
        for (index, value) in &map {
            prop_assert_eq!(view.get(*index), Ok(Some(*value)));
        }
    }
}
