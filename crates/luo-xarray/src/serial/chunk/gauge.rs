//! Measuring a chunk, and choosing its form from what was measured.

use super::content::{Content, SLOTS};
use super::lines::{Along, Lines};
use super::row::Row;
use crate::serial::bits::{Alphabet, width_of};
use crate::serial::run::{Run, Step};
use crate::serial::wide::Wide;
use crate::serial::wire::{ChunkWord, LeafOrder, LeafShape};
use crate::serial::{CHUNK_LEN, CHUNK_SHIFT};

/// What was measured of a chunk.
#[derive(Clone, Copy, Debug)]
pub(in crate::serial) struct ChunkStat {
    /// The number of the chunk: indices without their low 9 bits.
    pub(in crate::serial) number: u64,
    /// The lowest value.
    pub(in crate::serial) min: u64,
    max: u64,
    first_value: u64,
    entries: u32,
    by_index: Count,
    by_rank: Count,
    /// So many runs of neighbours there are, or more.
    pub(in crate::serial) runs_at_least: u32,
}

/// The runs of a chunk, counted along the index and along the rank.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::serial) struct ChunkLines {
    pub(super) by_index: Lines,
    /// `None` if they are the same.
    pub(super) by_rank: Option<Lines>,
}

/// How a chunk is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::serial) enum Form {
    /// In the chunk's word alone.
    Linear { value: u64, step: Step },
    /// As a leaf.
    Leaf(LeafShape),
}

impl ChunkLines {
    /// One run of several entries.
    fn one(entries: u32, step: Step) -> Self {
        Self { by_index: Lines::one(entries, step), by_rank: None }
    }

    pub(super) fn by_rank(&self) -> &Lines {
        self.by_rank.as_ref().unwrap_or(&self.by_index)
    }
}

#[derive(Clone, Copy, Debug)]
struct Count {
    runs: u32,
    alphabet: Alphabet,
}

impl Count {
    const fn of(lines: &Lines) -> Self {
        Self { runs: lines.runs, alphabet: lines.alphabet }
    }
}

impl ChunkStat {
    /// The measure of a chunk that is all one run: the short way for the commonest.
    pub(in crate::serial) fn linear(run: &Run) -> Self {
        let mut count = Count { runs: 1, alphabet: Alphabet::default() };
        count.alphabet.insert(run.step());
        Self {
            number: run.first() >> CHUNK_SHIFT,
            min: run.value().min(run.last_value()),
            max: run.value().max(run.last_value()),
            first_value: run.value(),
            entries: CHUNK_LEN,
            by_index: count,
            by_rank: count,
            runs_at_least: 1,
        }
    }

    /// The measure of a row.
    pub(in crate::serial) fn row(row: &Row) -> (Self, ChunkLines) {
        let entries = row.present.len();
        let lines = ChunkLines::one(entries, row.line.step());
        (Self { entries, runs_at_least: row.groups(), ..Self::linear(&row.line) }, lines)
    }

    /// The lines and the values of a chunk that [`linear`](Self::linear) measured.
    pub(in crate::serial) fn as_linear(&self) -> (ChunkLines, [u64; SLOTS]) {
        let step = self.by_index.alphabet.step(0).unwrap_or(Step::Up);
        let mut value = self.first_value.wrapping_sub(step.increment());
        let values = core::array::from_fn(|_| {
            value = value.wrapping_add(step.increment());
            value
        });
        (ChunkLines::one(self.entries, step), values)
    }

    /// Measures any chunk.
    #[expect(clippy::inline_always, reason = "compiled for the level of its caller")]
    #[inline(always)]
    pub(in crate::serial) fn of<W: Wide>(
        wide: W,
        number: u64,
        content: &Content<'_>,
        lines: &mut ChunkLines,
    ) -> Self {
        let (min, max) = content
            .values
            .iter()
            .fold((u64::MAX, 0), |(min, max): (u64, u64), value| (min.min(*value), max.max(*value)));
        let ChunkLines { by_index, by_rank } = lines;
        *by_rank = None;
        by_index.find(wide, content, Along::Index, max);
        // One run without letters takes the fewest bits that runs can: by rank could only take as many, and of equals
        // by index is taken.
        let settled = content.is_full() || by_index.runs == 1 && by_index.alphabet.width() == 0;
        if !settled {
            by_rank.insert(Lines::default()).find(wide, content, Along::Rank, max);
        }
        Self {
            number,
            min,
            max,
            first_value: content.values.first().copied().unwrap_or(0),
            entries: content.present.len(),
            by_index: Count::of(&lines.by_index),
            by_rank: Count::of(lines.by_rank()),
            // A run of neighbours is one by index and by rank too.
            runs_at_least: content.present.groups().max(lines.by_index.runs).max(lines.by_rank().runs),
        }
    }

    /// The smallest form, given the segment's reference. Of equals, the first of: by index, by rank, single; of
    /// these, the one with the segment's reference.
    pub(in crate::serial) fn form(&self, reference: u64) -> Form {
        if self.entries == CHUNK_LEN && self.by_index.runs == 1 {
            let value = self.first_value.wrapping_sub(reference);
            let step = self.by_index.alphabet.step(0);
            if let Some(step) = step.filter(|_| value < ChunkWord::LINEAR_END) {
                return Form::Linear { value, step };
            }
        }
        let single = Count { runs: self.entries, alphabet: Alphabet::default() };
        let mut best = self.narrowest(LeafOrder::Index, self.by_index, reference);
        // Without holes, ranks are positions.
        if self.entries < CHUNK_LEN {
            best = best.smaller(self.narrowest(LeafOrder::Rank, self.by_rank, reference));
        }
        Form::Leaf(best.smaller(self.narrowest(LeafOrder::Single, single, reference)).shape)
    }

    fn narrowest(&self, order: LeafOrder, count: Count, reference: u64) -> Measured {
        let Count { runs, alphabet } = count;
        let shape =
            LeafShape { order, own_reference: false, alphabet, width: 0, entries: self.entries, runs };
        let (shared, own) = (width_of(self.max.wrapping_sub(reference)), width_of(self.max - self.min));
        let bits = shape.bits();
        Measured { bits: bits + runs * shared, shape: LeafShape { width: shared, ..shape } }.smaller(
            Measured {
                bits: bits + u64::BITS + runs * own,
                shape: LeafShape { own_reference: true, width: own, ..shape },
            },
        )
    }
}

impl Form {
    /// The chunk's word. `at` is where its leaf begins, and then where the next one does.
    pub(in crate::serial) fn word(&self, at: &mut u64) -> ChunkWord {
        match *self {
            Self::Linear { value, step } => ChunkWord::Linear { value, step },
            Self::Leaf(shape) => {
                let here = *at;
                *at += u64::from(shape.bits());
                ChunkWord::Leaf { at: here, shape }
            }
        }
    }
}

/// A shape, and the bits that it takes.
#[derive(Clone, Copy, Debug)]
struct Measured {
    bits: u32,
    shape: LeafShape,
}

impl Measured {
    /// The smaller of two; of equals this one.
    const fn smaller(self, other: Self) -> Self {
        if other.bits < self.bits { other } else { self }
    }
}

/// Where in its chunk an index lies.
#[expect(clippy::cast_possible_truncation, reason = "masked to 9 bits")]
pub(super) const fn position_of(index: u64) -> u32 {
    (index & (CHUNK_LEN as u64 - 1)) as u32
}
