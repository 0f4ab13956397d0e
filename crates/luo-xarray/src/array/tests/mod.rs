//! The array answers to a model that cannot be wrong, operation by operation; and to scenarios by name.

mod by_index;
mod differential;
mod memory;
mod model;
mod reading;
mod scenarios;

use alloc::vec;
use alloc::vec::Vec;

use super::node::NodeId;
use super::{Block, XArray};

fn block(first: u64, order: u8) -> Block {
    Block::new(first, order).unwrap()
}

/// First index, order and value of every entry.
fn listed<V: Clone, S>(array: &XArray<V, S>) -> Vec<(u64, u8, V)> {
    array.iter().map(|entry| (entry.block.first(), entry.block.order(), entry.value.clone())).collect()
}

impl<V, S> XArray<V, S> {
    /// Asserts every invariant of the tree. Returns the number of nodes.
    fn check(&self) -> usize {
        let (mut nodes, mut entries) = (0, 0);
        let mut waiting: Vec<NodeId> = self.tree.root().into_iter().collect();
        while let Some(id) = waiting.pop() {
            let node = self.tree.node(id);
            node.check();
            nodes += 1;
            entries += node.entries() as u64;
            assert!(!node.is_empty(), "an empty node at {:#x}", node.first());
            assert_eq!(node.only_child(), None, "a superfluous node at {:#x}", node.first());
            let slots = (0..64).filter(|slot| node.child(*slot).is_some());
            for (kid, slot) in node.kids().iter().zip(slots) {
                assert_eq!(node.child(slot), Some(*kid));
                let kid_node = self.tree.node(*kid);
                assert!(kid_node.level() < node.level());
                assert_eq!(node.slot_of(kid_node.first()), slot);
                assert!(node.holds(Block::single(kid_node.first())));
                assert_eq!(node.marks_at(slot), kid_node.all_marks(), "marks above {:#x}", kid_node.first());
            }
            waiting.extend_from_slice(node.kids());
        }
        assert_eq!(entries, self.len());
        assert_eq!(nodes, self.tree.nodes_in_use());
        nodes
    }
}

/// Indices at which trees go wrong: the ends, and both sides of every level's border.
fn corners() -> Vec<u64> {
    let mut corners = vec![0, 1, u64::MAX - 1, u64::MAX];
    for level in 1..11 {
        let size = 1_u64 << (6 * level);
        corners.extend([size - 1, size, size + 1, 3 * size, 0_u64.wrapping_sub(size)]);
    }
    corners
}
