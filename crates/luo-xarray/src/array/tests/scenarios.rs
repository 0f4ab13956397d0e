//! The scenarios that the kernel's `lib/test_xarray.c` names, told anew from their names.

use alloc::rc::Rc;
use alloc::vec;
use alloc::vec::Vec;

use super::{Block, XArray, block, corners, listed};
use crate::{Ascending, Direction, Mark, Marks, Refused, XArrayError};

#[test]
fn store_iter() {
    for order in 0..=20 {
        for at in corners() {
            let here = Block::around(at, order);
            let mut array = XArray::new();
            array.store_block(here, 1_u64).unwrap();
            assert_eq!(listed(&array), [(here.first(), order, 1)]);
            assert_eq!(array.load(here.last()), Some(&1));
            // The same block again, then a smaller and a larger one: always what was stored last.
            array.store_block(here, 2).unwrap();
            array.store(here.last(), 3);
            assert_eq!(array.len(), u64::from(order) + 1);
            assert_eq!(array.load(here.last()), Some(&3));
            array.store_block(Block::around(at, order + 1), 4).unwrap();
            assert_eq!(listed(&array), [(Block::around(at, order + 1).first(), order + 1, 4)]);
            array.check();
        }
    }
}

#[test]
fn zero_is_a_value() {
    let mut array = XArray::new();
    assert_eq!(array.store(5, 0_u64), None);
    assert_eq!(array.store(5, 0), Some(0));
    assert_eq!((array.load(5), array.load(4)), (Some(&0), None));
    assert_eq!((array.erase(5), array.erase(5)), (Some(0), None));
}

#[test]
fn multi_find() {
    let mut array = XArray::new();
    array.store_block(block(12, 2), 'a').unwrap();
    array.store(16, 'b');
    for index in 0..=15 {
        assert_eq!(
            array.at_or_after(index).map(|entry| (entry.block, *entry.value)),
            Some((block(12, 2), 'a'))
        );
    }
    assert_eq!(array.at_or_after(16).map(|entry| *entry.value), Some('b'));
    assert_eq!(array.at_or_after(17), None);
    // The middle of an entry is still that entry: looking after it means looking after its last index.
    let within = array.entry(13).unwrap().block;
    assert_eq!(array.at_or_after(within.last() + 1).map(|entry| *entry.value), Some('b'));
    for index in 12..=15 {
        assert_eq!(array.at_or_before(index).map(|entry| entry.block), Some(block(12, 2)));
    }
    assert_eq!(array.at_or_before(11), None);
}

#[test]
fn find() {
    let mut array = XArray::new();
    for (nth, at) in (0_u64..).zip(corners()) {
        array.store(at, nth);
        if nth % 3 == 0 {
            array.set_mark(at, Mark::M1);
        }
    }
    let mut sorted = corners();
    sorted.sort_unstable();
    sorted.dedup();
    for pair in sorted.windows(2) {
        assert_eq!(array.at_or_after(pair[0] + 1).map(|entry| entry.block.first()), Some(pair[1]));
        assert_eq!(array.at_or_before(pair[1] - 1).map(|entry| entry.block.first()), Some(pair[0]));
    }
    let marked: Vec<_> = array.iter_marked(.., Mark::M1).map(|entry| entry.block.first()).collect();
    let expected: Vec<_> = sorted.iter().copied().filter(|at| array.is_marked(*at, Mark::M1)).collect();
    assert!(!marked.is_empty() && marked.len() < sorted.len());
    assert_eq!(marked, expected);
    assert_eq!(array.next_marked(.., Mark::M2), None);
}

#[test]
fn pause() {
    // An iteration is interrupted, the array changes, and it goes on where it was.
    let mut array: XArray<u64> = (0..200).map(|index| (index, index)).collect();
    let seen: Vec<_> = array.range(..).take(50).map(|entry| entry.block.first()).collect();
    let next = seen.last().unwrap() + 1;
    array.erase_range(40..60);
    array.store_block(block(64, 6), 1).unwrap();
    let rest: Vec<_> = array.range(next..).map(|entry| entry.block.first()).collect();
    assert_eq!(rest.first(), Some(&60));
    assert_eq!(rest, (60..=64).chain(128..200).collect::<Vec<_>>());

    // The same with changes on the way.
    let mut cursor = array.cursor_mut();
    let mut at = Some(0);
    let mut visited = 0;
    while let Some(entry) = at.and_then(|at| cursor.at_or_after(at)) {
        let here = entry.block;
        visited += 1;
        at = here.last().checked_add(1);
        if here.order() == 0 {
            cursor.erase(here.first());
        }
    }
    assert_eq!(visited, 40 + rest.len());
    assert_eq!(listed(&array), [(64, 6, 1)]);
}

#[test]
fn store_range() {
    for (first, last) in
        [(0, 0), (5, 5), (3, 16), (63, 64), (1, 4096), (4095, 4097), (u64::MAX - 70, u64::MAX)]
    {
        let mut array = XArray::new();
        array.store_range(first..=last, 'x').unwrap();
        for index in [first, first + (last - first) / 2, last] {
            assert_eq!(array.load(index), Some(&'x'));
        }
        assert_eq!(first.checked_sub(1).and_then(|index| array.load(index)), None);
        assert_eq!(last.checked_add(1).and_then(|index| array.load(index)), None);
        let blocks: Vec<_> = array.iter().map(|entry| entry.block).collect();
        assert_eq!(blocks, Block::cover(first..=last).collect::<Vec<_>>());
        array.erase_range(first..=last);
        assert_eq!((array.len(), array.check()), (0, 0));
    }
    let mut array = XArray::new();
    array.store_range(9..9, 'x').unwrap();
    assert!(array.is_empty());
}

#[test]
fn ranges_of_ascending_values() {
    let mut array = XArray::ascending();
    array.store_range(3..=16, 100_u64).unwrap();
    assert_eq!(listed(&array), [(3, 0, 100), (4, 2, 101), (8, 3, 105), (16, 0, 113)]);
    let runs: Vec<_> = array.runs(..).map(|run| (run.first(), run.last(), run.entries, run.join)).collect();
    assert_eq!(runs, [(3, 16, 4, Some(Direction::Up))]);
    let error = XArrayError::ValueEnds { first: 0, last: 1 };
    assert_eq!(array.store_range(0..2, u64::MAX), Err(Refused { value: u64::MAX, error }));
    assert_eq!(array.store_block(block(0, 1), u64::MAX).map_err(|refused| refused.error), Err(error));
    assert_eq!(array.insert_block(block(0, 1), u64::MAX).map_err(|refused| refused.error), Err(error));
    assert_eq!((array.store(0, u64::MAX), array.value_at(0)), (None, Some(u64::MAX)));
}

#[test]
fn split() {
    for order in 1..=13 {
        for pieces in 0..order {
            let mut array = XArray::ascending();
            let whole = Block::around(1 << 20, order);
            array.store_block(whole, 1_000_u64).unwrap();
            array.set_mark(whole.last(), Mark::M2);
            assert!(array.split(whole.last(), pieces));
            assert_eq!(array.len(), 1 << (order - pieces));
            array.check();
            for entry in &array {
                assert_eq!(entry.block.order(), pieces);
                assert_eq!(*entry.value, 1_000 + entry.block.first() - whole.first());
                assert_eq!(entry.marks, Marks::NONE.with(Mark::M2));
            }
        }
    }
    let mut array = XArray::new();
    assert!(!array.split(0, 0));
    array.store(0, 'a');
    assert!(array.split(0, 5));
    assert_eq!(listed(&array), [(0, 0, 'a')]);
}

#[test]
fn split_before() {
    let mut array = XArray::ascending();
    array.store_block(block(8, 3), 50_u64).unwrap();
    array.split_before(8);
    array.split_before(16);
    assert_eq!(array.len(), 1);
    array.split_before(11);
    assert_eq!(listed(&array), [(8, 1, 50), (10, 0, 52), (11, 0, 53), (12, 2, 54)]);
    assert!(array.range(..11).all(|entry| entry.block.last() < 11));
}

#[test]
fn align() {
    let mut array = XArray::new();
    array.store_range(0..=100, 'x').unwrap();
    array.store(300, 'y');
    assert_eq!(array.find_hole(.., 1, 0), Some(101));
    assert_eq!(array.find_hole(.., 1, 4), Some(112));
    assert_eq!(array.find_hole(.., 64, 6), Some(128));
    assert_eq!(array.find_hole(.., 128, 7), Some(128));
    assert_eq!(array.find_hole(.., 256, 8), Some(512));
    assert_eq!(array.find_hole(250..300, 50, 0), Some(250));
    assert_eq!(array.find_hole(251..300, 50, 0), None);
    assert_eq!(array.find_hole(0..=100, 1, 0), None);
    assert_eq!(array.find_hole(301.., 1, 63), Some(1 << 63));
    assert_eq!(array.find_hole(301.., 1, 64), None);
    array.erase(0);
    assert_eq!(array.find_hole(.., 1, 64), Some(0));
    assert_eq!(Block::new(3, 1), Err(XArrayError::Misaligned { first: 3, order: 1 }));
}

#[test]
fn destroy() {
    // Every value is dropped exactly once, whichever way it goes.
    let witness = Rc::new(());
    let mut array = XArray::new();
    for at in corners() {
        array.store(at, Rc::clone(&witness));
    }
    array.store_range(100..5_000, Rc::clone(&witness)).unwrap();
    assert_eq!(Rc::strong_count(&witness) as u64, 1 + array.len());
    let copy = array.clone();
    assert_eq!(Rc::strong_count(&witness) as u64, 1 + 2 * copy.len());
    array.clear();
    assert_eq!((array.len(), array.check()), (0, 0));
    assert_eq!(Rc::strong_count(&witness) as u64, 1 + copy.len());
    drop(copy);
    assert_eq!(Rc::strong_count(&witness), 1);
}

#[test]
fn reserve() {
    let mut array = XArray::new();
    assert!(array.reserve(12));
    assert!(!array.reserve(12));
    assert_eq!((array.load(12), array.len(), array.iter().next()), (None, 0, None));
    assert_eq!((array.at_or_after(0), array.at_or_before(u64::MAX)), (None, None));
    assert_eq!(array.find_hole(12.., 1, 0), Some(13));
    let refused = array.insert(12, 'a').unwrap_err();
    assert_eq!((refused.value, refused.error), ('a', XArrayError::Reserved { index: 12 }));
    assert!(array.insert_block(block(8, 3), 'a').is_err());
    assert_eq!(array.store(12, 'b'), None);
    assert!(!array.is_reserved(12) && !array.release(12) && !array.reserve(12));

    let nodes = array.check();
    assert!(array.reserve(1 << 50) && array.check() > nodes);
    assert!(array.release(1 << 50) && array.check() == nodes);
    assert!(array.reserve(77));
    assert_eq!(array.erase(77), None);
    assert!(!array.is_reserved(77));
    assert!(array.reserve(70) && array.reserve(71));
    array.store_block(block(64, 6), 'c').unwrap();
    array.erase_range(..);
    assert_eq!((array.check(), array.is_reserved(70)), (0, false));
}

#[test]
fn cmpxchg() {
    let mut array = XArray::new();
    assert_eq!(array.compare_exchange(7, Some(&1_u64), Some(2)), Err(Some(2)));
    assert_eq!(array.compare_exchange(7, None, Some(1)), Ok(None));
    assert_eq!(array.compare_exchange(7, None, Some(2)), Err(Some(2)));
    assert_eq!(array.compare_exchange(7, Some(&1), Some(2)), Ok(Some(1)));
    assert_eq!(array.compare_exchange(7, Some(&2), None), Ok(Some(2)));
    assert_eq!((array.len(), array.check()), (0, 0));

    let mut frames = XArray::<u64, Ascending>::ascending();
    frames.store_block(block(8, 3), 80).unwrap();
    assert_eq!(frames.compare_exchange(9, Some(&80), Some(0)), Err(Some(0)));
    assert_eq!(frames.compare_exchange(9, Some(&81), Some(0)), Ok(Some(81)));
    assert_eq!(listed(&frames), [(8, 0, 80), (9, 0, 0), (10, 1, 82), (12, 2, 84)]);
}

#[test]
fn shrink() {
    let mut array = XArray::new();
    array.store(1, 'a');
    array.store(u64::MAX, 'b');
    assert_eq!(array.check(), 3);
    assert_eq!(array.erase(u64::MAX), Some('b'));
    assert_eq!((array.check(), array.load(1)), (1, Some(&'a')));
    array.store(65, 'c');
    array.store_block(block(1 << 60, 60), 'd').unwrap();
    array.erase_range(2..);
    assert_eq!((array.check(), listed(&array)), (1, vec![(1, 0, 'a')]));
}

#[test]
fn marks() {
    let mut array = XArray::new();
    assert!(!array.set_mark(4, Mark::M0));
    array.store_block(block(4, 2), 'a').unwrap();
    array.store(1 << 40, 'b');
    assert!(array.set_mark(6, Mark::M0) && array.set_mark(7, Mark::M2));
    assert!(array.is_marked(4, Mark::M0) && !array.is_marked(4, Mark::M1) && array.is_marked(5, Mark::M2));
    assert!(array.any_marked(Mark::M0) && !array.any_marked(Mark::M1));
    assert_eq!(
        array.entry(4).map(|entry| entry.marks.iter().collect::<Vec<_>>()),
        Some(vec![Mark::M0, Mark::M2])
    );
    // The rest of a cut entry keeps its marks; what is stored has none.
    array.store(6, 'c');
    let marked: Vec<_> = array.iter_marked(.., Mark::M0).map(|entry| entry.block).collect();
    assert_eq!(marked, [block(4, 1), block(7, 0)]);
    assert!(array.clear_mark(7, Mark::M0) && array.clear_mark(4, Mark::M0));
    assert!(!array.any_marked(Mark::M0) && array.any_marked(Mark::M2));
    *array.load_mut(7).unwrap() = 'd';
    assert!(array.is_marked(7, Mark::M2));
    array.store(7, 'd');
    assert!(!array.is_marked(7, Mark::M2));
    // The last mark of a node goes with a store, too.
    assert!(array.set_mark(1 << 40, Mark::M1) && array.any_marked(Mark::M1));
    array.store(1 << 40, 'b');
    assert!(!array.any_marked(Mark::M1));
    array.check();
}
