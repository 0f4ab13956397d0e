//! One node, as it is read: 512 little-endian words, which are a table of addresses or the bits of a leaf.

use zerocopy::little_endian::U64;

use super::{NodeStore, TrackerError};
use crate::{ByteLen, FRAME_SIZE, KhoError, Pfn, PhysAddr};

/// Bits in one word.
const WORD_BITS: usize = 64;
/// Words in one node.
pub(super) const WORDS: usize = FRAME_SIZE / 8;
/// Words that are looked at in one step.
const BLOCK: usize = 8;
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
        self.next_word(0, WORDS, |word| word).is_none()
    }

    /// The first child in the entries `from..end`, and which entry it stands in.
    ///
    /// # Errors
    ///
    /// [`TrackerError::UnalignedNode`].
    pub(super) fn next_child(&self, from: usize, end: usize) -> Result<Option<(usize, Pfn)>, TrackerError> {
        let Some(index) = self.next_word(from, end, |word| word) else { return Ok(None) };
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
        let mut words = words_of(from, end);
        let (first, mask) = words.next()?;
        let (word, bits) = match wanted(self.word(first)) & mask {
            0 => {
                let word = self.next_word(first + 1, end.div_ceil(WORD_BITS), &wanted)?;
                (word, wanted(self.word(word)))
            }
            bits => (first, bits),
        };
        let bit = word * WORD_BITS + bits.trailing_zeros() as usize;
        (bit < end).then_some(bit)
    }

    /// The first of the words `from..end` in which something is wanted. Eight are looked at in one step, because
    /// most words of most nodes are empty.
    fn next_word(&self, from: usize, end: usize, wanted: impl Fn(u64) -> u64) -> Option<usize> {
        let words = self.words.get(from..end)?;
        let (blocks, _) = words.as_chunks::<BLOCK>();
        let empty = |block: &[U64; BLOCK]| block.iter().fold(0, |all, word| all | wanted(word.get())) == 0;
        let passed = BLOCK * blocks.iter().take_while(|&block| empty(block)).count();
        let found = words.get(passed..)?.iter().position(|word| wanted(word.get()) != 0)?;
        Some(from + passed + found)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_search_includes_its_first_bit_and_ends_before_its_last() {
        for bit in [0, 5, 63, 64, 100, 1000, LEAF_BITS - 1] {
            let mut words = [U64::ZERO; WORDS];
            words[bit / WORD_BITS] = U64::new(1 << (bit % WORD_BITS));
            let inverse = words.map(|word| !word);
            let node = Node { frame: Pfn::ZERO, words: &words };
            let inverse = Node { frame: Pfn::ZERO, words: &inverse };
            for (from, end, found) in [
                (0, bit, None),
                (0, bit + 1, Some(bit)),
                (bit, LEAF_BITS, Some(bit)),
                (bit + 1, LEAF_BITS, None),
                (bit, bit, None),
            ] {
                assert_eq!(node.next_set(from, end), found, "{bit} in {from}..{end}");
                assert_eq!(inverse.next_clear(from, end), found, "{bit} in {from}..{end}");
            }
        }
    }

    proptest! {
        #[test]
        fn searches_agree_with_looking_at_each_bit(
            bits in prop::collection::vec(0..LEAF_BITS, 0..6),
            full in any::<bool>(),
            ends in prop::array::uniform2(0..=LEAF_BITS),
        ) {
            let mut words = [U64::new(if full { u64::MAX } else { 0 }); WORDS];
            for bit in bits {
                let word = &mut words[bit / WORD_BITS];
                *word = U64::new(word.get() ^ 1 << (bit % WORD_BITS));
            }
            let node = Node { frame: Pfn::ZERO, words: &words };
            let [from, end] = [ends[0].min(ends[1]), ends[0].max(ends[1])];
            let is_set = |bit: &usize| node.word(bit / WORD_BITS) >> (bit % WORD_BITS) & 1 == 1;
            prop_assert_eq!(node.next_set(from, end), (from..end).find(is_set));
            prop_assert_eq!(node.next_clear(from, end), (from..end).find(|bit| !is_set(bit)));
            let [from, end] = [from / WORD_BITS, end / WORD_BITS];
            let child = (from..end).find(|&index| node.word(index) != 0);
            prop_assert_eq!(node.next_word(from, end, |word| word), child);
            prop_assert_eq!(node.is_empty(), words.iter().all(|word| word.get() == 0));
        }
    }
}
