//! An array of any size in preserved memory, built from frames that need not be neighbours.
//!
//! - The **items** are plain bytes, one behind the other, and may reach across the edge of a frame.
//! - The **chain** is one or more frames that name the frames of the items; its first is the **head**, whose address
//!   is the array's name.
//! - **Sealing** writes the checksum of the items into the head. The chain has checksums of its own.

mod chain;
mod extents;
mod stretch;
#[cfg(test)]
mod tests;

use alloc::vec::Vec;
use core::marker::PhantomData;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use self::chain::{Chain, Totals};
use self::extents::Extents;
use crate::checksum;
use crate::undo::{Claiming, Taking, release};
use crate::{ByteLen, FrameCount, FrameRange, KhoError, Memory, Name, Pfn, StoreError};

/// An array of `T` in preserved memory, named by one number.
///
/// Its length is fixed. Dropping it changes nothing in memory: an array lives until [`free`](Self::free).
#[derive(Debug)]
pub struct PreservedArray<T> {
    name: Name,
    len: u64,
    extents: Extents,
    chunks: Vec<Pfn>,
    /// The checksum in the head; `None` if there is none, or items were written since.
    sum: Option<u32>,
    items: PhantomData<T>,
}

impl<T: FromBytes + IntoBytes + Immutable + KnownLayout> PreservedArray<T> {
    const ITEM_SIZE: u64 = {
        assert!(size_of::<T>() > 0, "items without bytes need no array");
        ByteLen::of(size_of::<T>()).get()
    };

    /// Allocates and preserves zeroed frames for `len` items, and the chain that names them. All or nothing.
    ///
    /// The frames of the items are not touched. The items are zeros, and not sealed.
    ///
    /// # Errors
    ///
    /// [`StoreError::BadLength`] for no items or more than 2^64 bytes of them; those of [`Memory::alloc`],
    /// [`Memory::preserve`] and [`Memory::write`].
    pub fn alloc<M: Memory + ?Sized>(memory: &mut M, len: u64) -> Result<Self, StoreError> {
        let bytes = len.checked_mul(Self::ITEM_SIZE).map(ByteLen::new);
        let bytes = bytes.ok_or(StoreError::BadLength {
            len: ByteLen::new(u64::MAX),
            why: "its bytes cannot be counted in 64 bits",
        })?;
        if len == 0 {
            return Err(StoreError::BadLength { len: bytes, why: "it has no items" });
        }
        let mut left = bytes.frames();
        if left > memory.span().count() {
            return Err(KhoError::OutOfFrames { want: left }.into());
        }

        let mut taking = Taking::begin(memory);
        let name = Name::of(taking.take_named()?);
        let mut extents = Extents::default();
        while left > FrameCount::ZERO {
            let range = taking.take(left)?;
            extents.push(range);
            left = left.checked_sub(range.count()).unwrap_or(FrameCount::ZERO);
        }
        let entries = extents.entry_count();
        let mut chunks = Vec::new();
        for _ in 0..chain::chunks_for(entries) {
            chunks.push(taking.take_named()?);
        }
        let totals = Totals {
            items: len,
            item_size: Self::ITEM_SIZE,
            sum: None,
            frames: extents.frames(),
            entries,
            chunks: chunks.len() as u64,
            first_chunk: chunks.first().copied().map(Name::of),
        };
        write_chain(taking.memory(), name, &totals, &chunks, &extents)?;
        taking.keep();
        Ok(Self { name, len, extents, chunks, sum: None, items: PhantomData })
    }

    /// Writes items from `index` on. Any order, any number of times, until the next [`seal`](Self::seal).
    ///
    /// # Errors
    ///
    /// [`StoreError::OutOfBounds`]; those of [`Memory::write`], where items before the failing one stay written.
    pub fn write<M: Memory + ?Sized>(
        &mut self,
        memory: &mut M,
        index: u64,
        items: &[T],
    ) -> Result<(), StoreError> {
        let (from, to) = self.bounds(index, items)?;
        let mut rest = items.as_bytes();
        self.sum = None;
        for stretch in self.extents.stretches(from, to) {
            let (bytes, behind) = rest.split_at(stretch.len.as_usize().min(rest.len()));
            stretch::write(memory, stretch.at, bytes)?;
            rest = behind;
        }
        Ok(())
    }

    /// Writes the checksums. May be called again after further writes. Reads all items.
    ///
    /// # Errors
    ///
    /// Those of [`Memory::read`] and [`Memory::write`]; nothing has changed then. [`StoreError::Bad`] if somebody
    /// wrote over the head.
    pub fn seal<M: Memory + ?Sized>(&mut self, memory: &mut M) -> Result<(), StoreError> {
        let sum = self.compute_sum(memory)?;
        let head = chain::with_sum(memory, self.name, sum)?;
        memory.write(self.name.addr(), &head)?;
        self.sum = Some(sum);
        Ok(())
    }

    /// Reads the chain that somebody else wrote, as hostile bytes, in time and memory bounded by the frames that it
    /// really has. Claims nothing; does not look at the items.
    ///
    /// # Errors
    ///
    /// [`StoreError::Bad`] if the bytes are not those of an array of such items; [`StoreError::Kho`] if frames that
    /// they name do not exist or are not preserved, or the memory's.
    pub fn open<M: Memory + ?Sized>(memory: &M, name: Name) -> Result<Self, StoreError> {
        let Chain { totals, chunks, extents } = chain::read(memory, name, Self::ITEM_SIZE)?;
        Ok(Self { name, len: totals.items, extents, chunks, sum: totals.sum, items: PhantomData })
    }

    /// Compares the items with their checksum. Reads all items.
    ///
    /// # Errors
    ///
    /// [`StoreError::Bad`] if they do not agree, or the array was not sealed since items were written; those of
    /// [`Memory::read`].
    pub fn verify<M: Memory + ?Sized>(&self, memory: &M) -> Result<(), StoreError> {
        let found = self.sum.ok_or_else(|| chain::unsealed(self.name))?;
        let computed = self.compute_sum(memory)?;
        if found == computed { Ok(()) } else { Err(chain::wrong_sum(self.name, found, computed).into()) }
    }

    /// [`open`](Self::open), and reclaims every frame. All or nothing.
    ///
    /// # Errors
    ///
    /// Those of [`open`](Self::open) and of [`Memory::reclaim`].
    pub fn restore<M: Memory + ?Sized>(memory: &mut M, name: Name) -> Result<Self, StoreError> {
        let this = Self::open(memory, name)?;
        let mut claiming = Claiming::begin(memory);
        for range in this.all_frames() {
            claiming.claim(range)?;
        }
        claiming.keep();
        Ok(this)
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
        ByteLen::new(self.len * Self::ITEM_SIZE) // both ways to an array have checked that this fits
    }

    /// Copies items from `index` on into `items`.
    ///
    /// # Errors
    ///
    /// [`StoreError::OutOfBounds`]; those of [`Memory::read`], where some of `items` may have been copied.
    pub fn read<M: Memory + ?Sized>(
        &self,
        memory: &M,
        index: u64,
        items: &mut [T],
    ) -> Result<(), StoreError> {
        let (from, to) = self.bounds(index, items)?;
        let mut rest = items.as_mut_bytes();
        for piece in stretch::pieces(memory, self.extents.stretches(from, to)) {
            let piece = piece?;
            let (front, behind) = rest.split_at_mut(piece.len().min(rest.len()));
            front.copy_from_slice(piece.get(..front.len()).unwrap_or_default());
            rest = behind;
        }
        Ok(())
    }

    /// All items.
    ///
    /// # Errors
    ///
    /// [`StoreError::BadLength`] if this program has no memory for so many; those of [`read`](Self::read).
    pub fn to_vec<M: Memory + ?Sized>(&self, memory: &M) -> Result<Vec<T>, StoreError> {
        let len = ByteLen::new(self.len).as_usize();
        let mut items = Vec::new();
        items.try_reserve_exact(len).map_err(|_| StoreError::BadLength {
            len: self.bytes(),
            why: "this program has no memory for a copy",
        })?;
        items.resize_with(len, T::new_zeroed);
        self.read(memory, 0, &mut items)?;
        Ok(items)
    }

    /// The bytes of all items in order, in pieces as long as the backend lends them.
    ///
    /// # Errors
    ///
    /// Those of [`Memory::read`].
    pub fn pieces<'m, M: Memory + ?Sized>(&self, memory: &'m M) -> Result<Vec<&'m [u8]>, StoreError> {
        Ok(self.byte_pieces(memory).collect::<Result<_, _>>()?)
    }

    /// The frames that hold items, in order of the items.
    pub fn extents(&self) -> &[FrameRange] {
        self.extents.ranges()
    }

    /// Every frame that it takes, the chain's own included.
    pub fn frames(&self) -> Vec<FrameRange> {
        self.all_frames().collect()
    }

    /// Unpreserves and frees every frame.
    ///
    /// # Errors
    ///
    /// The first error of [`Memory::unpreserve`] and [`Memory::free`]. The others are given back nevertheless; those
    /// whose turn failed stay as the failing call left them, and the error names the first.
    pub fn free<M: Memory + ?Sized>(self, memory: &mut M) -> Result<(), StoreError> {
        let mut result = Ok(());
        for range in self.all_frames() {
            result = result.and(release(memory, range));
        }
        Ok(result?)
    }

    fn all_frames(&self) -> impl Iterator<Item = FrameRange> {
        let chain = [self.name.frame()].into_iter().chain(self.chunks.iter().copied());
        chain.map(Pfn::as_range).chain(self.extents.ranges().iter().copied())
    }

    fn byte_pieces<'m, M: Memory + ?Sized>(
        &self,
        memory: &'m M,
    ) -> impl Iterator<Item = Result<&'m [u8], KhoError>> {
        stretch::pieces(memory, self.extents.stretches(0, self.bytes().get()))
    }

    fn compute_sum<M: Memory + ?Sized>(&self, memory: &M) -> Result<u32, KhoError> {
        self.byte_pieces(memory).try_fold(0, |sum, piece| Ok(checksum::append(sum, piece?)))
    }

    /// The bytes that items from `index` on take.
    fn bounds(&self, index: u64, items: &[T]) -> Result<(u64, u64), StoreError> {
        let from = index.saturating_mul(Self::ITEM_SIZE);
        let to = from.saturating_add(ByteLen::of(size_of_val(items)).get());
        if index > self.len || to > self.bytes().get() {
            return Err(StoreError::OutOfBounds { from, to, len: self.bytes() });
        }
        Ok((from, to))
    }
}

impl PreservedArray<u8> {
    /// An array of these bytes, sealed. All or nothing.
    ///
    /// # Errors
    ///
    /// Those of [`alloc`](Self::alloc), [`write`](Self::write) and [`seal`](Self::seal).
    pub fn from_bytes<M: Memory + ?Sized>(memory: &mut M, bytes: &[u8]) -> Result<Self, StoreError> {
        let mut this = Self::alloc(memory, ByteLen::of(bytes.len()).get())?;
        match this.write(memory, 0, bytes).and_then(|()| this.seal(memory)) {
            Ok(()) => Ok(this),
            Err(error) => {
                let _dead = this.free(memory); // gives back what was just taken, which fails only in a dead memory
                Err(error)
            }
        }
    }
}

/// Writes the chunks and then the head.
fn write_chain<M: Memory + ?Sized>(
    memory: &mut M,
    name: Name,
    totals: &Totals,
    chunks: &[Pfn],
    extents: &Extents,
) -> Result<(), KhoError> {
    let mut entries = extents.entries();
    let head = totals.encode_head(&mut entries);
    let nexts = chunks.iter().skip(1).map(|&next| Some(Name::of(next))).chain([None]);
    for ((position, &chunk), next) in (0..).zip(chunks).zip(nexts) {
        memory.write(chunk.addr(), &chain::encode_chunk(name, position, next, &mut entries))?;
    }
    memory.write(name.addr(), &head)
}
