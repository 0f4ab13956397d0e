//! The array in memory.
//!
//! An [`XArray`] maps indices to values. An **entry** is one value with the block of indices that it covers and
//! its marks. What is stored at an index is what a load of that index finds, whatever blocks it came in; the
//! blocks themselves are visible too, since the order of a folio matters to whoever restores it.
//!
//! It is a radix tree of nodes with 64 slots, like the kernel's `lib/xarray.c`, with two differences: nodes keep
//! their values packed, and nodes with one child are left out, so that memory follows what is stored.

mod block;
mod cursor;
mod edit;
mod error;
mod exchange;
mod holes;
mod iter;
mod marks;
mod node;
mod path;
mod range;
mod runs;
mod spread;
mod tree;

#[cfg(test)]
mod tests;

use core::marker::PhantomData;

pub use block::Block;
pub use cursor::{Cursor, CursorMut};
pub use error::{Refused, XArrayError};
pub use holes::Gaps;
pub use iter::{Entry, Iter};
pub use marks::{Mark, Marks};
pub use runs::{Direction, Run, Runs};
pub use spread::{Ascending, Linear, Spread, Uniform};

use path::Path;
use tree::Tree;

/// A sparse array: values of type `V` at any of the 2^64 indices.
///
/// `S` says how the value of an entry spreads over the indices that it covers: [`Uniform`], or [`Ascending`] for
/// frame numbers. A value that is all zeros is a value: absent is `None`.
///
/// Every change concerns exactly the indices that it names. Where it concerns a part of an entry, that entry is
/// cut into the fewest blocks, and the other parts keep their values and marks.
///
/// # Panics
///
/// With more than 2^32 nodes, which take half a TiB for their heads alone. Splitting an ascending entry panics
/// if the value's [`Linear`] breaks its laws.
pub struct XArray<V, S = Uniform> {
    tree: Tree<V>,
    spread: PhantomData<fn() -> S>,
}

/// Gives the value back unless it reaches from `first` to `last`.
fn fits<V, S: Spread<V>>(first: u64, last: u64, value: V) -> Result<V, Refused<V>> {
    if S::reaches(&value, last - first) {
        Ok(value)
    } else {
        Err(Refused { value, error: XArrayError::ValueEnds { first, last } })
    }
}

impl<V> XArray<V> {
    /// An empty array in which every index of an entry has the entry's value. Allocates nothing.
    pub const fn new() -> Self {
        Self { tree: Tree::new(), spread: PhantomData }
    }

    /// The value of the entry that covers `index`, to change it for all its indices. Marks stay.
    pub fn load_mut(&mut self, index: u64) -> Option<&mut V> {
        let (id, start) = self.tree.place_of(index)?;
        Some(self.tree.node_mut(id).value_mut(start))
    }
}

impl<V> XArray<V, Ascending> {
    /// An empty array in which the value grows by one per index of an entry. Allocates nothing.
    pub const fn ascending() -> Self {
        Self { tree: Tree::new(), spread: PhantomData }
    }
}

impl<V: Clone, S> Clone for XArray<V, S> {
    fn clone(&self) -> Self {
        Self { tree: self.tree.clone(), spread: PhantomData }
    }
}

impl<V, S> Default for XArray<V, S> {
    fn default() -> Self {
        Self { tree: Tree::new(), spread: PhantomData }
    }
}

impl<V, S> XArray<V, S> {
    /// The number of entries, of whatever order.
    pub const fn len(&self) -> u64 {
        self.tree.entries()
    }

    /// Whether there are no entries. There may be reservations.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value of the entry that covers `index`: in an ascending array, that of the entry's *first* index.
    pub fn load(&self, index: u64) -> Option<&V> {
        self.tree.find(index).map(|(node, start)| node.value(start))
    }

    /// The entry that covers `index`.
    pub fn entry(&self, index: u64) -> Option<Entry<'_, V>> {
        self.tree.find(index).map(|(node, start)| Entry::at(node, start))
    }

    /// Whether an entry covers `index`.
    pub fn contains(&self, index: u64) -> bool {
        self.tree.place_of(index).is_some()
    }

    /// The first entry that covers `index` or lies after it.
    pub fn at_or_after(&self, index: u64) -> Option<Entry<'_, V>> {
        self.cursor().seek(index)
    }

    /// The last entry that covers `index` or lies before it.
    pub fn at_or_before(&self, index: u64) -> Option<Entry<'_, V>> {
        self.cursor().seek_back(index)
    }

    /// Takes out the entry that covers `index`, with all its indices.
    pub fn remove_entry(&mut self, index: u64) -> Option<(Block, V)> {
        let mut path = Path::new();
        self.tree.enter(&mut path, Block::single(index));
        let removed = self.tree.remove(&mut path);
        self.tree.pack();
        removed
    }

    /// Takes out everything, reservations too, and gives all memory back.
    pub fn clear(&mut self) {
        self.tree = Tree::new();
    }
}

impl<V, S: Spread<V>> XArray<V, S> {
    /// The value of one index: in an ascending array, the entry's value grown to there.
    pub fn value_at(&self, index: u64) -> Option<V> {
        let entry = self.entry(index)?;
        Some(S::at(entry.value, index - entry.block.first()))
    }

    /// Stores at one index. Returns the value that it had. The new entry has no marks; an entry that covers more
    /// than this index is cut.
    pub fn store(&mut self, index: u64, value: V) -> Option<V> {
        self.tree.store::<S>(&mut Path::new(), index, value)
    }

    /// Leaves nothing at one index, not even a reservation. Returns the value that it had. An entry that covers
    /// more than this index is cut.
    pub fn erase(&mut self, index: u64) -> Option<V> {
        self.cursor_mut().erase(index)
    }
}
