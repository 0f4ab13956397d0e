//! What is measured of a segment, and the choice between a table and lists.

use crate::serial::chunk::ChunkStat;
use crate::serial::list::ListGauge;
use crate::serial::run::{Joiner, Run};
use crate::serial::wire::{Kind, PartHead, RECORD_WORDS};
use crate::serial::words::WORD_BYTES;
use crate::serial::{CHUNK_SHIFT, LIST_RUNS, TABLE_RUNS_MIN, TABLE_SURPLUS, TABLE_WEIGHT};

/// What a segment's table says of its whole.
#[derive(Clone, Copy, Debug)]
pub(in crate::serial) struct Extent {
    /// The first index that has an entry.
    pub(in crate::serial) first: u64,
    /// The last index that has an entry.
    pub(in crate::serial) last: u64,
    /// The lowest value.
    pub(in crate::serial) reference: u64,
}

/// What is known of the runs of a segment without looking at each: lower bounds.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::serial) struct Bounds {
    chunks: u64,
    /// Runs, if they were cut at the borders of chunks.
    runs: u64,
    /// The first index of the last chunk within which a run starts.
    last_start: u64,
}

/// What the runs of a segment would take in lists by themselves, exactly.
#[derive(Debug, Default)]
pub(in crate::serial) struct ListEstimate {
    joiner: Joiner,
    gauge: ListGauge,
}

impl Extent {
    pub(in crate::serial) const EMPTY: Self = Self { first: u64::MAX, last: 0, reference: u64::MAX };

    #[inline]
    pub(in crate::serial) fn add(&mut self, chunk: &ChunkStat, first: u64, last: u64) {
        self.first = self.first.min(first);
        self.last = last;
        self.reference = self.reference.min(chunk.min);
    }

    /// The table's record.
    pub(in crate::serial) const fn head(&self, body: u64) -> PartHead {
        PartHead { first: self.first, last: self.last, reference: self.reference, kind: Kind::Table, body }
    }

    /// Chunks from the first to the last, empty ones between them included.
    pub(super) const fn span(&self) -> u64 {
        (self.last >> CHUNK_SHIFT) - (self.first >> CHUNK_SHIFT) + 1
    }

    /// Bytes of the record and the body with so many bits of leaves.
    pub(in crate::serial) fn table_bytes(&self, leaf_bits: u64) -> u64 {
        (RECORD_WORDS + 1 + self.span() + leaf_bits.div_ceil(u64::from(u64::BITS))) * WORD_BYTES
    }
}

impl Bounds {
    #[inline]
    pub(in crate::serial) fn add(&mut self, chunk: &ChunkStat) {
        self.chunks += 1;
        self.runs += u64::from(chunk.runs_at_least);
        // A chunk that takes two runs has the start of one.
        if chunk.runs_at_least > 1 {
            self.last_start = chunk.number << CHUNK_SHIFT;
        }
    }

    /// Whether it is already certain that a table of so many bytes is taken.
    pub(in crate::serial) fn surely_take_table(&self, first: u64, table_bytes: u64) -> bool {
        // Cutting at a border of chunks makes at most one run more.
        let runs = (self.runs + 1).saturating_sub(self.chunks).max(1);
        let start = u64::from(u64::BITS - self.last_start.saturating_sub(first).leading_zeros());
        let list_bytes = list_bytes(runs, start);
        takes_table(table_bytes, runs, list_bytes)
    }
}

/// The rule: see `docs/xarray-format.md`, "Which encoding".
fn takes_table(table_bytes: u64, runs: u64, list_bytes: u64) -> bool {
    let wanted = table_bytes + TABLE_SURPLUS;
    wanted <= 16 * runs && wanted <= TABLE_WEIGHT * list_bytes
}

/// Bytes of full lists of so many runs with so many bits each.
const fn list_bytes(runs: u64, run_bits: u64) -> u64 {
    (runs * run_bits).div_ceil(8) + runs.div_ceil(LIST_RUNS as u64) * (RECORD_WORDS + 1) * WORD_BYTES
}

impl ListEstimate {
    #[inline]
    pub(in crate::serial) fn push(&mut self, run: Run) {
        if let Some(run) = self.joiner.push(run) {
            self.gauge.add(&run);
        }
    }

    /// Whether a table of so many bytes is taken.
    pub(in crate::serial) fn take_table(mut self, table_bytes: u64) -> bool {
        if let Some(run) = self.joiner.finish() {
            self.gauge.add(&run);
        }
        let runs = self.gauge.runs();
        takes_table(table_bytes, runs, list_bytes(runs, u64::from(self.gauge.head().run_bits())))
    }
}

// A segment of fewer runs need not be measured: 6 runs have 96 bytes, the smallest table and its surplus take more.
const _: () = assert!((RECORD_WORDS + 1 + 1) * WORD_BYTES + TABLE_SURPLUS > 16 * (TABLE_RUNS_MIN as u64 - 1));
