//! Measuring a chunk, and choosing its form from what was measured.

use crate::serial::bits::{Alphabet, width_of};
use crate::serial::run::{Joiner, Run, Step};
use crate::serial::wire::{ChunkWord, LeafOrder, LeafShape};
use crate::serial::{CHUNK_LEN, CHUNK_SHIFT};

/// Measures one chunk while its runs pass by.
#[derive(Debug)]
pub(in crate::serial) struct ChunkGauge {
    /// The number of the chunk: indices without their low 9 bits.
    number: u64,
    entries: u32,
    first_value: u64,
    min: u64,
    max: u64,
    by_index: Tally,
    /// Runs by rank, from the first hole on; before it they are the same.
    by_rank: Option<Tally>,
}

/// What was measured.
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
}

/// How a chunk is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::serial) enum Form {
    /// In the chunk's word alone.
    Linear { value: u64, step: Step },
    /// As a leaf.
    Leaf(LeafShape),
}

#[derive(Clone, Copy, Debug)]
struct Count {
    runs: u32,
    alphabet: Alphabet,
}

#[derive(Clone, Debug)]
struct Tally {
    joiner: Joiner,
    count: Count,
}

impl Tally {
    fn new() -> Self {
        let count = Count { runs: 0, alphabet: Alphabet::default() };
        Self { joiner: Joiner::across_holes(), count }
    }

    fn push(&mut self, run: Run) {
        if let Some(run) = self.joiner.push(run) {
            self.count.add(&run);
        }
    }

    fn finish(mut self) -> Count {
        if let Some(run) = self.joiner.finish() {
            self.count.add(&run);
        }
        self.count
    }
}

impl Count {
    fn add(&mut self, run: &Run) {
        self.runs += 1;
        if run.first() < run.last() {
            self.alphabet.insert(run.step());
        }
    }
}

impl ChunkGauge {
    /// Starts with the chunk of this run.
    pub(in crate::serial) fn new(run: &Run) -> Self {
        Self {
            number: run.first() >> CHUNK_SHIFT,
            entries: 0,
            first_value: run.value(),
            min: u64::MAX,
            max: 0,
            by_index: Tally::new(),
            by_rank: None,
        }
    }

    pub(in crate::serial) const fn number(&self) -> u64 {
        self.number
    }

    /// Takes the next run, which lies in this chunk.
    pub(in crate::serial) fn push(&mut self, run: &Run) {
        let position = position_of(run.first());
        if self.by_rank.is_none() && position != self.entries {
            self.by_rank = Some(self.by_index.clone());
        }
        self.by_index.push(run.moved_to(u64::from(position)));
        if let Some(by_rank) = &mut self.by_rank {
            by_rank.push(run.moved_to(u64::from(self.entries)));
        }
        self.entries += position_of(run.last()) - position + 1;
        self.min = self.min.min(run.value().min(run.last_value()));
        self.max = self.max.max(run.value().max(run.last_value()));
    }

    pub(in crate::serial) fn finish(self) -> ChunkStat {
        let by_index = self.by_index.finish();
        ChunkStat {
            number: self.number,
            min: self.min,
            max: self.max,
            first_value: self.first_value,
            entries: self.entries,
            by_index,
            by_rank: self.by_rank.map_or(by_index, Tally::finish),
        }
    }
}

impl ChunkStat {
    /// The measure of a chunk that is all one run: the short way for the commonest.
    pub(in crate::serial) fn linear(run: &Run) -> Self {
        let mut count = Count { runs: 0, alphabet: Alphabet::default() };
        count.add(run);
        Self {
            number: run.first() >> CHUNK_SHIFT,
            min: run.value().min(run.last_value()),
            max: run.value().max(run.last_value()),
            first_value: run.value(),
            entries: CHUNK_LEN,
            by_index: count,
            by_rank: count,
        }
    }

    /// The smallest form, given the segment's reference. Of equals, the first of: by index, by rank, single; of
    /// these, the one with the segment's reference.
    pub(in crate::serial) fn form(&self, reference: u64) -> Form {
        if self.entries == CHUNK_LEN && self.by_index.runs == 1 {
            let value = self.first_value - reference;
            let step = self.by_index.alphabet.step(0);
            if let Some(step) = step.filter(|_| value < ChunkWord::LINEAR_END) {
                return Form::Linear { value, step };
            }
        }
        let single = Count { runs: self.entries, alphabet: Alphabet::default() };
        let orders =
            [(LeafOrder::Index, self.by_index), (LeafOrder::Rank, self.by_rank), (LeafOrder::Single, single)];
        let shapes = orders.map(|(order, count)| self.narrowest(order, count, reference));
        let [first, rest @ ..] = shapes;
        let smallest = |best: LeafShape, next: LeafShape| if next.bits() < best.bits() { next } else { best };
        Form::Leaf(rest.into_iter().fold(first, smallest))
    }

    fn narrowest(&self, order: LeafOrder, count: Count, reference: u64) -> LeafShape {
        let shared = LeafShape {
            order,
            own_reference: false,
            alphabet: count.alphabet,
            width: width_of(self.max - reference),
            entries: self.entries,
            runs: count.runs,
        };
        let own = LeafShape { own_reference: true, width: width_of(self.max - self.min), ..shared };
        if own.bits() < shared.bits() { own } else { shared }
    }
}

/// Where in its chunk an index lies.
#[expect(clippy::cast_possible_truncation, reason = "masked to 9 bits")]
pub(super) const fn position_of(index: u64) -> u32 {
    (index & (CHUNK_LEN as u64 - 1)) as u32
}
