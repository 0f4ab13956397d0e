//! Memory follows what is stored: counted in nodes and in room, not in bytes of an allocator.

use super::{Block, XArray, block, corners};
use crate::Ascending;

/// Room for nodes that a small array may keep.
const SMALL: usize = 64;

#[test]
fn isolated_entries_cost_a_leaf_and_at_most_a_fork() {
    let mut array = XArray::new();
    let isolated = (0..1_000_u64).map(|nth| nth.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    array.extend(isolated.map(|index| (index, index)));
    assert_eq!(array.len(), 1_000);
    assert!(array.check() < 2 * 1_000);
}

#[test]
fn dense_entries_cost_one_leaf_for_64() {
    let array: XArray<u64> = (0..64 * 64).map(|index| (index, index)).collect();
    assert_eq!(array.check(), 64 + 1);
}

#[test]
fn large_ranges_cost_a_few_nodes() {
    let mut array = XArray::<u64, Ascending>::ascending();
    array.store_range(0..1 << 40, 5).unwrap();
    assert_eq!((array.len(), array.check()), (1, 1));
    array.store_range(1..(1 << 40) - 1, 6).unwrap();
    assert_eq!(array.len(), 80);
    assert!(array.check() <= 14, "{} nodes", array.check());
    array.erase_range(..);
    array.store_block(Block::ALL, 0).unwrap();
    assert_eq!((array.len(), array.check(), array.value_at(u64::MAX)), (1, 1, Some(u64::MAX)));
}

#[test]
fn nodes_go_with_their_last_entry() {
    let mut array: XArray<u64> = corners().into_iter().map(|index| (index, 7)).collect();
    let most = array.check();
    for (nth, index) in corners().into_iter().enumerate() {
        let before = array.check();
        array.erase(index);
        assert!(array.check() <= before, "after {nth} of {most}");
    }
    assert_eq!(array.check(), 0);
}

#[test]
fn room_shrinks_with_the_array() {
    let mut array: XArray<u64> = (0..1 << 16).map(|index| (index, index)).collect();
    assert!(array.tree.node_room() > 1_000);
    for index in 0..1 << 16 {
        if index % 4096 != 0 {
            assert_eq!(array.remove_entry(index), Some((Block::single(index), index)));
        }
    }
    assert_eq!((array.len(), array.check()), (16, 17));
    assert!(array.tree.node_room() <= 4 * SMALL, "room for {} nodes", array.tree.node_room());
    assert!(array.iter().map(|entry| *entry.value).eq((0..16).map(|nth| nth * 4096)));
    array.erase_range(..);
    assert_eq!(array.check(), 0);
}

#[test]
fn values_give_their_room_back() {
    let mut array: XArray<u64> = (0..64).map(|index| (index, index)).collect();
    for index in 1..64 {
        array.erase(index);
    }
    let root = array.tree.root().unwrap();
    assert!(array.tree.node(root).value_room() <= 4);
}

#[test]
fn stores_at_reserved_indices_find_their_room() {
    let mut array = XArray::new();
    for index in 0..64 {
        assert!(array.reserve(index));
    }
    let room = |array: &XArray<u64>| {
        let root = array.tree.root().unwrap();
        (array.tree.node(root).value_room(), array.tree.node_room())
    };
    let before = room(&array);
    for index in (0..64).rev() {
        assert_eq!(array.store(index, index), None);
        assert_eq!(room(&array), before);
    }
    assert!(array.iter().map(|entry| *entry.value).eq(0..64));
}

#[test]
fn cutting_one_index_out_of_everything_leaves_one_entry_of_each_order() {
    for hole in corners() {
        let mut array = XArray::new();
        array.store_block(Block::ALL, 9).unwrap();
        assert_eq!(array.erase(hole), Some(9));
        assert_eq!(array.len(), 64);
        assert!(array.check() <= 11);
        assert_eq!(array.find_hole(.., 1, 0), Some(hole));
        assert_eq!(array.find_hole(.., 2, 0), None);
        array.store_block(block(0, 64), 8).unwrap();
        assert_eq!((array.len(), array.check()), (1, 1));
    }
}
