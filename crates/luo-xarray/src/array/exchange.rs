//! Stores that depend on what is there, and reservations.
//!
//! A **reservation** keeps one index, and the memory for its value, for somebody: a later store there allocates
//! nothing. A reserved index has no value, so loads and walks do not see it, but it is not free either: no hole
//! contains it, and [`XArray::insert`] refuses it. A store consumes the reservation, erasing gives it up.

use super::node::Node;
use super::{Block, Marks, Path, Refused, Spread, XArray, XArrayError, fits};

impl<V, S> XArray<V, S> {
    /// Stores where nothing is. Asks nothing of the value: this is the store for values that cannot be cloned.
    ///
    /// # Errors
    ///
    /// [`XArrayError::Occupied`] and [`XArrayError::Reserved`]. Nothing is changed then.
    pub fn insert(&mut self, index: u64, value: V) -> Result<(), Refused<V>> {
        self.insert_vacant(Block::single(index), value)
    }

    fn insert_vacant(&mut self, block: Block, value: V) -> Result<(), Refused<V>> {
        if let Some(error) = self.in_the_way(block) {
            return Err(Refused { value, error });
        }
        self.tree.place(&mut Path::new(), block, value, Marks::NONE);
        Ok(())
    }

    /// The first thing that is not free in `block`.
    fn in_the_way(&self, block: Block) -> Option<XArrayError> {
        let frame = Path::new().seek(&self.tree, block.first(), Node::taken)?;
        let node = self.tree.node(frame.id);
        let (first, error) = match node.start_of(frame.slot).map(|start| node.block_at(start)) {
            Some(by) => (by.first(), XArrayError::Occupied { by }),
            None => (node.index_of(frame.slot), XArrayError::Reserved { index: node.index_of(frame.slot) }),
        };
        (first <= block.last()).then_some(error)
    }

    /// Reserves a free index. Says whether it did: `false` if the index has an entry or is reserved.
    pub fn reserve(&mut self, index: u64) -> bool {
        let block = Block::single(index);
        if self.in_the_way(block).is_some() {
            return false;
        }
        let mut path = Path::new();
        self.tree.enter(&mut path, block);
        let id = self.tree.arrive(&mut path, block);
        let node = self.tree.node_mut(id);
        node.reserve(node.slot_of(index));
        true
    }

    /// Gives up the reservation of an index. Says whether there was one.
    pub fn release(&mut self, index: u64) -> bool {
        let mut path = Path::new();
        self.tree.enter(&mut path, Block::single(index));
        let Some(top) = path.top() else { return false };
        let node = self.tree.node_mut(top.id);
        if !node.is_reserved(top.slot) {
            return false;
        }
        node.release(top.slot);
        self.tree.settle(&mut path);
        self.tree.pack();
        true
    }

    /// Whether the index is reserved.
    pub fn is_reserved(&self, index: u64) -> bool {
        self.in_the_way(Block::single(index)) == Some(XArrayError::Reserved { index })
    }
}

impl<V, S: Spread<V>> XArray<V, S> {
    /// Stores `value` over a block in which nothing is, as one entry.
    ///
    /// # Errors
    ///
    /// [`XArrayError::Occupied`], [`XArrayError::Reserved`], and [`XArrayError::ValueEnds`] if an ascending value
    /// cannot grow that far. Nothing is changed then.
    pub fn insert_block(&mut self, block: Block, value: V) -> Result<(), Refused<V>> {
        let value = fits::<V, S>(block.first(), block.last(), value)?;
        self.insert_vacant(block, value)
    }

    /// Replaces the value of one index by `new`, if it is what the caller `expected`; `None` is no value. Returns
    /// the value that it had. An entry that covers more than this index is cut.
    ///
    /// # Errors
    ///
    /// Gives `new` back if the value was another one. Nothing is changed then.
    pub fn compare_exchange(
        &mut self,
        index: u64,
        expected: Option<&V>,
        new: Option<V>,
    ) -> Result<Option<V>, Option<V>>
    where
        V: PartialEq,
    {
        if self.value_at(index).as_ref() != expected {
            return Err(new);
        }
        Ok(match new {
            Some(value) => self.store(index, value),
            None => self.erase(index),
        })
    }
}
