//! The way from the root to a node, and the walks that go along it.
//!
//! A **path** names the nodes from the root down, and in each the slot where the way goes on; in the last one,
//! the slot at which a walk stands. It is never longer than the tree has levels. A walk looks only at slots that
//! its **pick** names: those with entries, those with a mark, those that are taken.

use super::node::{LEVELS, Node, NodeId, SLOTS};
use super::tree::Tree;

/// One step of the way.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Frame {
    pub(super) id: NodeId,
    pub(super) slot: u32,
}

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Path {
    frames: [Frame; LEVELS],
    len: usize,
}

impl Path {
    /// The way to nowhere.
    pub(super) const fn new() -> Self {
        Self { frames: [Frame { id: NodeId(0), slot: 0 }; LEVELS], len: 0 }
    }

    #[inline]
    pub(super) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(super) const fn clear(&mut self) {
        self.len = 0;
    }

    /// The frames, from the root.
    #[inline]
    pub(super) fn frames(&self) -> &[Frame] {
        self.frames.get(..self.len).unwrap_or_default()
    }

    #[inline]
    pub(super) fn top(&self) -> Option<Frame> {
        self.frames.get(self.len.wrapping_sub(1)).copied()
    }

    #[inline]
    pub(super) fn push(&mut self, id: NodeId, slot: u32) {
        match self.frames.get_mut(self.len) {
            Some(frame) => *frame = Frame { id, slot },
            None => unreachable!("levels fall on the way down, and there are {LEVELS} of them"),
        }
        self.len += 1;
    }

    #[inline]
    pub(super) fn pop(&mut self) -> Option<Frame> {
        let top = self.top()?;
        self.len -= 1;
        Some(top)
    }

    /// Goes back until `id` is the last node.
    pub(super) fn pop_to(&mut self, id: NodeId) {
        while self.top().is_some_and(|top| top.id != id) {
            self.len -= 1;
        }
    }

    /// Goes to the first picked slot that is not wholly before `index`.
    pub(super) fn seek<V>(
        &mut self,
        tree: &Tree<V>,
        index: u64,
        pick: impl Fn(&Node<V>) -> u64,
    ) -> Option<Frame> {
        let id = self.nearest(tree, index)?;
        let from = tree.node(id).slot_from(index);
        self.push(id, 0);
        self.ahead(tree, from, index, pick)
    }

    /// Goes to the last picked slot that is not wholly after `index`.
    pub(super) fn seek_back<V>(
        &mut self,
        tree: &Tree<V>,
        index: u64,
        pick: impl Fn(&Node<V>) -> u64,
    ) -> Option<Frame> {
        let id = self.nearest(tree, index)?;
        let upto = tree.node(id).slot_upto(index);
        self.push(id, 0);
        self.back(tree, upto, index, pick)
    }

    /// Goes to the next picked slot after the one where it stands.
    pub(super) fn next<V>(&mut self, tree: &Tree<V>, pick: impl Fn(&Node<V>) -> u64) -> Option<Frame> {
        let top = self.frames.get_mut(self.len.wrapping_sub(1))?;
        let node = tree.node(top.id);
        // Mostly it is a step within the node.
        let bits = pick(node) & (u64::MAX << top.slot << 1);
        if bits != 0 && node.is_leaf() {
            top.slot = bits.trailing_zeros();
            return Some(*top);
        }
        let from = top.slot + 1;
        self.ahead(tree, from, 0, pick)
    }

    /// Goes to the last picked slot before the one where it stands.
    pub(super) fn prev<V>(&mut self, tree: &Tree<V>, pick: impl Fn(&Node<V>) -> u64) -> Option<Frame> {
        let upto = self.top()?.slot;
        self.back(tree, upto, u64::MAX, pick)
    }

    /// Takes off the last node of the way that stands for `index`, and all below it; the root if there is none.
    fn nearest<V>(&mut self, tree: &Tree<V>, index: u64) -> Option<NodeId> {
        while let Some(top) = self.pop() {
            let node = tree.node(top.id);
            if node.first() <= index && index <= node.last() {
                return Some(top.id);
            }
        }
        tree.root()
    }

    /// From slot `from` of the last node on; below it, from `index` on.
    fn ahead<V>(
        &mut self,
        tree: &Tree<V>,
        mut from: u32,
        index: u64,
        pick: impl Fn(&Node<V>) -> u64,
    ) -> Option<Frame> {
        // Each turn goes down, or up to a later slot: no node is left twice.
        while let Some(top) = self.pop() {
            let node = tree.node(top.id);
            let bits = if from >= SLOTS { 0 } else { pick(node) >> from << from };
            if bits == 0 {
                from = self.top().map_or(SLOTS, |above| above.slot + 1);
                continue;
            }
            let slot = bits.trailing_zeros();
            self.push(top.id, slot);
            let Some(kid) = node.child(slot) else { return self.top() };
            from = tree.node(kid).slot_from(index);
            self.push(kid, 0);
        }
        None
    }

    /// From the slot before `upto` of the last node back; below it, from `index` back.
    fn back<V>(
        &mut self,
        tree: &Tree<V>,
        mut upto: u32,
        index: u64,
        pick: impl Fn(&Node<V>) -> u64,
    ) -> Option<Frame> {
        while let Some(top) = self.pop() {
            let node = tree.node(top.id);
            let bits = if upto == 0 { 0 } else { pick(node) << (SLOTS - upto) >> (SLOTS - upto) };
            if bits == 0 {
                upto = self.top().map_or(0, |above| above.slot);
                continue;
            }
            let slot = bits.ilog2();
            self.push(top.id, slot);
            let Some(kid) = node.child(slot) else { return self.top() };
            upto = tree.node(kid).slot_upto(index);
            self.push(kid, 0);
        }
        None
    }
}
