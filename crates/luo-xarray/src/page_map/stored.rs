//! A page map in preserved frames.

use alloc::vec::Vec;

use luo_kho::{ByteLen, FrameRange, Memory, Name, PreservedArray, StoreError};

use super::{EncodedPageMap, PageMapError, PageMapView};
use crate::serial::store_slices;

/// A page map in preserved frames, named by one number.
#[derive(Debug)]
pub struct SerializedPageMap {
    bytes: PreservedArray<u8>,
}

impl SerializedPageMap {
    /// Writes the bytes into fresh preserved frames.
    ///
    /// # Errors
    ///
    /// The memory's; nothing stays allocated then.
    pub fn store<M: Memory + ?Sized>(memory: &mut M, encoded: &EncodedPageMap) -> Result<Self, StoreError> {
        Ok(Self { bytes: store_slices(memory, &encoded.slices())? })
    }

    /// Finds what somebody else wrote. Claims nothing; checks the chain of frames, headers and directories.
    ///
    /// # Errors
    ///
    /// The memory's, or what the bytes say that cannot be.
    pub fn open<M: Memory + ?Sized>(memory: &M, name: Name) -> Result<Self, PageMapError> {
        let map = Self { bytes: PreservedArray::open(memory, name)? };
        map.view(memory)?;
        Ok(map)
    }

    /// [`open`](Self::open), and reclaims every frame of the map itself. All or nothing. The frames that the map
    /// names are the file's, and stay as they are.
    ///
    /// # Errors
    ///
    /// The memory's, or what the bytes say that cannot be.
    pub fn restore<M: Memory + ?Sized>(memory: &mut M, name: Name) -> Result<Self, PageMapError> {
        Self::open(memory, name)?;
        Ok(Self { bytes: PreservedArray::restore(memory, name)? })
    }

    /// The map, to be read in place.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn view<'m, M: Memory + ?Sized>(&self, memory: &'m M) -> Result<PageMapView<'m>, PageMapError> {
        PageMapView::open(&self.bytes.pieces(memory)?)
    }

    /// Checks every byte. Reading a verified map cannot fail.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong.
    pub fn verify<M: Memory + ?Sized>(&self, memory: &M) -> Result<(), PageMapError> {
        self.bytes.verify(memory)?;
        self.view(memory)?.verify()
    }

    /// What to call it in other structures.
    pub fn name(&self) -> Name {
        self.bytes.name()
    }

    /// Bytes of the map, without the frames' tails.
    pub fn len(&self) -> ByteLen {
        self.bytes.bytes()
    }

    /// Never: even an empty map has a header.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Every frame that the map itself takes.
    pub fn frames(&self) -> Vec<FrameRange> {
        self.bytes.frames()
    }

    /// Unpreserves and frees every frame of the map itself.
    ///
    /// # Errors
    ///
    /// The memory's.
    pub fn free<M: Memory + ?Sized>(self, memory: &mut M) -> Result<(), StoreError> {
        self.bytes.free(memory)
    }
}
