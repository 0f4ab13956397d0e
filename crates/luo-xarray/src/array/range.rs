//! Changes of whole ranges, and of the shape of entries.
//!
//! A range is stored as the fewest blocks that make it up, each an entry of its own: 2^40 indices are 1 entry if
//! they are aligned, and at most 80 if they are not. An entry that sticks out of a changed range is cut: what is
//! outside keeps its value and its marks, in the fewest blocks.

use core::ops::RangeBounds;

use super::block::bounds;
use super::{Block, Path, Refused, Spread, XArray, fits};

impl<V, S: Spread<V>> XArray<V, S> {
    /// Stores `value` at every index of `block`, as one entry. What the block had is gone; an entry that sticks
    /// out of it is cut.
    ///
    /// # Errors
    ///
    /// [`XArrayError::ValueEnds`](super::XArrayError::ValueEnds) if an ascending value cannot grow that far.
    /// Nothing is changed then.
    pub fn store_block(&mut self, block: Block, value: V) -> Result<(), Refused<V>> {
        self.cursor_mut().store_block(block, value)
    }

    /// Stores `value` over `range`: in a uniform array at every index, in an ascending one at the first, growing
    /// from there. It becomes the entries of [`Block::cover`]. An empty range changes nothing.
    ///
    /// # Errors
    ///
    /// [`XArrayError::ValueEnds`](super::XArrayError::ValueEnds) if an ascending value cannot grow that far.
    /// Nothing is changed then.
    pub fn store_range(&mut self, range: impl RangeBounds<u64>, value: V) -> Result<(), Refused<V>> {
        let Some((first, last)) = bounds(&range) else { return Ok(()) };
        let value = fits::<V, S>(first, last, value)?;
        let mut cursor = self.cursor_mut();
        for block in Block::cover(first..=last) {
            cursor.put(block, S::at(&value, block.first() - first));
        }
        Ok(())
    }

    /// Leaves nothing in `range`, neither entries nor reservations. An entry that sticks out of it is cut.
    pub fn erase_range(&mut self, range: impl RangeBounds<u64>) {
        let mut cursor = self.cursor_mut();
        for block in Block::cover(range) {
            cursor.erase_block(block);
        }
    }

    /// Splits the entry that covers `index` into entries of `order`, 2^(its order - `order`) of them, with its
    /// marks. One that is no larger remains as it is. Says whether there is one.
    pub fn split(&mut self, index: u64, order: u8) -> bool {
        let mut path = Path::new();
        self.tree.enter(&mut path, Block::single(index));
        let Some((id, start)) = self.tree.start_on(&path) else { return false };
        let whole = self.tree.node(id).block_at(start);
        if whole.order() > order {
            self.tree.shatter::<S>(&mut path, whole, whole.pieces(order));
        }
        true
    }

    /// Cuts the entry that covers both `index - 1` and `index` between the two, into the fewest blocks.
    /// Afterwards an iteration over a range that begins or ends there meets no entry that sticks out of it.
    pub fn split_before(&mut self, index: u64) {
        let Some(entry) = self.entry(index) else { return };
        let whole = entry.block;
        let (Some(before), true) = (index.checked_sub(1), whole.first() < index) else { return };
        let halves = Block::cover(whole.first()..=before).chain(Block::cover(index..=whole.last()));
        let mut path = Path::new();
        self.tree.enter(&mut path, Block::single(index));
        self.tree.shatter::<S>(&mut path, whole, halves);
    }
}
