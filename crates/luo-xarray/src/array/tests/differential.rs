//! Random operations, applied to an array and to the model.

use alloc::vec;
use alloc::vec::Vec;
use proptest::prelude::*;

use super::model::{Model, Shown};
use super::{Block, XArray, corners};
use crate::{Ascending, CursorMut, Entry, Mark, Spread, Uniform, XArrayError};

#[derive(Clone, Debug)]
enum Op {
    Store(u64, u64),
    StoreBlock(Block, u64),
    StoreRange(u64, u64, u64),
    Erase(u64),
    EraseRange(u64, u64),
    Remove(u64),
    Split(u64, u8),
    SplitBefore(u64),
    Mark(u64, Mark),
    Unmark(u64, Mark),
    Insert(u64, u64),
    InsertBlock(Block, u64),
    Exchange(u64, Option<u64>, Option<u64>),
    Reserve(u64),
    Release(u64),
}

/// Few places, so that operations meet; some far from each other, so that every level is used.
fn index() -> impl Strategy<Value = u64> {
    prop_oneof![
        6 => 0_u64..12,
        6 => 56_u64..72,
        4 => 4_080_u64..4_112,
        2 => 0_u64..5_000,
        4 => (0..corners().len(), 0_u64..4).prop_map(|(at, up)| corners()[at].wrapping_add(up)),
        1 => any::<u64>(),
    ]
}

fn value() -> impl Strategy<Value = u64> {
    prop_oneof![8 => 0_u64..200, 1 => u64::MAX - 100..=u64::MAX]
}

fn order() -> impl Strategy<Value = u8> {
    prop_oneof![6 => 0_u8..14, 1 => 0_u8..=64]
}

fn op() -> impl Strategy<Value = Op> {
    let block = || (index(), order()).prop_map(|(index, order)| Block::around(index, order));
    let span = || (index(), prop_oneof![4 => 0_u64..200, 1 => any::<u64>()]);
    let mark = || (0..3_usize).prop_map(|at| Mark::ALL[at]);
    prop_oneof![
        6 => (index(), value()).prop_map(|(i, v)| Op::Store(i, v)),
        4 => (block(), value()).prop_map(|(b, v)| Op::StoreBlock(b, v)),
        3 => (span(), value()).prop_map(|((i, n), v)| Op::StoreRange(i, i.saturating_add(n), v)),
        4 => index().prop_map(Op::Erase),
        2 => span().prop_map(|(i, n)| Op::EraseRange(i, i.saturating_add(n))),
        1 => index().prop_map(Op::Remove),
        1 => (index(), order()).prop_map(|(i, order)| Op::Split(i, order)),
        1 => index().prop_map(Op::SplitBefore),
        4 => (index(), mark()).prop_map(|(i, m)| Op::Mark(i, m)),
        2 => (index(), mark()).prop_map(|(i, m)| Op::Unmark(i, m)),
        2 => (index(), value()).prop_map(|(i, v)| Op::Insert(i, v)),
        1 => (block(), value()).prop_map(|(b, v)| Op::InsertBlock(b, v)),
        2 => (index(), prop::option::of(value()), prop::option::of(value())).prop_map(|(i, e, n)| Op::Exchange(i, e, n)),
        2 => index().prop_map(Op::Reserve),
        1 => index().prop_map(Op::Release),
    ]
}

fn shown(entry: Entry<'_, u64>) -> Shown {
    (entry.block, *entry.value, entry.marks)
}

/// The first thing that would refuse an insert.
fn in_the_way(model: &Model, block: Block) -> Option<XArrayError> {
    let entry = model.overlapping(block.first(), block.last()).first().map(|(by, ..)| *by);
    let reserved = model.reserved.range(block.first()..=block.last()).next().copied();
    match (entry, reserved) {
        (Some(by), Some(index)) if by.first() > index => Some(XArrayError::Reserved { index }),
        (Some(by), _) => Some(XArrayError::Occupied { by }),
        (None, reserved) => reserved.map(|index| XArrayError::Reserved { index }),
    }
}

fn insert(model: &mut Model, block: Block, value: u64) -> Option<XArrayError> {
    let (first, last) = (block.first(), block.last());
    if !model.fits(first, last, value) {
        return Some(XArrayError::ValueEnds { first, last });
    }
    let error = in_the_way(model, block);
    if error.is_none() {
        model.store(first, last, value);
    }
    error
}

/// Applies `op` to both and compares what they say.
fn apply<S: Spread<u64>>(array: &mut XArray<u64, S>, model: &mut Model, op: &Op) {
    match *op {
        Op::Store(index, value) => {
            assert_eq!(array.store(index, value), model.value_at(index));
            model.store(index, index, value);
        }
        Op::StoreBlock(block, value) => {
            let stored = array.store_block(block, value).is_ok();
            assert_eq!(stored, model.store(block.first(), block.last(), value));
        }
        Op::StoreRange(first, last, value) => {
            let stored = array.store_range(first..=last, value).is_ok();
            assert_eq!(stored, model.store(first, last, value));
        }
        Op::Erase(index) => {
            assert_eq!(array.erase(index), model.value_at(index));
            model.erase(index, index);
        }
        Op::EraseRange(first, last) => {
            array.erase_range(first..=last);
            model.erase(first, last);
        }
        Op::Remove(index) => {
            let whole = model.entry(index).map(|(block, value, _)| (block, value));
            assert_eq!(array.remove_entry(index), whole);
            whole.map(|(block, _)| model.entries.remove(&block.first()));
        }
        _ => apply_rest(array, model, op),
    }
}

/// The operations that are not stores and erasures.
fn apply_rest<S: Spread<u64>>(array: &mut XArray<u64, S>, model: &mut Model, op: &Op) {
    match *op {
        Op::Split(index, order) => {
            // No more than 2^8 pieces: the array does as it is told.
            let order =
                model.entry(index).map_or(order, |(block, ..)| order.max(block.order().saturating_sub(8)));
            assert_eq!(array.split(index, order), model.split(index, order));
        }
        Op::SplitBefore(index) => {
            array.split_before(index);
            model.split_before(index);
        }
        Op::Mark(index, mark) => {
            assert_eq!(array.set_mark(index, mark), model.mark(index, |marks| marks.with(mark)));
        }
        Op::Unmark(index, mark) => {
            assert_eq!(array.clear_mark(index, mark), model.mark(index, |marks| marks.without(mark)));
        }
        Op::Insert(index, value) => {
            let refused = array.insert(index, value).err().map(|refused| (refused.value, refused.error));
            assert_eq!(refused, insert(model, Block::single(index), value).map(|error| (value, error)));
        }
        Op::InsertBlock(block, value) => {
            let refused =
                array.insert_block(block, value).err().map(|refused| (refused.value, refused.error));
            assert_eq!(refused, insert(model, block, value).map(|error| (value, error)));
        }
        Op::Exchange(index, expected, new) => {
            let found = model.value_at(index);
            // Random values seldom meet: half of the time, what is there is expected.
            let expected = if index % 2 == 0 { found } else { expected };
            let exchanged = array.compare_exchange(index, expected.as_ref(), new);
            assert_eq!(exchanged, if found == expected { Ok(found) } else { Err(new) });
            match new {
                Some(value) if found == expected => assert!(model.store(index, index, value)),
                None if found == expected => model.erase(index, index),
                _ => {}
            }
        }
        Op::Reserve(index) => {
            let free = in_the_way(model, Block::single(index)).is_none();
            assert_eq!(array.reserve(index), free);
            model.reserved.extend(free.then_some(index));
        }
        Op::Release(index) => {
            assert_eq!(array.is_reserved(index), model.reserved.contains(&index));
            assert_eq!(array.release(index), model.reserved.remove(&index));
        }
        _ => unreachable!("a store or an erasure"),
    }
}

/// Asks both the same questions about a place.
fn compare_at<S: Spread<u64>>(array: &XArray<u64, S>, model: &Model, (first, last): (u64, u64), align: u8) {
    assert_eq!(array.entry(first).map(shown), model.entry(first));
    assert_eq!(array.load(first).copied(), model.entry(first).map(|(_, value, _)| value));
    assert_eq!(array.value_at(first), model.value_at(first));
    assert_eq!(array.contains(first), model.entry(first).is_some());
    let after = model.overlapping(first, u64::MAX).first().copied();
    assert_eq!(array.at_or_after(first).map(shown), after);
    let before = model.overlapping(0, first).last().copied();
    assert_eq!(array.at_or_before(first).map(shown), before);
    assert_eq!(array.range(first..=last).map(shown).collect::<Vec<_>>(), model.overlapping(first, last));
    for mark in Mark::ALL {
        assert_eq!(array.next_marked(first..=last, mark).map(shown), model.next_marked(first, last, mark));
        assert_eq!(array.any_marked(mark), model.next_marked(0, u64::MAX, mark).is_some());
        assert_eq!(
            array.is_marked(first, mark),
            model.entry(first).is_some_and(|(.., marks)| marks.contains(mark))
        );
    }
    let gaps = array.gaps(first..=last).map(|gap| (*gap.start(), *gap.end()));
    assert_eq!(gaps.collect::<Vec<_>>(), model.gaps(first, last));
    for len in [0, 1, 3, 70, 5_000, u64::MAX] {
        assert_eq!(array.find_hole(first..=last, len, align), model.find_hole(first, last, len, align));
    }
}

fn compare<S: Spread<u64>>(array: &XArray<u64, S>, model: &Model) {
    array.check();
    let listed = model.listed();
    assert_eq!(array.iter().map(shown).collect::<Vec<_>>(), listed);
    assert_eq!(array.len(), listed.len() as u64);
    let runs = array.runs(..).map(|run| (run.first(), run.last(), run.join));
    assert_eq!(runs.collect::<Vec<_>>(), model.runs());
    let mut cursor = array.cursor();
    for expected in listed.iter().rev() {
        assert_eq!(cursor.move_prev().map(shown), Some(*expected));
    }
    assert_eq!(cursor.move_prev(), None);
    assert_eq!(cursor.current(), None);
}

fn compare_all<S: Spread<u64>>(ops: &[Op], asked: &[(u64, u64, u8)]) {
    let mut array = XArray::<u64, S>::default();
    let mut model = Model { ascends: S::ASCENDS, ..Model::default() };
    for op in ops {
        apply(&mut array, &mut model, op);
        array.check();
        if model.entries.len() < 40 {
            compare(&array, &model);
        }
    }
    compare(&array, &model);
    for (index, len, align) in asked {
        compare_at(&array, &model, (*index, index.saturating_add(*len)), *align);
    }
    let copy = array.clone();
    array.erase_range(..);
    assert_eq!((array.check(), array.len()), (0, 0));
    assert_eq!(copy.iter().map(shown).collect::<Vec<_>>(), model.listed());
}

/// One cursor for all changes: what it remembers must never be out of date.
fn compare_cursor<S: Spread<u64>>(ops: &[Op]) {
    let mut array = XArray::<u64, S>::default();
    let mut model = Model { ascends: S::ASCENDS, ..Model::default() };
    let mut cursor: CursorMut<'_, u64, S> = array.cursor_mut();
    for op in ops {
        match *op {
            Op::Store(index, value) => {
                assert_eq!(cursor.store(index, value), model.value_at(index));
                model.store(index, index, value);
            }
            Op::StoreBlock(block, value) => {
                let stored = cursor.store_block(block, value).is_ok();
                assert_eq!(stored, model.store(block.first(), block.last(), value));
            }
            Op::Erase(index) => {
                assert_eq!(cursor.erase(index), model.value_at(index));
                model.erase(index, index);
            }
            Op::EraseRange(first, last) => {
                for block in Block::cover(first..=last) {
                    cursor.erase_block(block);
                }
                model.erase(first, last);
            }
            Op::Mark(index, _) => assert_eq!(cursor.entry(index).map(shown), model.entry(index)),
            Op::Unmark(index, _) => {
                let after = model.overlapping(index, u64::MAX).first().copied();
                assert_eq!(cursor.at_or_after(index).map(shown), after);
            }
            _ => {}
        }
    }
    compare(&array, &model);
}

proptest! {
    #[test]
    fn uniform_array_agrees_with_the_model(
        ops in prop::collection::vec(op(), 1..40),
        asked in prop::collection::vec((index(), any::<u64>().prop_map(|n| n >> (n % 64)), 0_u8..=66), 8),
    ) {
        compare_all::<Uniform>(&ops, &asked);
    }

    #[test]
    fn ascending_array_agrees_with_the_model(
        ops in prop::collection::vec(op(), 1..40),
        asked in prop::collection::vec((index(), any::<u64>().prop_map(|n| n >> (n % 64)), 0_u8..=66), 8),
    ) {
        compare_all::<Ascending>(&ops, &asked);
    }

    #[test]
    fn cursor_agrees_with_the_model(ops in prop::collection::vec(op(), 1..80)) {
        compare_cursor::<Uniform>(&ops);
        compare_cursor::<Ascending>(&ops);
    }
}
