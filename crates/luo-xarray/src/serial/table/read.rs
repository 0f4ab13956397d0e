//! Reading a table in place.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::ops::RangeInclusive;

use crate::serial::chunk::{Decoder, Leaf};
use crate::serial::run::Run;
use crate::serial::wide::{Level, Task, Wide};
use crate::serial::wire::{ChunkWord, LeafShape, PartHead};
use crate::serial::words::{Block, Source};
use crate::serial::{CHUNK_LEN, CHUNK_SHIFT};

/// A table where it lies. Its bytes are not believed.
#[derive(Clone, Copy, Debug)]
pub(in crate::serial) struct Table<S> {
    body: S,
    /// The numbers of the first chunk and of the last.
    first: u64,
    last: u64,
    reference: u64,
}

/// The runs of a table, chunk by chunk, cut at holes.
#[derive(Clone, Debug)]
pub(in crate::serial) struct TableRuns<'v> {
    table: Table<Block<'v>>,
    /// The next chunk; `None` past the last.
    next: Option<u64>,
    /// From the first leaf on.
    decoder: Option<Box<Decoder>>,
}

/// Looking an index up in its chunk, which has this word and a leaf.
pub(in crate::serial) struct GetInLeaf<S> {
    pub(in crate::serial) words: S,
    /// The first bit of the table's leaves in them.
    pub(in crate::serial) leaves: u64,
    pub(in crate::serial) word: u64,
    pub(in crate::serial) reference: u64,
    pub(in crate::serial) index: u64,
}

/// The last position of a chunk.
const LAST: u64 = CHUNK_LEN as u64 - 1;
const BAD_WORD: &str = "a chunk word of an unknown kind";
const NO_VALUE: &str = "a chunk whose values leave the range of u64";

/// What one chunk is.
pub(in crate::serial) enum Chunk<S> {
    Absent,
    Linear(Run),
    Leaf(Leaf<S>),
}

impl<S: Source> Table<S> {
    /// The table with this record; the directory was checked.
    #[inline]
    pub(in crate::serial) fn new(head: &PartHead, body: S) -> Result<Self, &'static str> {
        let (first, last) = (head.first >> CHUNK_SHIFT, head.last >> CHUNK_SHIFT);
        if body.len() < 1 + (last - first + 1) {
            return Err("a table that is too short for its chunks");
        }
        Ok(Self { body, first, last, reference: head.reference })
    }

    /// The numbers of all chunks.
    pub(in crate::serial) const fn chunks(&self) -> RangeInclusive<u64> {
        self.first..=self.last
    }

    /// The first bit of the leaves, in the body.
    pub(in crate::serial) const fn leaves(&self) -> u64 {
        (1 + (self.last - self.first + 1)) * u64::BITS as u64
    }

    pub(in crate::serial) const fn body(&self) -> S {
        self.body
    }

    pub(in crate::serial) const fn reference(&self) -> u64 {
        self.reference
    }

    pub(in crate::serial) fn word(&self, number: u64) -> Result<u64, &'static str> {
        let word = number.checked_sub(self.first).and_then(|at| self.body.word(1 + at));
        word.ok_or("a chunk outside its table")
    }

    #[inline]
    pub(in crate::serial) fn chunk(&self, number: u64) -> Result<Chunk<S>, &'static str> {
        let word = self.word(number)?;
        match ChunkWord::decode(word).ok_or(BAD_WORD)? {
            ChunkWord::Absent => Ok(Chunk::Absent),
            ChunkWord::Linear { value, step } => {
                let first = number << CHUNK_SHIFT;
                let value = self.reference.checked_add(value);
                let run = value.and_then(|value| Run::from_bounds(first, first | LAST, value, step));
                run.map(Chunk::Linear).ok_or(NO_VALUE)
            }
            ChunkWord::Leaf { at, shape } => self.leaf(at, shape).map(Chunk::Leaf),
        }
    }

    /// The value at an index between the first and the last of the record.
    #[inline]
    pub(in crate::serial) fn get(&self, level: Level, index: u64) -> Result<Option<u64>, &'static str> {
        let word = self.word(index >> CHUNK_SHIFT)?;
        if let Some(value) = ChunkWord::linear_at(word, self.reference, index) {
            return Ok(Some(value));
        }
        let (words, leaves, reference) = (self.body, self.leaves(), self.reference);
        match ChunkWord::decode(word).ok_or(BAD_WORD)? {
            ChunkWord::Absent => Ok(None),
            ChunkWord::Linear { .. } => Err(NO_VALUE),
            ChunkWord::Leaf { .. } => level.run(GetInLeaf { words, leaves, word, reference, index }),
        }
    }

    #[inline]
    fn leaf(&self, at: u64, shape: LeafShape) -> Result<Leaf<S>, &'static str> {
        Leaf::new(self.body, self.leaves() + at, shape, self.reference)
    }
}

impl<S: Source> Task for GetInLeaf<S> {
    type Output = Result<Option<u64>, &'static str>;

    #[expect(clippy::inline_always, reason = "compiled for the level that runs it")]
    #[inline(always)]
    fn run<W: Wide>(self, wide: W) -> Self::Output {
        let Self { words, leaves, word, reference, index } = self;
        let Some(ChunkWord::Leaf { at, shape }) = ChunkWord::decode(word) else { return Err(BAD_WORD) };
        Leaf::new(words, leaves + at, shape, reference)?.get(wide, index)
    }
}

impl<'v> Table<Block<'v>> {
    pub(in crate::serial) const fn runs(&self) -> TableRuns<'v> {
        TableRuns { table: *self, next: Some(self.first), decoder: None }
    }
}

impl TableRuns<'_> {
    /// Appends the runs of the next chunk that has some, ascending. `false` if there is none. An error comes behind
    /// those that can be read before it.
    pub(in crate::serial) fn next_chunk(&mut self, runs: &mut Vec<Run>) -> Result<bool, &'static str> {
        while let Some(number) = self.next {
            self.next = (number < self.table.last).then_some(number + 1);
            match self.table.chunk(number)? {
                Chunk::Absent => continue,
                Chunk::Linear(run) => runs.push(run),
                Chunk::Leaf(leaf) => leaf.pieces(number, self.decoder.get_or_insert_default(), runs)?,
            }
            return Ok(true);
        }
        Ok(false)
    }
}
