//! One node, as it is read: 512 little-endian words, which are a table of addresses or the bits of a leaf.

use zerocopy::little_endian::U64;

use super::{NodeStore, TrackerError};
use crate::{ByteLen, FRAME_SIZE, KhoError, Pfn, PhysAddr};

/// Bits in one word.
const WORD_BITS: usize = 64;
/// Words in one node.
pub(super) const WORDS: usize = FRAME_SIZE / 8;
/// Bits in one leaf.
pub(super) const LEAF_BITS: usize = WORDS * WORD_BITS;

const _: () = assert!(size_of::<[U64; WORDS]>() == FRAME_SIZE);

/// A node, lent by its store.
#[derive(Clone, Copy)]
pub(super) struct Node<'s> {
    frame: Pfn,
    words: &'s [U64; WORDS],
}

/// The address of a node's word.
pub(super) fn word_addr(node: Pfn, word: usize) -> PhysAddr {
    PhysAddr::new(node.addr().get() + ByteLen::of(word * 8).get())
}

/// The words that hold the bits `from..end` of a leaf, each with a mask of those bits.
pub(super) fn words_of(from: usize, end: usize) -> impl Iterator<Item = (usize, u64)> {
    (from / WORD_BITS..end.div_ceil(WORD_BITS)).map(move |word| {
        let below = from.saturating_sub(word * WORD_BITS);
        let above = ((word + 1) * WORD_BITS).saturating_sub(end);
        (word, (u64::MAX << below) & (u64::MAX >> above))
    })
}

impl<'s> Node<'s> {
    /// # Errors
    ///
    /// The store's.
    pub(super) fn read<S: NodeStore + ?Sized>(store: &'s S, frame: Pfn) -> Result<Self, KhoError> {
        Ok(Self { frame, words: zerocopy::transmute_ref!(store.node(frame)?) })
    }

    pub(super) fn word(&self, index: usize) -> u64 {
        self.words.get(index).map_or(0, |word| word.get())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.words.iter().all(|word| word.get() == 0)
    }

    /// The first child in the entries `from..end`, and which entry it stands in.
    ///
    /// # Errors
    ///
    /// [`TrackerError::UnalignedNode`].
    pub(super) fn next_child(&self, from: usize, end: usize) -> Result<Option<(usize, Pfn)>, TrackerError> {
        let Some(index) = (from..end).find(|&index| self.word(index) != 0) else { return Ok(None) };
        Ok(self.child(index)?.map(|child| (index, child)))
    }

    /// The child in one entry.
    ///
    /// # Errors
    ///
    /// [`TrackerError::UnalignedNode`].
    pub(super) fn child(&self, index: usize) -> Result<Option<Pfn>, TrackerError> {
        let child = PhysAddr::new(self.word(index));
        if child.get() == 0 {
            return Ok(None);
        }
        match child.exact_frame() {
            Some(frame) => Ok(Some(frame)),
            None => Err(TrackerError::UnalignedNode { entry: word_addr(self.frame, index), child }),
        }
    }

    /// The first set bit in `from..end`.
    pub(super) fn next_set(&self, from: usize, end: usize) -> Option<usize> {
        self.next_bit(from, end, |word| word)
    }

    /// The first clear bit in `from..end`.
    pub(super) fn next_clear(&self, from: usize, end: usize) -> Option<usize> {
        self.next_bit(from, end, |word| !word)
    }

    fn next_bit(&self, from: usize, end: usize, wanted: impl Fn(u64) -> u64) -> Option<usize> {
        words_of(from, end).find_map(|(word, mask)| {
            let bits = wanted(self.word(word)) & mask;
            (bits != 0).then(|| word * WORD_BITS + bits.trailing_zeros() as usize)
        })
    }
}
