//! One object in preserved memory.

use core::num::NonZeroU64;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{FrameRange, Memory, PhysAddr, StoreError};

/// The name of a structure in preserved memory: the address of its first frame, as a number that can be written
/// down. Never 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(NonZeroU64);

/// What can be kept in a [`PreservedBox`]: plain bytes with a magic and a version of their own.
pub trait Record: FromBytes + IntoBytes + Immutable + KnownLayout + Copy {
    /// What messages call it.
    const WHAT: &'static str;
    /// Four bytes by which it is known.
    const MAGIC: u32;
    /// The layout's version. A layout that changed under the same number is a bug.
    const VERSION: u16;
}

/// One `T` in a frame of its own.
#[derive(Debug)]
pub struct PreservedBox<T> {
    frame: FrameRange,
    value: T,
}

#[expect(unused_variables, clippy::todo, clippy::missing_errors_doc, reason = "the shape, before the code")]
impl<T: Record> PreservedBox<T> {
    /// Allocates, preserves and writes.
    pub fn new<M: Memory + ?Sized>(memory: &mut M, value: T) -> Result<Self, StoreError> {
        todo!()
    }
    /// Writes another value into the same frame.
    pub fn set<M: Memory + ?Sized>(&mut self, memory: &mut M, value: T) -> Result<(), StoreError> {
        todo!()
    }
    /// Reads what somebody else wrote; claims nothing.
    pub fn open<M: Memory + ?Sized>(memory: &M, name: Name) -> Result<Self, StoreError> {
        todo!()
    }
    /// Reads and reclaims.
    pub fn restore<M: Memory + ?Sized>(memory: &mut M, name: Name) -> Result<Self, StoreError> {
        todo!()
    }
    /// The value.
    pub fn get(&self) -> &T {
        &self.value
    }
    /// What to call it in other structures.
    pub fn name(&self) -> Name {
        todo!()
    }
    /// Unpreserves and frees.
    pub fn free<M: Memory + ?Sized>(self, memory: &mut M) -> Result<(), StoreError> {
        todo!()
    }
}

impl Name {
    /// `None` for 0 and for addresses inside a frame.
    pub fn new(number: u64) -> Option<Self> {
        PhysAddr::new(number).exact_frame()?;
        NonZeroU64::new(number).map(Self)
    }

    /// The number.
    pub const fn get(self) -> u64 {
        self.0.get()
    }

    /// The number, for [`Kho::publish`](crate::Kho::publish).
    pub const fn as_root(self) -> crate::Root {
        self.0
    }
}
