//! A serialized map in preserved frames.

use alloc::vec::Vec;
use luo_kho::{ByteLen, FrameRange, Memory, Name, PreservedArray, StoreError};

use super::{Encoded, SerialError, SerialView};

/// A serialized map in preserved frames, named by one number.
///
/// Its bytes are a [`PreservedArray`]; frames need not be neighbours.
#[derive(Debug)]
pub struct SerializedXArray {
    bytes: PreservedArray<u8>,
}

impl SerializedXArray {
    /// Writes the bytes into fresh preserved frames.
    ///
    /// # Errors
    ///
    /// The memory's; nothing stays allocated then.
    pub fn store<M: Memory + ?Sized>(memory: &mut M, encoded: &Encoded) -> Result<Self, StoreError> {
        let bytes = store_slices(memory, &encoded.slices())?;
        Ok(Self { bytes })
    }

    /// Finds what somebody else wrote. Claims nothing; checks the chain of frames, the header and the directory.
    ///
    /// # Errors
    ///
    /// The memory's, or what the bytes say that cannot be.
    pub fn open<M: Memory + ?Sized>(memory: &M, name: Name) -> Result<Self, SerialError> {
        let map = Self { bytes: PreservedArray::open(memory, name)? };
        map.view(memory)?;
        Ok(map)
    }

    /// [`open`](Self::open), and reclaims every frame. All or nothing.
    ///
    /// # Errors
    ///
    /// The memory's, or what the bytes say that cannot be.
    pub fn restore<M: Memory + ?Sized>(memory: &mut M, name: Name) -> Result<Self, SerialError> {
        Self::open(memory, name)?;
        Ok(Self { bytes: PreservedArray::restore(memory, name)? })
    }

    /// The map, to be read in place.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn view<'m, M: Memory + ?Sized>(&self, memory: &'m M) -> Result<SerialView<'m>, SerialError> {
        SerialView::open(&self.bytes.pieces(memory)?)
    }

    /// Checks every byte. Look-ups of a verified map cannot fail.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong.
    pub fn verify<M: Memory + ?Sized>(&self, memory: &M) -> Result<(), SerialError> {
        self.bytes.verify(memory)?;
        self.view(memory)?.verify()
    }

    /// The value at `index`, or `None` for a hole. For more than one look-up, take a [`view`](Self::view).
    ///
    /// # Errors
    ///
    /// As [`SerialView::get`].
    pub fn get<M: Memory + ?Sized>(&self, memory: &M, index: u64) -> Result<Option<u64>, SerialError> {
        self.view(memory)?.get(index)
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

    /// Every frame that it takes.
    pub fn frames(&self) -> Vec<FrameRange> {
        self.bytes.frames()
    }

    /// Unpreserves and frees every frame.
    ///
    /// # Errors
    ///
    /// The memory's.
    pub fn free<M: Memory + ?Sized>(self, memory: &mut M) -> Result<(), StoreError> {
        self.bytes.free(memory)
    }
}

/// Writes slices one after the other into one array; each is whole words.
pub(crate) fn store_slices<M: Memory + ?Sized>(
    memory: &mut M,
    slices: &[&[u8]],
) -> Result<PreservedArray<u8>, StoreError> {
    let len = slices.iter().map(|slice| slice.len() as u64).sum();
    let mut bytes = PreservedArray::alloc(memory, len)?;
    let mut at = 0;
    let mut written = Ok(());
    for slice in slices {
        written = written.and_then(|()| bytes.write(memory, at, slice));
        at += slice.len() as u64;
    }
    match written.and_then(|()| bytes.seal(memory)) {
        Ok(()) => Ok(bytes),
        Err(error) => {
            // The first error is the cause. If giving back fails too, the memory reports it as a leak.
            let _ = bytes.free(memory);
            Err(error)
        }
    }
}
