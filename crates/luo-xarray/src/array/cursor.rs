//! Cursors: they remember the way, so that the next step nearby does not come down from the root.
//!
//! A [`Cursor`] stands on an entry, or nowhere. A [`CursorMut`] stands nowhere in particular; it remembers the
//! node of its last step. In a leaf, 64 neighbouring indices are one step from each other.

use core::marker::PhantomData;

use super::node::Node;
use super::path::{Frame, Path};
use super::tree::Tree;
use super::{Block, Entry, Marks, Refused, Spread, XArray, fits};

/// Walks over the entries in both directions; see [`XArray::cursor`].
#[derive(Debug)]
pub struct Cursor<'a, V> {
    tree: &'a Tree<V>,
    path: Path,
}

/// Reads and changes neighbouring entries; see [`XArray::cursor_mut`].
#[derive(Debug)]
pub struct CursorMut<'a, V, S> {
    tree: &'a mut Tree<V>,
    path: Path,
    spread: PhantomData<fn() -> S>,
}

impl<V> Clone for Cursor<'_, V> {
    fn clone(&self) -> Self {
        Self { tree: self.tree, path: self.path.clone() }
    }
}

impl<'a, V> Cursor<'a, V> {
    fn stand(&self, frame: Option<Frame>) -> Option<Entry<'a, V>> {
        frame.map(|frame| Entry::on(self.tree, frame))
    }

    /// The entry on which it stands.
    pub fn current(&self) -> Option<Entry<'a, V>> {
        self.stand(self.path.top())
    }

    /// Goes to the first entry that covers `index` or lies after it; nowhere, if there is none.
    pub fn seek(&mut self, index: u64) -> Option<Entry<'a, V>> {
        let frame = self.path.seek(self.tree, index, Node::inhabited);
        self.stand(frame)
    }

    /// Goes to the last entry that covers `index` or lies before it; nowhere, if there is none.
    pub fn seek_back(&mut self, index: u64) -> Option<Entry<'a, V>> {
        let frame = self.path.seek_back(self.tree, index, Node::inhabited);
        self.stand(frame)
    }

    /// Goes to the next entry; from nowhere, to the first. Past the last one lies nowhere.
    pub fn move_next(&mut self) -> Option<Entry<'a, V>> {
        if self.path.is_empty() {
            return self.seek(0);
        }
        let frame = self.path.next(self.tree, Node::inhabited);
        self.stand(frame)
    }

    /// Goes to the entry before; from nowhere, to the last. Before the first one lies nowhere.
    pub fn move_prev(&mut self) -> Option<Entry<'a, V>> {
        if self.path.is_empty() {
            return self.seek_back(u64::MAX);
        }
        let frame = self.path.prev(self.tree, Node::inhabited);
        self.stand(frame)
    }
}

impl<V, S> CursorMut<'_, V, S> {
    /// The entry that covers `index`.
    pub fn entry(&mut self, index: u64) -> Option<Entry<'_, V>> {
        self.tree.enter(&mut self.path, Block::single(index));
        let (id, start) = self.tree.start_on(&self.path)?;
        Some(Entry::at(self.tree.node(id), start))
    }

    /// The first entry that covers `index` or lies after it.
    pub fn at_or_after(&mut self, index: u64) -> Option<Entry<'_, V>> {
        let frame = self.path.seek(self.tree, index, Node::inhabited)?;
        Some(Entry::on(self.tree, frame))
    }

    /// After something was taken out.
    fn pack(&mut self) {
        if self.tree.pack() {
            self.path.clear();
        }
    }
}

impl<V, S: Spread<V>> CursorMut<'_, V, S> {
    /// As [`XArray::store`].
    pub fn store(&mut self, index: u64, value: V) -> Option<V> {
        self.tree.store::<S>(&mut self.path, index, value)
    }

    /// As [`XArray::store_block`].
    ///
    /// # Errors
    ///
    /// [`XArrayError::ValueEnds`](super::XArrayError::ValueEnds).
    pub fn store_block(&mut self, block: Block, value: V) -> Result<(), Refused<V>> {
        let value = fits::<V, S>(block.first(), block.last(), value)?;
        self.put(block, value);
        Ok(())
    }

    /// Stores a value that reaches to the block's end.
    pub(super) fn put(&mut self, block: Block, value: V) {
        self.tree.vacate::<S>(&mut self.path, block);
        self.tree.place(&mut self.path, block, value, Marks::NONE);
        self.pack();
    }

    /// As [`XArray::erase`].
    pub fn erase(&mut self, index: u64) -> Option<V> {
        let old = self.tree.erase::<S>(&mut self.path, index);
        self.pack();
        old
    }

    /// Leaves nothing in `block`, as [`XArray::erase_range`].
    pub fn erase_block(&mut self, block: Block) {
        self.tree.vacate::<S>(&mut self.path, block);
        self.tree.settle(&mut self.path);
        self.pack();
    }
}

impl<V, S> XArray<V, S> {
    /// A cursor that stands nowhere.
    pub const fn cursor(&self) -> Cursor<'_, V> {
        Cursor { tree: &self.tree, path: Path::new() }
    }

    /// A cursor that changes the array.
    pub const fn cursor_mut(&mut self) -> CursorMut<'_, V, S> {
        CursorMut { tree: &mut self.tree, path: Path::new(), spread: PhantomData }
    }
}
