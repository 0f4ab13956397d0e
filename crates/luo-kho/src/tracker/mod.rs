//! The set of preserved frames, kept in frames of its own.

use alloc::vec::Vec;

use crate::{FRAME_SIZE, FrameRange, KhoError, Pfn, PhysAddr};

/// What the tracker asks of its backend: single frames that hold its nodes.
pub trait NodeStore {
    /// Takes one zeroed frame for a node.
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

    /// Changes one aligned 8-byte word of a node: one persisted store.
    ///
    /// # Errors
    ///
    /// The backend's.
    fn store(&mut self, at: PhysAddr, word: u64) -> Result<(), KhoError>;
}

/// Why a tree is not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TrackerError {
    /// placeholder
    #[error("placeholder")]
    Placeholder,
}

/// The set.
#[derive(Debug)]
pub struct Tracker {
    root: PhysAddr,
}

#[expect(unused_variables, clippy::todo, reason = "the shape, before the code")]
impl Tracker {
    /// An empty set. Takes one frame for its root.
    pub fn new<S: NodeStore + ?Sized>(store: &mut S) -> Result<Self, KhoError> {
        todo!()
    }
    /// Reads a tree that somebody else wrote: everything is checked, in time and memory bounded by the nodes there can be.
    pub fn open<S: NodeStore + ?Sized>(
        store: &S,
        root: PhysAddr,
        span: FrameRange,
    ) -> Result<Self, KhoError> {
        todo!()
    }
    /// The address of the root node.
    pub fn root(&self) -> PhysAddr {
        self.root
    }
    /// Adds a range; all or nothing.
    pub fn preserve<S: NodeStore + ?Sized>(
        &mut self,
        store: &mut S,
        range: FrameRange,
    ) -> Result<(), KhoError> {
        todo!()
    }
    /// Removes a range; all or nothing.
    pub fn unpreserve<S: NodeStore + ?Sized>(
        &mut self,
        store: &mut S,
        range: FrameRange,
    ) -> Result<(), KhoError> {
        todo!()
    }
    /// Whether all of `range` is in the set.
    pub fn covers<S: NodeStore + ?Sized>(&self, store: &S, range: FrameRange) -> Result<bool, KhoError> {
        todo!()
    }
    /// The first run in the set that meets `range`, clipped to it.
    pub fn first_overlap<S: NodeStore + ?Sized>(
        &self,
        store: &S,
        range: FrameRange,
    ) -> Result<Option<FrameRange>, KhoError> {
        todo!()
    }
    /// Every run, ascending and merged.
    pub fn runs<S: NodeStore + ?Sized>(&self, store: &S) -> Result<Vec<FrameRange>, KhoError> {
        todo!()
    }
    /// The frames that hold the tree itself, in no particular order.
    pub fn nodes<S: NodeStore + ?Sized>(&self, store: &S) -> Result<Vec<Pfn>, KhoError> {
        todo!()
    }
    /// Gives every node back.
    pub fn destroy<S: NodeStore + ?Sized>(self, store: &mut S) {
        todo!()
    }
}
