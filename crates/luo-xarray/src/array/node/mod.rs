//! One node of the tree: 64 slots, and what stands in them.
//!
//! - A node of **level** l stands for 64^(l+1) neighbouring indices, each of its 64 **slots** for 64^l of them.
//!   Level 0 is the leaf: a slot for each index. Level 10 ends with its 16th slot, where the indices end.
//! - A slot is empty, or has a child (a node of a lower level), or is covered by an entry. An entry of order n
//!   lives at level n / 6 and covers 1, 2, 4, 8, 16 or 32 slots; at the first one stands its **start**.
//! - A **reserved** slot is an index without a value that is kept for somebody; only leaves have them.
//!
//! Values and children are packed: the k-th set bit of the bitmap belongs to the k-th element. So a node takes
//! the memory of what it holds, and a value takes its own size and not that of an `Option`.
//!
//! # Invariants
//!
//! - `base` is a multiple of the node's size.
//! - `starts` is a part of `covered`; `covered`, `children` and `reserved` are disjoint. The lowest bit of
//!   `covered` that follows an uncovered slot is in `starts`.
//! - `values` has one element per bit of `starts`, `kids` one per bit of `children`.
//! - A mark's bitmap has bits at starts (the entry has the mark) and at children (an entry below has it).

mod edit;

#[cfg(test)]
mod check;

use alloc::vec::Vec;

use super::marks::SlotMarks;
use super::{Block, Mark, Marks};

/// Bits of an index that one level decides.
const SLOT_BITS: u32 = 6;
/// Slots of a node.
pub(super) const SLOTS: u32 = 1 << SLOT_BITS;
/// Levels that 64 bits need, and so the nodes on the longest way down.
pub(super) const LEVELS: usize = 11;

/// The name of a node in its tree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct NodeId(pub(super) u32);

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Node<V> {
    base: u64,
    level: u32,
    starts: u64,
    covered: u64,
    children: u64,
    reserved: u64,
    marks: SlotMarks,
    values: Vec<V>,
    kids: Vec<NodeId>,
}

/// The level at which a block of this order is kept.
pub(super) const fn level_of(block: Block) -> u32 {
    block.order() as u32 / SLOT_BITS
}

/// The bits below `slot`, which may be 64.
const fn below(slot: u32) -> u64 {
    if slot >= SLOTS { u64::MAX } else { (1 << slot) - 1 }
}

/// The place of `slot`'s element in the vector that goes with `bitmap`.
const fn rank(bitmap: u64, slot: u32) -> usize {
    let before = bitmap & below(slot);
    // Where nothing is missing, which is the rule in dense arrays, there is nothing to count.
    if before == below(slot) { slot as usize } else { before.count_ones() as usize }
}

impl<V> Node<V> {
    /// An empty node of `level` that stands for `index` and its neighbours.
    pub(super) const fn new(index: u64, level: u32) -> Self {
        Self {
            base: index & !span(level),
            level,
            starts: 0,
            covered: 0,
            children: 0,
            reserved: 0,
            marks: SlotMarks::EMPTY,
            values: Vec::new(),
            kids: Vec::new(),
        }
    }

    pub(super) const fn level(&self) -> u32 {
        self.level
    }

    pub(super) const fn is_leaf(&self) -> bool {
        self.level == 0
    }

    /// The first index it stands for.
    pub(super) const fn first(&self) -> u64 {
        self.base
    }

    /// The last index it stands for.
    pub(super) const fn last(&self) -> u64 {
        self.base | span(self.level)
    }

    /// Whether `block` belongs into this node or into one below it.
    pub(super) const fn holds(&self, block: Block) -> bool {
        level_of(block) <= self.level && self.distance(block.first()) < SLOTS as u64
    }

    /// Slots from the node's first to that of `index`, if it stands for that; else, 64 or more.
    const fn distance(&self, index: u64) -> u64 {
        (self.base ^ index) >> (SLOT_BITS * self.level)
    }

    /// The slot of `index`; `None` if it does not stand for that.
    #[expect(clippy::cast_possible_truncation, reason = "below 64")]
    pub(super) const fn slot_within(&self, index: u64) -> Option<u32> {
        let distance = self.distance(index);
        if distance < SLOTS as u64 { Some(distance as u32) } else { None }
    }

    /// Whether nothing of this node sticks out of `block`.
    pub(super) const fn lies_in(&self, block: Block) -> bool {
        block.first() <= self.base && self.last() <= block.last()
    }

    /// The level of the smallest node that holds both this one and `index`, which lies outside.
    pub(super) const fn fork_level(&self, index: u64) -> u32 {
        (self.base ^ index).ilog2() / SLOT_BITS
    }

    /// The slot of an index that it stands for.
    #[expect(clippy::cast_possible_truncation, reason = "masked to six bits")]
    pub(super) const fn slot_of(&self, index: u64) -> u32 {
        (index >> (SLOT_BITS * self.level)) as u32 & (SLOTS - 1)
    }

    /// The first slot that is not wholly before `index`; 64 if there is none. Where an entry covers that slot,
    /// the entry's start.
    pub(super) fn slot_from(&self, index: u64) -> u32 {
        if index <= self.base {
            0
        } else if index > self.last() {
            SLOTS
        } else {
            let slot = self.slot_of(index);
            self.start_of(slot).unwrap_or(slot)
        }
    }

    /// One past the last slot that is not wholly after `index`; 0 if there is none.
    pub(super) fn slot_upto(&self, index: u64) -> u32 {
        if index < self.base {
            0
        } else if index > self.last() {
            SLOTS
        } else {
            self.slot_of(index) + 1
        }
    }

    /// The first index of a slot.
    pub(super) fn index_of(&self, slot: u32) -> u64 {
        self.base | u64::from(slot) << (SLOT_BITS * self.level)
    }

    /// The slots that a block of this node's level covers.
    pub(super) const fn slots_of(&self, block: Block) -> u64 {
        below(1 << (block.order() as u32 - SLOT_BITS * self.level)) << self.slot_of(block.first())
    }

    /// Slots with an entry's start or a child: where a walk over all entries goes.
    pub(super) const fn inhabited(&self) -> u64 {
        self.starts | self.children
    }

    /// Slots of which at least one index is taken.
    pub(super) const fn taken(&self) -> u64 {
        self.covered | self.children | self.reserved
    }

    /// Slots with a start or a child that has `mark`.
    pub(super) const fn marked(&self, mark: Mark) -> u64 {
        self.marks.bits(mark)
    }

    /// The last index of the unbroken row of covered and reserved slots that begins at `slot`, which is one of them.
    pub(super) fn row_end(&self, slot: u32) -> u64 {
        let row = ((self.covered | self.reserved) >> slot).trailing_ones();
        let last = slot + row - 1;
        self.index_of(last) | slot_mask(self.level)
    }

    /// Whether nothing is left in it.
    pub(super) const fn is_empty(&self) -> bool {
        self.taken() == 0
    }

    /// The child that is all there is in this node, if that is so.
    pub(super) fn only_child(&self) -> Option<NodeId> {
        match self.kids.as_slice() {
            [kid] if self.covered == 0 => Some(*kid),
            _ => None,
        }
    }

    /// The number of entries in this node itself.
    pub(super) const fn entries(&self) -> usize {
        self.values.len()
    }

    /// The start of the entry that covers `slot`.
    pub(super) const fn start_of(&self, slot: u32) -> Option<u32> {
        if self.covered >> slot & 1 == 0 {
            return None;
        }
        Some((self.starts & below(slot + 1)).ilog2())
    }

    /// The block of the entry that starts at `start`.
    pub(super) fn block_at(&self, start: u32) -> Block {
        // The entry ends where the next one starts or where nothing is covered.
        let ends = (self.starts | !self.covered) & !below(start + 1);
        let width = ends.trailing_zeros() - start;
        let order = SLOT_BITS * self.level + width.ilog2();
        Block::around(self.index_of(start), u8::try_from(order).unwrap_or(u8::MAX))
    }

    /// The value of the entry that starts at `start`.
    pub(super) fn value(&self, start: u32) -> &V {
        match self.values.get(rank(self.starts, start)) {
            Some(value) => value,
            None => unreachable!("INVARIANT: one value for each start"),
        }
    }

    /// The child in `slot`.
    pub(super) fn child(&self, slot: u32) -> Option<NodeId> {
        if self.children >> slot & 1 == 0 {
            return None;
        }
        self.kids.get(rank(self.children, slot)).copied()
    }

    /// Its children, ascending.
    pub(super) fn kids(&self) -> &[NodeId] {
        &self.kids
    }

    /// The marks of a start or a child.
    pub(super) fn marks_at(&self, slot: u32) -> Marks {
        self.marks.of(1 << slot)
    }

    /// Every mark that anything in it or below it has.
    pub(super) fn all_marks(&self) -> Marks {
        self.marks.of(u64::MAX)
    }
}

/// The bits of an index that differ inside one slot.
const fn slot_mask(level: u32) -> u64 {
    (1 << (SLOT_BITS * level)) - 1
}

/// The bits of an index that differ inside one node.
const fn span(level: u32) -> u64 {
    let bits = SLOT_BITS * (level + 1);
    if bits >= u64::BITS { u64::MAX } else { (1 << bits) - 1 }
}
