//! One object in preserved memory.
//!
//! - A **record** is plain bytes with a magic and a version of their own.
//! - A **preserved box** is one record in a frame of its own, behind the header that every block has: the record
//!   begins at byte 16. Magic, version, length and checksum stand in the header.
//! - A **name** is what other structures call a box or an array: the address of its first frame.

use alloc::vec::Vec;
use core::num::NonZeroU64;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::block::{BlockKind, HEADER_SIZE, preserved_frame};
use crate::undo::{Claiming, Taking, release};
use crate::{FRAME_SIZE, Memory, Pfn, PhysAddr, StoreError};

/// The name of a structure in preserved memory: the address of its first frame, as a number that can be written
/// down. Never 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(NonZeroU64);

/// What can be kept in a [`PreservedBox`]: plain bytes with a magic and a version of their own.
///
/// At most 4,080 bytes, a frame without the block's header; a larger record does not compile. Bytes cross as they
/// are: integers are little-endian types.
pub trait Record: FromBytes + IntoBytes + Immutable + KnownLayout + Copy {
    /// What messages call it.
    const WHAT: &'static str;
    /// Four bytes by which it is known.
    const MAGIC: u32;
    /// The layout's version. A layout that changed under the same number is a bug.
    const VERSION: u16;
}

/// One `T` in a frame of its own.
///
/// Dropping it changes nothing in memory: a box lives until [`free`](Self::free).
#[derive(Debug)]
pub struct PreservedBox<T> {
    name: Name,
    value: T,
}

impl<T: Record> PreservedBox<T> {
    const KIND: BlockKind = {
        assert!(HEADER_SIZE + size_of::<T>() <= FRAME_SIZE, "a record does not fit in a frame");
        BlockKind { what: T::WHAT, magic: T::MAGIC, version: T::VERSION }
    };

    /// Allocates, preserves and writes. All or nothing.
    ///
    /// # Errors
    ///
    /// Those of [`Memory::alloc`], [`Memory::preserve`] and [`Memory::write`].
    pub fn new<M: Memory + ?Sized>(memory: &mut M, value: T) -> Result<Self, StoreError> {
        let mut taking = Taking::begin(memory);
        let name = Name::of(taking.take_named()?);
        taking.memory().write(name.addr(), &Self::encode(&value))?;
        taking.keep();
        Ok(Self { name, value })
    }

    /// Writes another value into the same frame. A crash half way leaves a box that is refused.
    ///
    /// # Errors
    ///
    /// Those of [`Memory::write`]; the value is then the old one.
    pub fn set<M: Memory + ?Sized>(&mut self, memory: &mut M, value: T) -> Result<(), StoreError> {
        memory.write(self.name.addr(), &Self::encode(&value))?;
        self.value = value;
        Ok(())
    }

    /// Reads what somebody else wrote; claims nothing.
    ///
    /// # Errors
    ///
    /// [`StoreError::Bad`] if the bytes are not those of a box of this record; [`StoreError::Kho`] if the frame does
    /// not exist or is not preserved, or the memory's.
    pub fn open<M: Memory + ?Sized>(memory: &M, name: Name) -> Result<Self, StoreError> {
        let frame = preserved_frame(memory, name.frame())?;
        let block = Self::KIND.open(frame, name.addr())?;
        let record = block.get(HEADER_SIZE..).unwrap_or_default();
        let value = T::read_from_bytes(record)
            .map_err(|_| Self::KIND.impossible(name.addr(), "its length is not that of the record"))?;
        Ok(Self { name, value })
    }

    /// Reads and reclaims.
    ///
    /// # Errors
    ///
    /// Those of [`open`](Self::open) and of [`Memory::reclaim`].
    pub fn restore<M: Memory + ?Sized>(memory: &mut M, name: Name) -> Result<Self, StoreError> {
        let this = Self::open(memory, name)?;
        let mut claiming = Claiming::begin(memory);
        claiming.claim(name.frame().as_range())?;
        claiming.keep();
        Ok(this)
    }

    /// The value.
    pub fn get(&self) -> &T {
        &self.value
    }

    /// What to call it in other structures.
    pub fn name(&self) -> Name {
        self.name
    }

    /// Unpreserves and frees.
    ///
    /// # Errors
    ///
    /// Those of [`Memory::unpreserve`], after which the box can be opened again by its name; those of
    /// [`Memory::free`], after which the frame is allocated but no longer preserved.
    pub fn free<M: Memory + ?Sized>(self, memory: &mut M) -> Result<(), StoreError> {
        Ok(release(memory, self.name.frame().as_range())?)
    }

    /// Header and record, and zeros up to a whole word.
    fn encode(value: &T) -> Vec<u8> {
        let mut block = alloc::vec![0; HEADER_SIZE];
        block.extend_from_slice(value.as_bytes());
        Self::KIND.seal(&mut block);
        block.resize(block.len().next_multiple_of(8), 0);
        block
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

    /// The address of the structure's first byte.
    pub(crate) const fn addr(self) -> PhysAddr {
        PhysAddr::new(self.0.get())
    }

    /// The structure's first frame.
    pub(crate) const fn frame(self) -> Pfn {
        self.addr().frame()
    }

    /// The name of what begins in `frame`.
    ///
    /// # Panics
    ///
    /// For frame 0.
    pub(crate) const fn of(frame: Pfn) -> Self {
        match NonZeroU64::new(frame.addr().get()) {
            Some(number) => Self(number),
            None => panic!("frame 0 has no name"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bare::{Bare, World};
    use crate::{BadBlock, FRAME_BYTES, KhoError};
    use zerocopy::little_endian::{U16, U32};

    /// Its 10 bytes are not whole words.
    #[derive(Clone, Copy, Debug, PartialEq, FromBytes, IntoBytes, Immutable, KnownLayout)]
    #[repr(C)]
    struct Point {
        x: U32,
        y: U32,
        z: U16,
    }

    impl Record for Point {
        const WHAT: &'static str = "point";
        const MAGIC: u32 = 0x504F_494E;
        const VERSION: u16 = 3;
    }

    #[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
    #[repr(C)]
    struct LaterPoint(Point);

    impl Record for LaterPoint {
        const WHAT: &'static str = "point";
        const MAGIC: u32 = Point::MAGIC;
        const VERSION: u16 = 4;
    }

    #[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
    #[repr(C)]
    struct Full([u8; FRAME_SIZE - HEADER_SIZE]);

    impl Record for Full {
        const WHAT: &'static str = "full frame";
        const MAGIC: u32 = 1;
        const VERSION: u16 = 1;
    }

    fn point(x: u32) -> Point {
        Point { x: x.into(), y: 5.into(), z: 6.into() }
    }

    #[test]
    fn a_value_crosses_and_its_frame_comes_back() {
        let mut memory = Bare::new(16, 8, 0);
        let mut first = PreservedBox::new(&mut memory, point(1)).unwrap();
        let full = PreservedBox::new(&mut memory, Full([7; _])).unwrap();
        first.set(&mut memory, point(2)).unwrap();
        memory.hand_over();
        assert_eq!(PreservedBox::<Point>::open(&memory, first.name()).unwrap().get(), &point(2));
        let restored = PreservedBox::<Point>::restore(&mut memory, first.name()).unwrap();
        let again = PreservedBox::<Point>::restore(&mut memory, first.name()).unwrap_err();
        assert!(matches!(again, StoreError::Kho(KhoError::AlreadyReclaimed { .. })));
        restored.free(&mut memory).unwrap();
        let full = PreservedBox::<Full>::restore(&mut memory, full.name()).unwrap();
        assert_eq!(full.get().0, [7; FRAME_SIZE - HEADER_SIZE]);
        full.free(&mut memory).unwrap();
        assert_eq!(memory.world(), World::default());
    }

    #[test]
    fn bytes_of_something_else_are_not_believed() {
        let mut memory = Bare::new(16, 8, 0);
        let name = PreservedBox::new(&mut memory, point(1)).unwrap().name();
        let bad = |error| match error {
            StoreError::Bad(bad) => bad,
            StoreError::Kho(error) => panic!("{error}"),
            error => panic!("{error}"),
        };
        let magic = bad(PreservedBox::<Full>::open(&memory, name).unwrap_err());
        assert!(matches!(magic, BadBlock::Magic { found: Point::MAGIC, .. }));
        let version = bad(PreservedBox::<LaterPoint>::open(&memory, name).unwrap_err());
        assert!(matches!(version, BadBlock::Version { found: 3, .. }));
        let longer = BlockKind { what: "", magic: Point::MAGIC, version: 3 };
        let mut block = [0; HEADER_SIZE + 11];
        longer.seal(&mut block);
        memory.poke(name.addr(), &block);
        let length = bad(PreservedBox::<Point>::open(&memory, name).unwrap_err());
        assert!(matches!(length, BadBlock::Impossible { .. }));
    }

    #[test]
    fn frames_that_nobody_promised_are_not_read() {
        let mut memory = Bare::new(16, 8, 0);
        let name = PreservedBox::new(&mut memory, point(1)).unwrap().name();
        let open = |number| PreservedBox::<Point>::open(&memory, Name::new(number).unwrap()).unwrap_err();
        assert!(matches!(open(name.get() + FRAME_BYTES), StoreError::Kho(KhoError::NotPreserved { .. })));
        assert!(matches!(open(1 << 63), StoreError::Kho(KhoError::OutOfRange { .. })));
    }

    #[test]
    fn a_failing_call_leaves_no_trace() {
        for nth in 0..3 {
            let mut memory = Bare::new(16, 8, 0);
            memory.alloc(crate::FrameCount::ONE).unwrap();
            let before = memory.world();
            memory.fail_nth(nth);
            assert!(PreservedBox::new(&mut memory, point(1)).is_err());
            assert_eq!(memory.world(), before);

            memory.fail_none();
            let mut boxed = PreservedBox::new(&mut memory, point(1)).unwrap();
            let before = memory.world();
            memory.fail_nth(0);
            assert!(boxed.set(&mut memory, point(2)).is_err());
            assert_eq!((boxed.get(), memory.world()), (&point(1), before));

            memory.hand_over();
            let before = memory.world();
            memory.fail_nth(nth % 2);
            assert!(PreservedBox::<Point>::restore(&mut memory, boxed.name()).is_err());
            assert_eq!(memory.world(), before);
        }
    }
}
