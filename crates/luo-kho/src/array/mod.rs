//! An array of any size in preserved memory, built from frames that need not be neighbours.

use alloc::vec::Vec;
use core::marker::PhantomData;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{ByteLen, FrameRange, Memory, Name, StoreError};

/// An array of `T` in preserved memory, named by one number.
#[derive(Debug)]
pub struct PreservedArray<T> {
    name: Name,
    len: u64,
    extents: Vec<FrameRange>,
    items: PhantomData<T>,
}

#[expect(unused_variables, clippy::todo, clippy::missing_errors_doc, reason = "the shape, before the code")]
impl<T: FromBytes + IntoBytes + Immutable + KnownLayout> PreservedArray<T> {
    /// Allocates and preserves zeroed frames for `len` items, and the chain that names them. All or nothing.
    pub fn alloc<M: Memory + ?Sized>(memory: &mut M, len: u64) -> Result<Self, StoreError> {
        todo!()
    }
    /// Writes items from `index` on. Any order, any number of times, until the next `seal`.
    pub fn write<M: Memory + ?Sized>(
        &mut self,
        memory: &mut M,
        index: u64,
        items: &[T],
    ) -> Result<(), StoreError> {
        todo!()
    }
    /// Writes the checksums. May be called again after further writes.
    pub fn seal<M: Memory + ?Sized>(&mut self, memory: &mut M) -> Result<(), StoreError> {
        todo!()
    }
    /// Reads the chain that somebody else wrote, as hostile bytes, in time and memory bounded by the frames that it
    /// really has. Claims nothing; does not look at the items.
    pub fn open<M: Memory + ?Sized>(memory: &M, name: Name) -> Result<Self, StoreError> {
        todo!()
    }
    /// Compares the items with their checksum.
    pub fn verify<M: Memory + ?Sized>(&self, memory: &M) -> Result<(), StoreError> {
        todo!()
    }
    /// `open`, and reclaims every frame. All or nothing.
    pub fn restore<M: Memory + ?Sized>(memory: &mut M, name: Name) -> Result<Self, StoreError> {
        todo!()
    }
    /// What to call it in other structures.
    pub fn name(&self) -> Name {
        self.name
    }
    /// Items.
    pub fn len(&self) -> u64 {
        self.len
    }
    /// Never: an array without items cannot be made.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
    /// Bytes in the items.
    pub fn bytes(&self) -> ByteLen {
        todo!()
    }
    /// Copies items from `index` on into `items`.
    pub fn read<M: Memory + ?Sized>(
        &self,
        memory: &M,
        index: u64,
        items: &mut [T],
    ) -> Result<(), StoreError> {
        todo!()
    }
    /// The bytes of all items in order, in pieces as long as the backend lends them.
    pub fn pieces<'m, M: Memory + ?Sized>(&self, memory: &'m M) -> Result<Vec<&'m [u8]>, StoreError> {
        todo!()
    }
    /// The frames that hold items, in order of the items.
    pub fn extents(&self) -> &[FrameRange] {
        &self.extents
    }
    /// Every frame that it takes, the chain's own included.
    pub fn frames(&self) -> Vec<FrameRange> {
        todo!()
    }
    /// Unpreserves and frees every frame.
    pub fn free<M: Memory + ?Sized>(self, memory: &mut M) -> Result<(), StoreError> {
        todo!()
    }
}
