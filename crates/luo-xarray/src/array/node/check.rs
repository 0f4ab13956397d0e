//! What a node promises, as assertions.

use super::{Marks, Node, SLOTS, level_of, span};

impl<V> Node<V> {
    /// Asserts what the module promises of one node.
    pub(in crate::array) fn check(&self) {
        assert_eq!(self.base & span(self.level), 0, "base");
        assert_eq!(self.starts & !self.covered, 0, "a start is covered");
        assert_eq!(self.covered & self.children, 0, "an entry above a child");
        assert_eq!(self.reserved & (self.covered | self.children), 0, "a reservation of what is taken");
        assert!(self.reserved == 0 || self.level == 0, "reservations are kept in leaves");
        assert_eq!(self.values.len(), self.starts.count_ones() as usize, "values");
        assert_eq!(self.kids.len(), self.children.count_ones() as usize, "children");
        assert!(self.values.capacity() >= self.values.len() + self.reserved.count_ones() as usize, "room");
        let rows = self.covered & !(self.covered << 1);
        assert_eq!(rows & !self.starts, 0, "a row of covered slots begins with a start");
        for start in (0..SLOTS).filter(|slot| self.starts >> slot & 1 == 1) {
            let block = self.block_at(start);
            assert_eq!(
                (level_of(block), block.first()),
                (self.level, self.index_of(start)),
                "block at {start}"
            );
            assert_eq!(self.covered & self.slots_of(block), self.slots_of(block), "width at {start}");
        }
        assert_eq!(self.marks.of(!self.inhabited()), Marks::NONE, "marks of nothing");
    }

    /// Room for values, used or not.
    pub(in crate::array) fn value_room(&self) -> usize {
        self.values.capacity()
    }
}
