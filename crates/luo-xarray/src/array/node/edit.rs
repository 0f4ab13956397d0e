//! Changes of one node. Each keeps the node's invariants; the tree's are kept by the tree.

use alloc::vec::Vec;

use super::{Block, Marks, Node, NodeId, rank};

/// What [`Node::sweep`] took out.
#[derive(Debug)]
pub(in crate::array) struct Swept {
    /// Entries that are gone.
    pub(in crate::array) entries: usize,
    /// Children that nobody names any more.
    pub(in crate::array) kids: Vec<NodeId>,
}

impl<V> Node<V> {
    /// The value of the entry that starts at `start`, to change it.
    pub(in crate::array) fn value_mut(&mut self, start: u32) -> &mut V {
        match self.values.get_mut(rank(self.starts, start)) {
            Some(value) => value,
            None => unreachable!("INVARIANT: one value for each start"),
        }
    }

    /// Its children, to rename them.
    pub(in crate::array) fn kids_mut(&mut self) -> &mut Vec<NodeId> {
        &mut self.kids
    }

    /// Changes the marks of a start or a child; says whether that made a difference.
    pub(in crate::array) fn put_marks(&mut self, slot: u32, marks: Marks) -> bool {
        self.marks.put(1 << slot, marks)
    }

    /// Puts an entry into slots that are empty or reserved.
    pub(in crate::array) fn insert(&mut self, block: Block, value: V, marks: Marks) {
        let start = self.slot_of(block.first());
        let slots = self.slots_of(block);
        debug_assert!((self.covered | self.children) & slots == 0, "an entry is put upon another");
        self.reserved &= !slots;
        // The room of reserved slots is not for others. Where this slot was reserved, nothing is allocated.
        self.values.reserve(1 + self.reserved.count_ones() as usize);
        self.values.insert(rank(self.starts, start), value);
        self.starts |= 1 << start;
        self.covered |= slots;
        self.marks.put(1 << start, marks);
    }

    /// Takes out the entry that starts at `start`.
    pub(in crate::array) fn remove(&mut self, start: u32) -> (V, Marks) {
        let marks = self.marks_at(start);
        let slots = self.slots_of(self.block_at(start));
        let value = self.values.remove(rank(self.starts, start));
        self.starts &= !slots;
        self.covered &= !slots;
        self.marks.put(slots, Marks::NONE);
        self.trim();
        (value, marks)
    }

    /// Puts a child into `slot`, which is empty or has another child. Returns that one.
    pub(in crate::array) fn attach(&mut self, slot: u32, kid: NodeId, marks: Marks) -> Option<NodeId> {
        self.marks.put(1 << slot, marks);
        let at = rank(self.children, slot);
        if self.children >> slot & 1 == 1 {
            return self.kids.get_mut(at).map(|old| core::mem::replace(old, kid));
        }
        self.kids.insert(at, kid);
        self.children |= 1 << slot;
        None
    }

    /// Takes the child out of `slot`.
    pub(in crate::array) fn detach(&mut self, slot: u32) -> Option<NodeId> {
        self.child(slot)?;
        let kid = self.kids.remove(rank(self.children, slot));
        self.children &= !(1 << slot);
        self.marks.put(1 << slot, Marks::NONE);
        Some(kid)
    }

    /// Empties the slots of a block of this node's level, out of which no entry sticks.
    pub(in crate::array) fn sweep(&mut self, block: Block) -> Swept {
        let slots = self.slots_of(block);
        let from = self.slot_of(block.first());
        let values_at = rank(self.starts, from);
        let entries = (self.starts & slots).count_ones() as usize;
        self.values.drain(values_at..values_at + entries);
        let kids_at = rank(self.children, from);
        let kids =
            self.kids.drain(kids_at..kids_at + (self.children & slots).count_ones() as usize).collect();
        self.starts &= !slots;
        self.covered &= !slots;
        self.children &= !slots;
        self.reserved &= !slots;
        self.marks.put(slots, Marks::NONE);
        self.trim();
        Swept { entries, kids }
    }

    /// Whether the slot is kept for somebody.
    pub(in crate::array) const fn is_reserved(&self, slot: u32) -> bool {
        self.reserved >> slot & 1 == 1
    }

    /// Keeps an empty slot, and the memory of its value, for somebody.
    pub(in crate::array) fn reserve(&mut self, slot: u32) {
        self.reserved |= 1 << slot;
        self.values.reserve(self.reserved.count_ones() as usize);
    }

    /// Gives up the reservation of a slot.
    pub(in crate::array) fn release(&mut self, slot: u32) {
        self.reserved &= !(1 << slot);
        self.trim();
    }

    /// Gives back memory that removed values had, except what reserved slots need.
    fn trim(&mut self) {
        let needed = self.values.len() + self.reserved.count_ones() as usize;
        if self.values.capacity() >= 8 && needed <= self.values.capacity() / 4 {
            self.values.shrink_to(2 * needed);
        }
    }
}
