//! The set of preserved frames, kept in frames of its own.
//!
//! - The **set** is what the next owner finds intact. It is held as **blocks**, powers of two of frames aligned to
//!   their size; a range goes in as the fewest blocks that make it up.
//! - The **tree** is where the blocks are written down: a radix tree of bitmaps with one bit for each block, in the
//!   layout of Linux's `kho-v4` (`key.rs`). Its **nodes** are single frames that a [`NodeStore`] lends.
//!
//! # Equality
//!
//! The same set can be held as different blocks: `0..4` and `4..8` as two of order 2, `0..8` as one of order 3.
//! Blocks are neither merged nor normalized, so that taking out exactly what was put in needs no node. What a set
//! *is* is what [`Tracker::runs`] says; two trees with equal runs are equal.

mod edit;
mod key;
mod node;
#[cfg(test)]
mod tests;
mod verify;
mod walk;

use alloc::vec::Vec;

use self::edit::Edit;
use self::key::KeyRun;
use self::walk::{BlockCounts, Runs, first_clear, first_set, visit_nodes};
use crate::{FRAME_SIZE, FrameRange, KhoError, Pfn, PhysAddr};

/// What the tracker asks of its backend: single frames that hold its nodes.
pub trait NodeStore {
    /// Takes one zeroed frame for a node. Never frame 0: an entry of 0 names nothing.
    ///
    /// # Errors
    ///
    /// [`KhoError::OutOfFrames`].
    fn take(&mut self) -> Result<Pfn, KhoError>;

    /// Gives the frame of a node back. Cannot fail.
    fn give(&mut self, node: Pfn);

    /// The bytes of a node.
    ///
    /// # Errors
    ///
    /// [`KhoError::OutOfRange`] for a frame that does not exist: addresses read from a tree are hostile.
    fn node(&self, node: Pfn) -> Result<&[u8; FRAME_SIZE], KhoError>;

    /// Changes one aligned 8-byte word of a node: one persisted store, little-endian.
    ///
    /// # Errors
    ///
    /// The backend's, with nothing stored. Storing back what stood there before, to undo, may fail only if nothing
    /// that this side does has an effect any more.
    fn store(&mut self, at: PhysAddr, word: u64) -> Result<(), KhoError>;
}

/// Why a tree is not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TrackerError {
    /// An address of a node that is not the start of a frame.
    #[error("the entry at {entry} names {child}, which is not the start of a frame")]
    UnalignedNode {
        /// Where it is named.
        entry: PhysAddr,
        /// What is named.
        child: PhysAddr,
    },
    /// A node in a frame that cannot be named.
    #[error("the entry at {entry} names {node} outside {span}")]
    NodeOutOfSpan {
        /// Where it is named.
        entry: PhysAddr,
        /// What is named.
        node: Pfn,
        /// All that may be named.
        span: FrameRange,
    },
    /// A node with two ways to it: the tree is none.
    #[error("the entry at {entry} names {node}, which another entry names too")]
    NodeTwice {
        /// Where it is named for the second time.
        entry: PhysAddr,
        /// What is named twice.
        node: Pfn,
    },
    /// A key that belongs to no block, or a table entry that only such keys have.
    #[error("the node at {at} holds the key {key:#x}, which belongs to no block")]
    NoSuchKey {
        /// The table entry or the leaf.
        at: PhysAddr,
        /// The key, or the first of the keys below the entry.
        key: u64,
    },
    /// A block of frames that cannot be named.
    #[error("{frames} are preserved but do not all lie in {span}")]
    OutOfSpan {
        /// The frames of neighbouring blocks, of which some lie outside.
        frames: FrameRange,
        /// All that may be named.
        span: FrameRange,
    },
    /// Frames in two blocks.
    #[error("{frames} lie in two preserved blocks")]
    FramesTwice {
        /// Those frames.
        frames: FrameRange,
    },
    /// A node in a preserved frame: whoever reclaims the frame would write into the tree.
    #[error("{node} holds a node of the tree and is preserved as well")]
    NodeInSet {
        /// That frame.
        node: Pfn,
    },
}

/// The set. Its bytes lie in a [`NodeStore`], which every call is given anew; it must be the same store each time.
#[derive(Debug)]
pub struct Tracker {
    root: Pfn,
    blocks: BlockCounts,
}

impl Tracker {
    /// An empty set. Takes one frame for its root.
    ///
    /// # Errors
    ///
    /// [`KhoError::OutOfFrames`], or the store's.
    pub fn new<S: NodeStore + ?Sized>(store: &mut S) -> Result<Self, KhoError> {
        Ok(Self { root: store.take()?, blocks: BlockCounts::EMPTY })
    }

    /// Reads a tree that somebody else wrote. Everything is checked, in time and memory bounded by the nodes that
    /// there really are; nodes and preserved frames lie in `span`.
    ///
    /// # Errors
    ///
    /// [`KhoError::Tracker`] if the tree is damaged, or the store's.
    pub fn open<S: NodeStore + ?Sized>(
        store: &S,
        root: PhysAddr,
        span: FrameRange,
    ) -> Result<Self, KhoError> {
        let frame = root.exact_frame().ok_or(TrackerError::UnalignedNode { entry: root, child: root })?;
        Ok(Self { root: frame, blocks: verify::verify(store, frame, span)? })
    }

    /// The address of the root node.
    pub fn root(&self) -> PhysAddr {
        self.root.addr()
    }

    /// Adds a range; all or nothing.
    ///
    /// # Errors
    ///
    /// [`KhoError::AlreadyPreserved`] if all of it is in the set, [`KhoError::Overlap`] if some is, whichever ranges
    /// it came in with; [`KhoError::OutOfFrames`] if the store has no frame for a node, or the store's.
    pub fn preserve<S: NodeStore + ?Sized>(
        &mut self,
        store: &mut S,
        range: FrameRange,
    ) -> Result<(), KhoError> {
        match self.first_overlap(store, range)? {
            Some(with) if with == range => return Err(KhoError::AlreadyPreserved { range }),
            Some(with) => return Err(KhoError::Overlap { range, with }),
            None => {}
        }
        let mut edit = Edit::begin(store, self.root, &self.blocks);
        for keys in KeyRun::of(range) {
            edit.set(keys)?;
        }
        self.blocks = edit.keep();
        Ok(())
    }

    /// Removes a range; all or nothing.
    ///
    /// Takes no node, and so cannot fail for want of one, if no block reaches across an end of the range: always so
    /// for what one or several calls of [`preserve`](Self::preserve) put in as a whole.
    ///
    /// # Errors
    ///
    /// [`KhoError::NotPreserved`] if some of it is not in the set. [`KhoError::OutOfFrames`] if a block has to be
    /// split and the store has no frame for a node; or the store's.
    pub fn unpreserve<S: NodeStore + ?Sized>(
        &mut self,
        store: &mut S,
        range: FrameRange,
    ) -> Result<(), KhoError> {
        if !self.covers(store, range)? {
            return Err(KhoError::NotPreserved { range });
        }
        let before = self.block_across(store, range.start().get())?;
        let behind = self.block_across(store, range.end())?;
        let head = before.and_then(|block| FrameRange::from_bounds(block.start().get(), range.start().get()));
        let tail = behind.and_then(|block| FrameRange::from_bounds(range.end(), block.end()));

        // The pieces that split blocks leave do not meet the range: what is to be cleared is of orders used before.
        let mut edit = Edit::begin(store, self.root, &self.blocks);
        for keys in head.into_iter().chain(tail).flat_map(KeyRun::of) {
            edit.set(keys)?;
        }
        for order in self.blocks.orders() {
            edit.clear(KeyRun::meeting(range, order))?;
        }
        self.blocks = edit.keep();
        Ok(())
    }

    /// Whether all of `range` is in the set.
    ///
    /// # Errors
    ///
    /// The store's.
    pub fn covers<S: NodeStore + ?Sized>(&self, store: &S, range: FrameRange) -> Result<bool, KhoError> {
        Ok(self.held_up_to(store, range)? == range.end())
    }

    /// The first run in the set that meets `range`, clipped to it.
    ///
    /// # Errors
    ///
    /// The store's.
    pub fn first_overlap<S: NodeStore + ?Sized>(
        &self,
        store: &S,
        range: FrameRange,
    ) -> Result<Option<FrameRange>, KhoError> {
        let mut first: Option<FrameRange> = None;
        for order in self.blocks.orders() {
            let keys = KeyRun::meeting(range, order);
            if let Some(found) = first_set(store, self.root, keys.first, keys.end)? {
                let block = KeyRun { order, first: found, end: found + 1 }.frames().intersection(range);
                first = first.into_iter().chain(block).min();
            }
        }
        let Some(rest) = first.and_then(|run| FrameRange::from_bounds(run.start().get(), range.end())) else {
            return Ok(None);
        };
        Ok(FrameRange::from_bounds(rest.start().get(), self.held_up_to(store, rest)?))
    }

    /// Every run, ascending and merged.
    ///
    /// # Errors
    ///
    /// The store's.
    pub fn runs<S: NodeStore + ?Sized>(&self, store: &S) -> Result<Vec<FrameRange>, KhoError> {
        let mut merged: Vec<FrameRange> = Vec::new();
        let mut runs = Runs::begin(store, self.root, &self.blocks)?;
        while let Some(run) = runs.next()? {
            match merged.last_mut() {
                Some(last) if last.end() == run.start().get() => {
                    *last = FrameRange::from_bounds(last.start().get(), run.end()).unwrap_or(*last);
                }
                _ => merged.push(run),
            }
        }
        Ok(merged)
    }

    /// The frames that hold the tree itself, in no particular order.
    ///
    /// # Errors
    ///
    /// The store's.
    pub fn nodes<S: NodeStore + ?Sized>(&self, store: &S) -> Result<Vec<Pfn>, KhoError> {
        visit_nodes(store, self.root, Err)
    }

    /// Gives every node back. Those below a node that cannot be read any more are not known, and stay.
    pub fn destroy<S: NodeStore + ?Sized>(self, store: &mut S) {
        for node in visit_nodes(store, self.root, |_unreadable| Ok(())).unwrap_or_default() {
            store.give(node);
        }
    }

    /// The end of what the set holds of `range` without a gap from its first frame on.
    fn held_up_to<S: NodeStore + ?Sized>(&self, store: &S, range: FrameRange) -> Result<u64, KhoError> {
        let mut rest = Some(range);
        while let Some(wanted) = rest {
            let mut end = wanted.start().get();
            for order in self.blocks.orders() {
                let keys = KeyRun::meeting(wanted, order);
                let clear = first_clear(store, self.root, keys.first, keys.end)?;
                if clear > keys.first {
                    end = KeyRun { end: clear, ..keys }.frames().end();
                    break;
                }
            }
            if end == wanted.start().get() {
                return Ok(end);
            }
            rest = FrameRange::from_bounds(end, range.end());
        }
        Ok(range.end())
    }

    /// The block that holds both the frame before `boundary` and the one at it. None reaches across frame 0, where
    /// blocks of every order may begin.
    fn block_across<S: NodeStore + ?Sized>(
        &self,
        store: &S,
        boundary: u64,
    ) -> Result<Option<FrameRange>, KhoError> {
        let Some(frame) = Pfn::new(boundary) else { return Ok(None) };
        for order in self.blocks.orders().filter(|&order| !frame.is_aligned(order)) {
            let keys = KeyRun::meeting(frame.as_range(), order);
            if first_clear(store, self.root, keys.first, keys.end)? == keys.end {
                return Ok(Some(keys.frames()));
            }
        }
        Ok(None)
    }
}
