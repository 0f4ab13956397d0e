//! Measuring a segment, and choosing between a table and a list.

use alloc::vec::Vec;

use crate::serial::chunk::{ChunkGauge, ChunkStat, Form};
use crate::serial::list::ListGauge;
use crate::serial::run::{Joiner, Run};
use crate::serial::wire::RECORD_WORDS;
use crate::serial::words::WORD_BYTES;
use crate::serial::{CHUNK_LEN, CHUNK_SHIFT, LIST_RUNS, TABLE_RUNS_MIN, TABLE_SURPLUS, TABLE_WEIGHT};

/// Measures a segment while its runs pass by, in at most 32 KiB: the few runs of a sparse segment, or one
/// measure for each chunk.
#[derive(Debug, Default)]
pub(in crate::serial) struct SegmentGauge {
    few: Vec<Run>,
    many: Option<(TablePlan, ListEstimate)>,
}

/// All that has to be known of a segment before its table is written.
#[derive(Debug)]
pub(in crate::serial) struct TablePlan {
    /// The first index that has an entry.
    pub(super) first: u64,
    /// The last index that has an entry.
    pub(super) last: u64,
    /// The lowest value.
    pub(super) reference: u64,
    /// The chunks that have entries, ascending.
    pub(super) chunks: Vec<ChunkStat>,
    gauge: Option<ChunkGauge>,
}

/// What the segment's runs would take in lists by themselves.
#[derive(Debug, Default)]
struct ListEstimate {
    joiner: Joiner,
    gauge: ListGauge,
}

impl SegmentGauge {
    /// Takes the next run, which lies in the segment.
    pub(in crate::serial) fn push(&mut self, run: &Run) {
        if let Some((plan, estimate)) = &mut self.many {
            plan.push(run);
            estimate.push(*run);
            return;
        }
        self.few.push(*run);
        if self.few.len() >= TABLE_RUNS_MIN {
            let (mut plan, mut estimate) = (TablePlan::new(run), ListEstimate::default());
            for run in self.few.drain(..) {
                plan.push(&run);
                estimate.push(run);
            }
            self.many = Some((plan, estimate));
        }
    }

    /// The plan of the table, if the segment gets one. The gauge can then measure another segment.
    pub(in crate::serial) fn finish(&mut self) -> Option<TablePlan> {
        self.few.clear();
        let (mut plan, estimate) = self.many.take()?;
        plan.close();
        let (runs, list_bytes) = estimate.finish();
        let table_bytes = plan.bytes() + TABLE_SURPLUS;
        (table_bytes <= 16 * runs && table_bytes <= TABLE_WEIGHT * list_bytes).then_some(plan)
    }
}

impl TablePlan {
    fn new(run: &Run) -> Self {
        let chunks = Vec::new();
        Self { first: run.first(), last: run.last(), reference: u64::MAX, chunks, gauge: None }
    }

    fn push(&mut self, run: &Run) {
        self.first = self.first.min(run.first());
        self.last = run.last();
        for piece in chunks_of(run) {
            let number = piece.first() >> CHUNK_SHIFT;
            if self.gauge.as_ref().is_some_and(|gauge| gauge.number() != number) {
                self.close();
            }
            if piece.distance() == u64::from(CHUNK_LEN - 1) {
                self.add(ChunkStat::linear(&piece));
            } else {
                self.gauge.get_or_insert_with(|| ChunkGauge::new(&piece)).push(&piece);
            }
        }
    }

    fn close(&mut self) {
        if let Some(gauge) = self.gauge.take() {
            self.add(gauge.finish());
        }
    }

    fn add(&mut self, chunk: ChunkStat) {
        self.reference = self.reference.min(chunk.min);
        self.chunks.push(chunk);
    }

    /// Chunks from the first to the last, empty ones between them included.
    pub(super) const fn span(&self) -> u64 {
        (self.last >> CHUNK_SHIFT) - (self.first >> CHUNK_SHIFT) + 1
    }

    /// Bytes of the record and the body.
    fn bytes(&self) -> u64 {
        let leaves = self.chunks.iter().map(|chunk| match chunk.form(self.reference) {
            Form::Linear { .. } => 0,
            Form::Leaf(shape) => u64::from(shape.bits()),
        });
        let leaf_words = leaves.sum::<u64>().div_ceil(u64::from(u64::BITS));
        (RECORD_WORDS + 1 + self.span() + leaf_words) * WORD_BYTES
    }
}

/// The run cut at the borders of chunks.
pub(super) fn chunks_of(run: &Run) -> impl Iterator<Item = Run> {
    let run = *run;
    (run.first() >> CHUNK_SHIFT..=run.last() >> CHUNK_SHIFT).map(move |number| {
        let first = number << CHUNK_SHIFT;
        run.clip(first, first | u64::from(CHUNK_LEN - 1))
    })
}

impl ListEstimate {
    fn push(&mut self, run: Run) {
        if let Some(run) = self.joiner.push(run) {
            self.gauge.add(&run);
        }
    }

    /// The runs, and the bytes that they would take.
    fn finish(mut self) -> (u64, u64) {
        if let Some(run) = self.joiner.finish() {
            self.gauge.add(&run);
        }
        let runs = self.gauge.runs();
        let lists = runs.div_ceil(LIST_RUNS as u64);
        let fields = (runs * u64::from(self.gauge.head().run_bits())).div_ceil(8);
        (runs, fields + lists * (RECORD_WORDS + 1) * WORD_BYTES)
    }
}

// A gauge below the smallest number of runs need not look: 6 runs have 96 bytes, the smallest table and its surplus
// take more.
const _: () = assert!((RECORD_WORDS + 1 + 1) * WORD_BYTES + TABLE_SURPLUS > 16 * (TABLE_RUNS_MIN as u64 - 1));
