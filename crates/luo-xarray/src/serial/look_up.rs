//! Finding the part that an index is in, and its value.
//!
//! Written once, for words in one piece as for words in several ([`Source`]), and compiled for each: in one piece,
//! which is the usual case, a word is one comparison away. What ends before a leaf is inlined where it is asked for;
//! only a leaf needs a [`Level`], which is a call.

use super::SerialError;
use super::list::List;
use super::segment_of;
use super::table::Table;
use super::view::bad_part;
use super::wide::Level;
use super::wire::{HEADER_WORDS, Kind, PartHead, RECORD_WORDS};
use super::words::Source;

/// All words of a map whose directory was checked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Map<S> {
    pub(super) words: S,
    /// Parts in the directory.
    pub(super) parts: u64,
    /// The segment of the first index.
    pub(super) origin: u64,
}

impl<S: Source> Map<S> {
    /// The value at `index`, wherever its part is.
    pub(super) fn get(&self, level: Level, index: u64) -> Result<Option<u64>, SerialError> {
        let Some(number) = self.find(index) else { return Ok(None) };
        let head = self.head(number)?;
        if index <= head.last { self.get_in(level, number, &head, index) } else { Ok(None) }
    }

    /// The value at `index`, if its part is where it is guessed to be, and no list.
    #[inline]
    pub(super) fn get_near(&self, level: Level, index: u64) -> Option<Result<Option<u64>, SerialError>> {
        let number = self.guess(index);
        let head = self.head(number).ok().filter(|head| head.first <= index && index <= head.last)?;
        let is_list = matches!(head.kind, Kind::List(_));
        if is_list { None } else { Some(self.get_in(level, number, &head, index)) }
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

    /// The part of `index`, if there is only one, or if every segment from the first on has a table: then a part is as
    /// far from the first as its segment is.
    #[inline]
    const fn guess(&self, index: u64) -> u64 {
        let last = self.parts.saturating_sub(1);
        let distance = segment_of(index).saturating_sub(self.origin);
        if distance < last { distance } else { last }
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
