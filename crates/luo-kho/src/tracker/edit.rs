//! An edit: a change of the tree that is kept as a whole or leaves no trace.
//!
//! Every store is logged with the word that it replaces. Dropping an edit writes those words back, last one first,
//! and gives back the nodes that it took; nodes that it emptied are given back only when it is kept. So undoing
//! needs no memory from the store, and cannot fail unless the store itself is dead.

use alloc::vec::Vec;

use super::NodeStore;
use super::key::{KeyRun, ROOT_LEVEL, index_end, index_in, node_end};
use super::node::{Node, word_addr, words_of};
use super::walk::{BlockCounts, first_set};
use crate::{KhoError, Pfn, PhysAddr};

/// The nodes on the way from the root to one leaf, each table with the entry that was taken. The leaf stands apart.
type Path = [(Pfn, usize); ROOT_LEVEL as usize];

#[must_use = "an edit that is dropped is undone"]
pub(super) struct Edit<'s, S: NodeStore + ?Sized> {
    store: &'s mut S,
    root: Pfn,
    blocks: BlockCounts,
    /// What every store replaced, in the order of the stores.
    replaced: Vec<(PhysAddr, u64)>,
    taken: Vec<Pfn>,
    emptied: Vec<Pfn>,
}

impl<'s, S: NodeStore + ?Sized> Edit<'s, S> {
    pub(super) fn begin(store: &'s mut S, root: Pfn, blocks: &BlockCounts) -> Self {
        Self { store, root, blocks: *blocks, replaced: Vec::new(), taken: Vec::new(), emptied: Vec::new() }
    }

    /// Sets keys that are clear.
    ///
    /// # Errors
    ///
    /// The store's. The edit is then only good for dropping.
    pub(super) fn set(&mut self, keys: KeyRun) -> Result<(), KhoError> {
        let mut at = keys.first;
        while at < keys.end {
            let leaf = self.leaf_for(at)?;
            for (word, mask) in words_of(index_in(at, 0), index_end(at, keys.end, 0)) {
                let old = Node::read(self.store, leaf)?.word(word);
                self.replace(leaf, word, old, old | mask)?;
            }
            at = node_end(at, 0);
        }
        self.blocks.add(keys.order, keys.len());
        Ok(())
    }

    /// Clears those of `keys` that are set, and takes nodes without a bit out of the tree. Takes no node.
    ///
    /// # Errors
    ///
    /// The store's. The edit is then only good for dropping.
    pub(super) fn clear(&mut self, keys: KeyRun) -> Result<(), KhoError> {
        let mut at = keys.first;
        while let Some(key) = first_set(self.store, self.root, at, keys.end)? {
            let (path, leaf) = self.path_to(key)?;
            let mut cleared = 0;
            for (word, mask) in words_of(index_in(key, 0), index_end(key, keys.end, 0)) {
                let old = Node::read(self.store, leaf)?.word(word);
                cleared += u64::from((old & mask).count_ones());
                self.replace(leaf, word, old, old & !mask)?;
            }
            self.blocks.sub(keys.order, cleared);
            self.prune(&path, leaf)?;
            at = node_end(key, 0);
        }
        Ok(())
    }

    /// Makes the edit last. The counts are those of the tree as it is now.
    pub(super) fn keep(mut self) -> BlockCounts {
        self.replaced.clear();
        self.taken.clear();
        for node in core::mem::take(&mut self.emptied) {
            self.store.give(node);
        }
        self.blocks
    }

    /// The leaf that holds a key's bit; makes the nodes on the way there.
    fn leaf_for(&mut self, key: u64) -> Result<Pfn, KhoError> {
        let mut node = self.root;
        for level in (1..=ROOT_LEVEL).rev() {
            let index = index_in(key, level);
            if let Some(child) = Node::read(self.store, node)?.child(index)? {
                node = child;
                continue;
            }
            let child = self.store.take()?;
            self.taken.push(child);
            assert!(child != Pfn::ZERO, "a node store gave frame 0, which no entry can name");
            self.replace(node, index, 0, child.addr().get())?;
            node = child;
        }
        Ok(node)
    }

    /// The way to a key that is set.
    fn path_to(&self, key: u64) -> Result<(Path, Pfn), KhoError> {
        let mut node = self.root;
        let mut path = [(node, 0); ROOT_LEVEL as usize];
        for (level, step) in (1..=ROOT_LEVEL).rev().zip(&mut path) {
            let index = index_in(key, level);
            *step = (node, index);
            let Some(child) = Node::read(self.store, node)?.child(index)? else {
                unreachable!("a key that was found set has a leaf, and the store is borrowed since")
            };
            node = child;
        }
        Ok((path, node))
    }

    /// Takes the leaf out of the tree if it is empty, and each table above that this empties. The root stays.
    fn prune(&mut self, path: &Path, leaf: Pfn) -> Result<(), KhoError> {
        let mut node = leaf;
        for &(parent, index) in path.iter().rev() {
            if !Node::read(self.store, node)?.is_empty() {
                break;
            }
            self.replace(parent, index, node.addr().get(), 0)?;
            self.emptied.push(node);
            node = parent;
        }
        Ok(())
    }

    fn replace(&mut self, node: Pfn, word: usize, old: u64, new: u64) -> Result<(), KhoError> {
        if old != new {
            let at = word_addr(node, word);
            self.store.store(at, new)?;
            self.replaced.push((at, old));
        }
        Ok(())
    }
}

impl<S: NodeStore + ?Sized> Drop for Edit<'_, S> {
    fn drop(&mut self) {
        for (at, old) in self.replaced.drain(..).rev() {
            // Fails only in a store that is dead, whose bytes nobody will read again.
            let _dead = self.store.store(at, old);
        }
        for node in self.taken.drain(..).rev() {
            self.store.give(node);
        }
    }
}
