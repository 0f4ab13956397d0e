//! Judging a segment whose runs pass by once.

use alloc::vec::Vec;

use super::gauge::{Bounds, Extent, ListEstimate};
use crate::serial::chunk::{ChunkLines, ChunkStat, Content, Form, Scratch};
use crate::serial::run::Run;
use crate::serial::wide::{Task, Wide, best};
use crate::serial::{CHUNK_LEN, CHUNK_SHIFT, TABLE_RUNS_MIN};

/// Measures a segment while its runs pass by, in at most 64 KiB: the few runs of a sparse segment, or one
/// measure for each chunk.
#[derive(Debug, Default)]
pub(in crate::serial) struct SegmentGauge {
    few: Vec<Run>,
    many: Option<Many>,
}

#[derive(Debug)]
struct Many {
    estimate: ListEstimate,
    extent: Extent,
    bounds: Bounds,
    stats: Vec<ChunkStat>,
    /// The chunk whose runs pass by.
    number: u64,
    scratch: Scratch,
}

/// Measuring the chunk with this number.
struct Measure<'c> {
    number: u64,
    content: &'c Content<'c>,
}

impl Task for Measure<'_> {
    type Output = ChunkStat;

    #[expect(clippy::inline_always, reason = "compiled for the level that runs it")]
    #[inline(always)]
    fn run<W: Wide>(self, wide: W) -> ChunkStat {
        ChunkStat::of(wide, self.number, self.content, &mut ChunkLines::default())
    }
}

impl SegmentGauge {
    /// Takes the next run, which lies in the segment.
    pub(in crate::serial) fn push(&mut self, run: &Run) {
        if let Some(many) = &mut self.many {
            many.push(run);
            return;
        }
        self.few.push(*run);
        if self.few.len() >= TABLE_RUNS_MIN {
            let many = self.many.insert(Many::new());
            self.few.drain(..).for_each(|run| many.push(&run));
        }
    }

    /// Whether the segment gets a table. The gauge can then measure another segment.
    pub(in crate::serial) fn finish(&mut self) -> bool {
        self.few.clear();
        self.many.take().is_some_and(Many::gets_table)
    }
}

impl Many {
    fn new() -> Self {
        Self {
            estimate: ListEstimate::default(),
            extent: Extent::EMPTY,
            bounds: Bounds::default(),
            stats: Vec::new(),
            number: 0,
            scratch: Scratch::default(),
        }
    }

    fn push(&mut self, run: &Run) {
        self.estimate.push(*run);
        for number in run.first() >> CHUNK_SHIFT..=run.last() >> CHUNK_SHIFT {
            let first = number << CHUNK_SHIFT;
            let piece = run.clip(first, first | u64::from(CHUNK_LEN - 1));
            if number != self.number {
                self.close();
                self.number = number;
            }
            self.scratch.push(&piece);
        }
    }

    fn close(&mut self) {
        if let Some(content) = self.scratch.content() {
            let stat = best(Measure { number: self.number, content: &content });
            let (first, last) = content.ends(self.number);
            self.extent.add(&stat, first, last);
            self.bounds.add(&stat);
            self.stats.push(stat);
        }
        self.scratch.clear();
    }

    fn gets_table(mut self) -> bool {
        self.close();
        let leaves = self.stats.iter().map(|stat| match stat.form(self.extent.reference) {
            Form::Linear { .. } => 0,
            Form::Leaf(shape) => u64::from(shape.bits()),
        });
        self.estimate.take_table(self.extent.table_bytes(leaves.sum()))
    }
}
