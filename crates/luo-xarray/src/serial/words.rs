//! The bytes as a sequence of words, in as many pieces as they lie in.
//!
//! Every piece is whole words, so a word never lies in two. One piece is the fast path: a word is
//! then one bounds check away. Otherwise a body that lies within one piece is still read as a slice, and only a
//! body that straddles pieces looks each word up by a binary search over the pieces.
//!
//! What reads bodies is written once, for any [`Source`] of words.

use alloc::vec::Vec;

use luo_kho::ByteLen;
use luo_kho::checksum;
use zerocopy::little_endian::U64;
use zerocopy::{FromBytes, IntoBytes};

use super::bits::mask;

/// Bytes in a word.
pub(crate) const WORD_BYTES: u64 = 8;

/// All words of a blob.
#[derive(Clone, Debug)]
pub(crate) struct Words<'a> {
    held: Held<'a>,
    len: u64,
}

#[derive(Clone, Debug)]
enum Held<'a> {
    Whole(&'a [U64]),
    Pieces(Vec<Piece<'a>>),
}

#[derive(Clone, Copy, Debug)]
struct Piece<'a> {
    /// The number of the first word.
    start: u64,
    words: &'a [U64],
}

/// Words to read from, numbered from 0.
pub(super) trait Source: Copy {
    /// How many.
    fn len(self) -> u64;

    /// Word `at`; `None` outside.
    fn word(self, at: u64) -> Option<u64>;

    /// So many words from word `at` on.
    fn array<const N: usize>(self, at: u64) -> Option<[u64; N]>;

    /// The words from `from` on; `None` if there are fewer.
    fn tail(self, from: u64) -> Option<Self>;

    /// The field of `width` bits at bit `at`; `None` if it ends outside.
    fn field(self, at: u64, width: u32) -> Option<u64>;
}

/// Some of the words, numbered from 0.
#[derive(Clone, Copy, Debug)]
pub(super) enum Block<'w> {
    Whole(&'w [U64]),
    Split { words: &'w Words<'w>, from: u64, len: u64 },
}

/// A number of words or bits as an index.
const fn index(number: u64) -> usize {
    ByteLen::new(number).as_usize()
}

impl<'a> Words<'a> {
    /// `None` if a piece is not made of whole words. Takes memory for one entry per piece, none for a single one.
    pub(crate) fn new(pieces: &[&'a [u8]]) -> Option<Self> {
        if let [piece] = pieces {
            let words = <[U64]>::ref_from_bytes(piece).ok()?;
            return Some(Self { held: Held::Whole(words), len: words.len() as u64 });
        }
        let mut held = Vec::with_capacity(pieces.len());
        let mut len = 0;
        for piece in pieces {
            let words = <[U64]>::ref_from_bytes(piece).ok()?;
            if !words.is_empty() {
                held.push(Piece { start: len, words });
                len += words.len() as u64;
            }
        }
        Some(Self { held: Held::Pieces(held), len })
    }

    pub(crate) const fn len(&self) -> u64 {
        self.len
    }

    /// All words, borrowed.
    #[inline]
    pub(super) const fn all(&self) -> Block<'_> {
        match &self.held {
            Held::Whole(words) => Block::Whole(words),
            Held::Pieces(_) => Block::Split { words: self, from: 0, len: self.len },
        }
    }

    #[inline]
    pub(crate) fn word(&self, at: u64) -> Option<u64> {
        self.rest(at).word(0)
    }

    /// The words from word `at` on that lie in one piece with it; none outside.
    #[inline]
    fn rest(&self, at: u64) -> &'a [U64] {
        let (start, words) = match &self.held {
            Held::Whole(words) => (0, *words),
            Held::Pieces(pieces) => {
                let behind = pieces.partition_point(|piece| piece.start <= at);
                let piece = behind.checked_sub(1).and_then(|number| pieces.get(number));
                piece.map_or((0, [].as_slice()), |piece| (piece.start, piece.words))
            }
        };
        words.get(index(at - start)..).unwrap_or_default()
    }

    /// So many words from word `at` on.
    pub(crate) fn array<const N: usize>(&self, at: u64) -> Option<[U64; N]> {
        Some(self.all().array(at)?.map(U64::new))
    }

    /// The words `from..to` by themselves; `None` if there are not so many.
    pub(crate) fn part(&self, from: u64, to: u64) -> Option<Self> {
        let len = to.checked_sub(from)?;
        if to > self.len {
            return None;
        }
        let held = match &self.held {
            Held::Whole(words) => Held::Whole(words.get(index(from)..index(to))?),
            Held::Pieces(_) => {
                let mut start = 0;
                let inside = self.slices(from, to).map(|words| {
                    let piece = Piece { start, words };
                    start += words.len() as u64;
                    piece
                });
                Held::Pieces(inside.collect())
            }
        };
        Some(Self { held, len })
    }

    /// The words `from..to`, slice by slice, in time that grows with the slices inside.
    fn slices(&self, from: u64, to: u64) -> impl Iterator<Item = &'a [U64]> {
        let cut = move |start: u64, words: &'a [U64]| {
            let end = to.checked_sub(start)?.min(words.len() as u64);
            words.get(index(from.saturating_sub(start))..index(end)).filter(|words| !words.is_empty())
        };
        let (whole, pieces) = match &self.held {
            Held::Whole(words) => (cut(0, words), [].as_slice()),
            Held::Pieces(pieces) => {
                let near = pieces.partition_point(|piece| piece.start <= from).saturating_sub(1);
                (None, pieces.get(near..).unwrap_or_default())
            }
        };
        whole.into_iter().chain(pieces.iter().map_while(move |piece| cut(piece.start, piece.words)))
    }

    /// The words `from..to`, borrowed; `None` if there are not so many.
    #[inline]
    pub(super) fn block(&self, from: u64, to: u64) -> Option<Block<'_>> {
        let len = to.checked_sub(from)?;
        if to > self.len {
            return None;
        }
        match &self.held {
            Held::Whole(words) => words.get(index(from)..index(to)).map(Block::Whole),
            Held::Pieces(pieces) => {
                let number = pieces.partition_point(|piece| piece.start <= from).saturating_sub(1);
                let near = pieces.get(number).and_then(|piece| {
                    piece.words.get(index(from.checked_sub(piece.start)?)..index(to - piece.start))
                });
                Some(near.map_or(Block::Split { words: self, from, len }, Block::Whole))
            }
        }
    }
}

impl Source for &[U64] {
    #[inline]
    fn len(self) -> u64 {
        self.len() as u64
    }

    #[inline]
    fn word(self, at: u64) -> Option<u64> {
        self.get(index(at)).map(|word| word.get())
    }

    #[inline]
    fn array<const N: usize>(self, at: u64) -> Option<[u64; N]> {
        Some(self.get(index(at)..)?.first_chunk::<N>()?.each_ref().map(|word| word.get()))
    }

    #[inline]
    fn tail(self, from: u64) -> Option<Self> {
        self.get(index(from)..)
    }

    #[expect(clippy::inline_always, reason = "a few instructions, at the bottom of every look-up")]
    #[inline(always)]
    fn field(self, at: u64, width: u32) -> Option<u64> {
        if width == 0 {
            return Some(0);
        }
        let (number, shift) = (at / 64, at % 64);
        let mask = u64::MAX >> (u64::BITS - width);
        // Whether a field goes on in the next word cannot be predicted; that there is a next word can.
        if let Some(high) = self.word(number + 1)
            && let Some(low) = self.word(number)
        {
            return Some((low >> shift | high << 1 << (63 - shift)) & mask);
        }
        let low = self.word(number).filter(|_| shift + u64::from(width) <= 64)?;
        Some(low >> shift & mask)
    }
}

impl Source for Block<'_> {
    #[inline]
    fn len(self) -> u64 {
        match self {
            Self::Whole(words) => words.len() as u64,
            Self::Split { len, .. } => len,
        }
    }

    #[inline]
    fn word(self, at: u64) -> Option<u64> {
        self.rest(at).word(0)
    }

    #[inline]
    fn array<const N: usize>(self, at: u64) -> Option<[u64; N]> {
        if let Self::Whole(words) = self {
            return words.array(at);
        }
        if let Some(found) = self.rest(at).array(0) {
            return Some(found);
        }
        let mut found = [0; N];
        for (word, at) in found.iter_mut().zip(at..) {
            *word = self.word(at)?;
        }
        Some(found)
    }

    #[inline]
    fn tail(self, skipped: u64) -> Option<Self> {
        match self {
            Self::Whole(words) => words.tail(skipped).map(Self::Whole),
            Self::Split { words, from, len } => words.block(from.checked_add(skipped)?, from + len),
        }
    }

    #[inline]
    fn field(self, at: u64, width: u32) -> Option<u64> {
        if let Self::Whole(words) = self {
            return words.field(at, width);
        }
        if width == 0 {
            return Some(0);
        }
        let (number, shift) = (at / 64, at % 64);
        let rest = self.rest(number);
        let mut value = rest.word(0)? >> shift;
        if shift + u64::from(width) > 64 {
            value |= rest.word(1).or_else(|| self.word(number + 1))? << (64 - shift);
        }
        Some(value & mask(width))
    }
}

impl Block<'_> {
    /// The words from word `at` on that lie in one piece with it; none outside.
    #[inline]
    fn rest(&self, at: u64) -> &[U64] {
        match self {
            Self::Whole(words) => words.get(index(at)..).unwrap_or_default(),
            Self::Split { words, from, len } => {
                let rest = if at < *len { words.rest(from + at) } else { &[] };
                let inside = len.saturating_sub(at).min(rest.len() as u64);
                rest.get(..index(inside)).unwrap_or_default()
            }
        }
    }

    /// Copies as many words as there are places, from word `from` on; `None` if there are not so many.
    #[inline]
    pub(super) fn copy(&self, from: u64, places: &mut [U64]) -> Option<()> {
        let (mut at, mut places) = (from, places);
        while !places.is_empty() {
            let rest = self.rest(at);
            let len = rest.len().min(places.len());
            if len == 0 {
                return None;
            }
            let (here, behind) = places.split_at_mut(len);
            here.copy_from_slice(rest.get(..len)?);
            (at, places) = (at + len as u64, behind);
        }
        Some(())
    }

    /// The checksum of the words, of which the first counts without its low half: that is where the sum stands.
    pub(super) fn checksum_of_body(&self) -> Option<u32> {
        let header = self.word(0)? & !u64::from(u32::MAX);
        let mut sum = checksum::crc32c(&header.to_le_bytes());
        match self {
            Self::Whole(words) => sum = checksum::append(sum, words.get(1..)?.as_bytes()),
            Self::Split { words, from, len } => {
                let rest = words.slices(from + 1, from + len);
                sum = rest.fold(sum, |sum, words| checksum::append(sum, words.as_bytes()));
            }
        }
        Some(sum)
    }

    /// The checksum of all words.
    pub(super) fn checksum(&self) -> u32 {
        match self {
            Self::Whole(words) => checksum::crc32c(words.as_bytes()),
            Self::Split { words, from, len } => {
                let all = words.slices(*from, from + len);
                all.fold(0, |sum, words| checksum::append(sum, words.as_bytes()))
            }
        }
    }
}
