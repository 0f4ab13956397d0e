//! The tree: nodes in one vector, named by their place in it.
//!
//! - Ways are **short**: an inner node that would have one child and no entry is left out, so a node's children
//!   may be several levels below it, and an isolated entry costs one leaf and at most one fork.
//! - A node that is given back leaves a **gap** in the vector for the next one; when three quarters are gaps, the
//!   vector is packed. Names change then, so paths do not outlive it.
//!
//! # Invariants
//!
//! - Levels fall on the way down, and a child lies inside its slot.
//! - Every node but those on the way of a change in progress has an entry, a reservation, or two children.
//! - The marks at a child's slot are all marks in and below the child.

use alloc::vec::Vec;

use super::node::{Node, NodeId};

/// Fewer nodes than these are never packed.
const PACK_FROM: usize = 64;

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Tree<V> {
    nodes: Vec<Node<V>>,
    gaps: Vec<NodeId>,
    root: Option<NodeId>,
    entries: u64,
}

impl<V> Tree<V> {
    pub(super) const fn new() -> Self {
        Self { nodes: Vec::new(), gaps: Vec::new(), root: None, entries: 0 }
    }

    /// The number of entries.
    pub(super) const fn entries(&self) -> u64 {
        self.entries
    }

    /// Corrects the number of entries by one that was put in.
    pub(super) const fn count_in(&mut self) {
        self.entries += 1;
    }

    /// Corrects the number of entries by those taken out.
    pub(super) const fn count_out(&mut self, entries: usize) {
        self.entries -= entries as u64;
    }

    pub(super) const fn root(&self) -> Option<NodeId> {
        self.root
    }

    pub(super) const fn set_root(&mut self, root: Option<NodeId>) {
        self.root = root;
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "INVARIANT: names are made by `take` and forgotten with the node"
    )]
    pub(super) fn node(&self, id: NodeId) -> &Node<V> {
        &self.nodes[id.0 as usize]
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "INVARIANT: names are made by `take` and forgotten with the node"
    )]
    pub(super) fn node_mut(&mut self, id: NodeId) -> &mut Node<V> {
        &mut self.nodes[id.0 as usize]
    }

    /// Makes room for a node and names it.
    pub(super) fn take(&mut self, node: Node<V>) -> NodeId {
        if let Some(id) = self.gaps.pop() {
            *self.node_mut(id) = node;
            return id;
        }
        let Ok(name) = u32::try_from(self.nodes.len()) else {
            unreachable!("2^32 nodes take half a TiB for their heads alone")
        };
        self.nodes.push(node);
        NodeId(name)
    }

    /// Takes back the room of a node that nobody names any more, and the memory that it had.
    pub(super) fn give(&mut self, id: NodeId) {
        self.empty(id);
        self.gaps.push(id);
    }

    /// Takes a node out of its room.
    fn empty(&mut self, id: NodeId) -> Node<V> {
        core::mem::replace(self.node_mut(id), Node::new(0, 0))
    }

    /// Takes back nodes that nobody names any more, and everything below them.
    pub(super) fn give_all(&mut self, mut ids: Vec<NodeId>) {
        while let Some(id) = ids.pop() {
            let node = self.node(id);
            let entries = node.entries();
            ids.extend_from_slice(node.kids());
            self.count_out(entries);
            self.give(id);
        }
    }

    /// Packs the vector if most of it is gaps. Says whether it did; every name is another one then.
    pub(super) fn pack(&mut self) -> bool {
        if self.nodes.len() < PACK_FROM || self.gaps.len() < self.nodes.len() / 4 * 3 {
            return false;
        }
        let mut packed = Vec::with_capacity(self.nodes.len() - self.gaps.len());
        packed.extend(self.root.map(|root| self.empty(root)));
        // Level by level: `packed` is at once the result and the queue of nodes whose children are still to come.
        let mut done = 0;
        while let Some(node) = packed.get_mut(done) {
            let mut kids = core::mem::take(node.kids_mut());
            for kid in &mut kids {
                let name = NodeId(u32::try_from(packed.len()).unwrap_or(u32::MAX));
                packed.push(self.empty(*kid));
                *kid = name;
            }
            if let Some(node) = packed.get_mut(done) {
                *node.kids_mut() = kids;
            }
            done += 1;
        }
        self.root = self.root.map(|_| NodeId(0));
        self.nodes = packed;
        self.gaps = Vec::new();
        true
    }

    /// The node and the start of the entry that covers `index`.
    pub(super) fn find(&self, index: u64) -> Option<(&Node<V>, u32)> {
        let (id, start) = self.place_of(index)?;
        Some((self.node(id), start))
    }

    /// The same, by name.
    pub(super) fn place_of(&self, index: u64) -> Option<(NodeId, u32)> {
        let mut id = self.root?;
        loop {
            let node = self.node(id);
            let slot = node.slot_within(index)?;
            if let Some(start) = node.start_of(slot) {
                return Some((id, start));
            }
            id = node.child(slot)?;
        }
    }

    /// The number of nodes in use.
    #[cfg(test)]
    pub(super) fn nodes_in_use(&self) -> usize {
        self.nodes.len() - self.gaps.len()
    }

    /// The room for nodes, used or not.
    #[cfg(test)]
    pub(super) fn node_room(&self) -> usize {
        self.nodes.capacity()
    }
}
