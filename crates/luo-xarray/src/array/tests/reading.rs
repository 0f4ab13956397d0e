//! Runs, cursors, and what else is read out of an array.

use alloc::boxed::Box;
use alloc::format;
use alloc::vec::Vec;

use super::{Block, XArray, block, corners};
use crate::{Direction, Mark, XArrayError};

#[test]
fn runs() {
    let pages: XArray<u64> =
        [5, 6, 5, 4, 3, 9, 9].into_iter().enumerate().map(|(at, v)| (at as u64, v)).collect();
    let told: Vec<_> = pages.runs(..).map(|run| (run.first(), run.last(), run.join)).collect();
    let (up, down) = (Some(Direction::Up), Some(Direction::Down));
    assert_eq!(told, [(0, 1, up), (2, 4, down), (5, 5, None), (6, 6, None)]);

    // Folios of 2 MiB, handed out downwards; then one of another size that would go on.
    let mut folios = XArray::ascending();
    for nth in 0..4_u64 {
        folios.store_block(block(nth * 512, 9), 8_192 - nth * 512).unwrap();
    }
    folios.store_block(block(2_048, 8), 8_192 - 2_048).unwrap();
    let told: Vec<_> = folios.block_runs(..).map(|run| (run.first(), run.entries, run.join)).collect();
    assert_eq!(told, [(0, 4, down), (2_048, 1, None)]);
    assert_eq!(folios.runs(..).count(), 5);

    // A join of one's own: neighbours with equal values.
    let mut flags = XArray::new();
    flags.store_range(1..100, true).unwrap();
    flags.store_range(100..=200, false).unwrap();
    let told: Vec<_> = flags
        .runs_by(.., |one, next| (one.value == next.value).then_some(()))
        .map(|run| (run.first(), run.last(), *run.head.value))
        .collect();
    assert_eq!(told, [(1, 99, true), (100, 200, false)]);
}

#[test]
fn iterators_stay_at_their_end() {
    let array: XArray<u64> = (0..10).map(|index| (index, index)).collect();
    let mut range = array.range(2..4);
    assert_eq!(range.by_ref().count(), 2);
    assert!(range.next().is_none() && range.next().is_none());
    let mut gaps = array.gaps(..);
    assert_eq!(gaps.by_ref().collect::<Vec<_>>(), [10..=u64::MAX]);
    assert!(gaps.next().is_none());
    assert!(array.range(4..4).next().is_none());
}

#[test]
fn cursor() {
    let array: XArray<u64> = corners().into_iter().map(|index| (index, index)).collect();
    let mut cursor = array.cursor();
    let up: Vec<_> = core::iter::from_fn(|| cursor.move_next()).map(|entry| *entry.value).collect();
    assert!(up.is_sorted() && up.len() as u64 == array.len());
    let down: Vec<_> = core::iter::from_fn(|| cursor.move_prev()).map(|entry| *entry.value).collect();
    assert!(down.iter().rev().eq(up.iter()));
    assert_eq!(cursor.seek(2).map(|entry| *entry.value), Some(63));
    assert_eq!(cursor.seek_back(62).map(|entry| *entry.value), Some(1));
    assert_eq!(cursor.move_next().map(|entry| *entry.value), Some(63));
    assert_eq!(cursor.move_prev(), cursor.current());
    assert_eq!(cursor.current().map(|entry| *entry.value), Some(1));
    let empty = XArray::<u64>::new();
    assert_eq!((empty.cursor().move_next(), empty.cursor().move_prev()), (None, None));
}

#[test]
fn values_that_cannot_be_cloned() {
    struct Goods(u32);
    let mut array = XArray::new();
    assert!(array.insert(3, Box::new(Goods(1))).is_ok());
    let refused = array.insert(3, Box::new(Goods(2))).unwrap_err();
    assert_eq!((refused.value.0, refused.error), (2, XArrayError::Occupied { by: Block::single(3) }));
    assert_eq!(array.load(3).map(|goods| goods.0), Some(1));
    assert_eq!(array.remove_entry(3).map(|(block, goods)| (block, goods.0)), Some((Block::single(3), 1)));
    assert!(array.remove_entry(3).is_none());
}

#[test]
fn equality_and_debug() {
    let one: XArray<u64> = [(1, 10), (9, 90)].into_iter().collect();
    let mut other: XArray<u64> = [(9, 90), (1, 10)].into_iter().collect();
    assert_eq!(one, other);
    assert_eq!(format!("{one:?}"), "{0x1 order 0: 10, 0x9 order 0: 90}");
    other.set_mark(9, Mark::M0);
    assert_ne!(one, other);
    let entry = XArrayError::Occupied { by: block(8, 2) };
    assert_eq!(format!("{entry}"), "the block of indices 0x8 to 0xb already has an entry");
}
