//! Finding the part that an index is in, and its value.
//!
//! Written once, for words in one piece as for words in several ([`Source`]), and compiled for each: in one piece,
//! which is the usual case, a word is one comparison away. Tables in one piece, which large maps are made of, have a
//! shorter way besides ([`Near`]): what ends before a leaf is inlined where it is asked for; only a leaf needs a
//! [`Level`], which is a call.

use zerocopy::little_endian::U64;

use super::list::List;
use super::table::{GetInLeaf, Table};
use super::view::bad_part;
use super::wide::Level;
use super::wire::{ChunkWord, HEADER_WORDS, Kind, PartHead, RECORD_WORDS};
use super::words::Source;
use super::{CHUNK_SHIFT, SerialError, segment_of};

/// All words of a map whose directory was checked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Map<S> {
    pub(super) words: S,
    /// Parts in the directory.
    pub(super) parts: u64,
}

/// All words of a map in one piece.
#[derive(Clone, Copy, Debug)]
pub(super) struct Near<'v> {
    pub(super) words: &'v [U64],
    /// Parts in the directory.
    pub(super) parts: u64,
    /// The first word of the first body.
    pub(super) bodies: u64,
    /// The segment of the first index.
    pub(super) origin: u64,
}

/// The value is to be looked for in the longer way, which also says what is wrong.
#[derive(Clone, Copy, Debug)]
pub(super) struct Elsewhere;

impl Near<'_> {
    /// The value at `index`, if it is in a table that is where it is guessed to be, and nothing is wrong with that.
    #[inline]
    pub(super) fn get(&self, level: Level, index: u64) -> Result<Option<u64>, Elsewhere> {
        let number = self.guess(index);
        let record = self.words.array(HEADER_WORDS + number * RECORD_WORDS);
        let [first, last, reference, place] = record.ok_or(Elsewhere)?;
        let body = PartHead::table_at(place).filter(|_| first <= index && index <= last).ok_or(Elsewhere)?;
        let (before, behind) = (first >> CHUNK_SHIFT, last >> CHUNK_SHIFT);
        let chunks = self.bodies + body + 1;
        let word = self.words.word(chunks + (index >> CHUNK_SHIFT) - before).ok_or(Elsewhere)?;
        if let Some(value) = ChunkWord::linear_at(word, reference, index) {
            return Ok(Some(value));
        }
        if !ChunkWord::is_leaf(word) {
            return Err(Elsewhere);
        }
        let leaves = (chunks + behind - before + 1) * u64::from(u64::BITS);
        level.run(GetInLeaf { words: self.words, leaves, word, reference, index }).map_err(|_| Elsewhere)
    }

    /// The part of `index`, if there is only one, or if every segment from the first on has a table: then a part is as
    /// far from the first as its segment is.
    #[inline]
    const fn guess(&self, index: u64) -> u64 {
        let last = self.parts.saturating_sub(1);
        let distance = segment_of(index).saturating_sub(self.origin);
        if distance < last { distance } else { last }
    }
}

impl<S: Source> Map<S> {
    /// The value at `index`, wherever its part is.
    pub(super) fn get(&self, level: Level, index: u64) -> Result<Option<u64>, SerialError> {
        let Some(number) = self.find(index) else { return Ok(None) };
        let head = self.head(number)?;
        if index <= head.last { self.get_in(level, number, &head, index) } else { Ok(None) }
    }

    /// The value at `index` in part `number`.
    #[inline]
    fn get_in(
        &self,
        level: Level,
        number: u64,
        head: &PartHead,
        index: u64,
    ) -> Result<Option<u64>, SerialError> {
        let value = match head.kind {
            Kind::Run(step) => return Ok(step.apply(head.reference, index - head.first)),
            Kind::List(runs) => self.body(head).and_then(|body| List::new(head, runs, body)?.get(index)),
            Kind::Table => self.body(head).and_then(|body| Table::new(head, body)?.get(level, index)),
        };
        value.map_err(|why| bad_part(number, why))
    }

    /// The last part that starts at or before `index`.
    pub(super) fn find(&self, index: u64) -> Option<u64> {
        let first = |number: u64| self.words.word(HEADER_WORDS + number * RECORD_WORDS);
        let (mut low, mut high) = (0, self.parts);
        while low < high {
            let middle = low.midpoint(high);
            if first(middle)? <= index { low = middle + 1 } else { high = middle }
        }
        low.checked_sub(1)
    }

    /// The record of part `number`.
    #[inline]
    fn head(&self, number: u64) -> Result<PartHead, SerialError> {
        let record = self.words.array(HEADER_WORDS + number * RECORD_WORDS);
        let head = record.ok_or("a record outside the directory").and_then(PartHead::read);
        head.map_err(|why| bad_part(number, why))
    }

    /// The words from that of a body on. What lies behind the body is not looked at, if it was verified: its end need
    /// not be found.
    #[inline]
    fn body(&self, head: &PartHead) -> Result<S, &'static str> {
        let bodies = HEADER_WORDS + self.parts * RECORD_WORDS;
        self.words.tail(bodies + head.body).ok_or("a body outside the bytes")
    }
}
