//! Encoding segments side by side.
//!
//! A **batch** is neighbouring segments that one thread encodes, one after the other. Batches are used again: what they
//! take of memory follows the largest, not the number.

use alloc::vec::Vec;
use core::ops::Range;

use zerocopy::little_endian::U64;

use super::TABLE_RUNS_MIN;
use super::encoded::seal;
use super::run::Run;
use super::table::{Slots, Source, TablePlan};
use super::wide::{Task, Wide, best};
use super::wire::PartHead;

/// Batches for each thread, so that others can take what is left of a slow one.
const BATCHES: usize = 2;
/// Segments of slots in a batch: at least so many, at most so many.
const SLOTS_BATCH: [usize; 2] = [2, 32];
/// Words of bodies for each thread that stay in the caches until they are put in order: 2 MiB.
const WORDS_READY: usize = 1 << 18;
/// Runs from which on it is worth to wake other threads.
#[cfg(feature = "std")]
const PARALLEL_FROM: usize = 1 << 12;

/// What is to be encoded.
#[derive(Debug)]
pub(super) enum Segment<'s> {
    /// One run over one or more whole segments.
    Covered(Run),
    /// The runs in one segment.
    Mixed(Vec<Run>),
    /// The slots of one segment.
    Slots(Slots<'s>),
}

/// A segment that was encoded.
#[derive(Debug)]
pub(super) enum Measured<'b> {
    /// It goes into lists.
    Run(Run),
    Runs(Vec<Run>),
    /// Its table, ready but for its place.
    Table(PartHead, &'b [U64]),
}

/// Where segments are encoded.
#[derive(Debug)]
pub(super) struct Batches {
    batches: Vec<Batch>,
    /// Segments of slots in the next batch.
    slots_batch: usize,
}

#[derive(Debug, Default)]
struct Batch {
    plan: TablePlan,
    /// Sealed bodies, one after the other.
    bodies: Vec<U64>,
    encoded: Vec<Outcome>,
}

#[derive(Debug)]
enum Outcome {
    Run(Run),
    Runs(Vec<Run>),
    /// A table with this body.
    Table(PartHead, Range<usize>),
}

impl Default for Batches {
    fn default() -> Self {
        Self { batches: Vec::new(), slots_batch: SLOTS_BATCH[0] }
    }
}

impl Batches {
    /// So many segments of slots are best encoded together: threads that have to wait for one another soon fall asleep,
    /// and bodies that have to wait for long leave the caches.
    pub(super) fn segments_of_slots(&self) -> usize {
        BATCHES * self.slots_batch * threads()
    }

    /// Learns from what is ready how much the next batch may be.
    fn adapt(&mut self) {
        let [least, most] = SLOTS_BATCH;
        let ready: usize = self.batches.iter().map(|batch| batch.bodies.len()).sum();
        let room = WORDS_READY * threads();
        if ready <= room / 2 {
            self.slots_batch = (self.slots_batch * 2).min(most);
        } else if ready > room {
            self.slots_batch = (self.slots_batch / 2).max(least);
        }
    }

    /// Encodes segments; `take` gets them in order.
    pub(super) fn measure(&mut self, segments: Vec<Segment<'_>>, mut take: impl FnMut(Measured<'_>)) {
        if !segments.iter().any(Segment::may_get_table) {
            for segment in segments {
                match segment {
                    Segment::Covered(run) => take(Measured::Run(run)),
                    Segment::Mixed(runs) => take(Measured::Runs(runs)),
                    Segment::Slots(_) => {}
                }
            }
            return;
        }
        let count = if worth_threads(&segments) { (BATCHES * threads()).min(segments.len()) } else { 1 };
        self.batches.resize_with(count.max(self.batches.len()), Batch::default);
        let mut segments = segments;
        let each = segments.len().div_ceil(count);
        let pairs = segments.chunks_mut(each).zip(&mut self.batches);
        run_all(pairs.collect());
        self.adapt();
        for batch in &mut self.batches {
            for outcome in batch.encoded.drain(..) {
                take(match outcome {
                    Outcome::Run(run) => Measured::Run(run),
                    Outcome::Runs(runs) => Measured::Runs(runs),
                    Outcome::Table(head, body) => {
                        Measured::Table(head, batch.bodies.get(body).unwrap_or_default())
                    }
                });
            }
            batch.bodies.clear();
        }
    }
}

/// Encodes each part of the segments in its batch.
fn run_all(pairs: Vec<(&mut [Segment<'_>], &mut Batch)>) {
    let run = |(segments, batch): (&mut [Segment<'_>], &mut Batch)| {
        for segment in segments {
            batch.encode(segment);
        }
    };
    #[cfg(feature = "std")]
    if pairs.len() > 1 {
        use rayon::iter::{IntoParallelIterator, ParallelIterator};

        pairs.into_par_iter().for_each(run);
        return;
    }
    pairs.into_iter().for_each(run);
}

#[cfg(feature = "std")]
fn threads() -> usize {
    rayon::current_num_threads()
}

#[cfg(not(feature = "std"))]
const fn threads() -> usize {
    1
}

#[cfg(feature = "std")]
fn worth_threads(segments: &[Segment<'_>]) -> bool {
    segments.iter().map(Segment::weight).sum::<usize>() >= PARALLEL_FROM
}

#[cfg(not(feature = "std"))]
const fn worth_threads(_: &[Segment<'_>]) -> bool {
    false
}

impl Segment<'_> {
    const fn may_get_table(&self) -> bool {
        match self {
            Self::Covered(_) => false,
            Self::Mixed(runs) => runs.len() >= TABLE_RUNS_MIN,
            Self::Slots(_) => true,
        }
    }

    /// How much there is to do, in runs.
    #[cfg(feature = "std")]
    const fn weight(&self) -> usize {
        match self {
            Self::Covered(_) => 1,
            Self::Mixed(runs) => runs.len(),
            Self::Slots(_) => PARALLEL_FROM / 2,
        }
    }
}

impl Batch {
    fn encode(&mut self, segment: &mut Segment<'_>) {
        let outcome = match segment {
            Segment::Covered(run) => Outcome::Run(*run),
            Segment::Mixed(runs) if runs.len() < TABLE_RUNS_MIN => Outcome::Runs(core::mem::take(runs)),
            Segment::Mixed(runs) => match self.table(&runs.as_slice()) {
                Some(table) => table,
                None => Outcome::Runs(core::mem::take(runs)),
            },
            Segment::Slots(slots) => match self.table(slots) {
                Some(table) => table,
                None => Outcome::Runs(self.plan.take_runs()),
            },
        };
        self.encoded.push(outcome);
    }

    /// Writes the segment's table, if it gets one.
    fn table(&mut self, source: &impl Source) -> Option<Outcome> {
        let begin = self.bodies.len();
        let head = best(Encode { source, plan: &mut self.plan, bodies: &mut self.bodies })?;
        let (_, body) = self.bodies.split_at_mut(begin);
        seal(body);
        Some(Outcome::Table(head, begin..self.bodies.len()))
    }
}

/// Encoding a segment.
struct Encode<'b, S> {
    source: &'b S,
    plan: &'b mut TablePlan,
    bodies: &'b mut Vec<U64>,
}

impl<S: Source> Task for Encode<'_, S> {
    type Output = Option<PartHead>;

    #[expect(clippy::inline_always, reason = "compiled for the level that runs it")]
    #[inline(always)]
    fn run<W: Wide>(self, wide: W) -> Self::Output {
        let Self { source, plan, bodies } = self;
        if !plan.judge(wide, source) {
            return None;
        }
        plan.write(wide, source, bodies);
        Some(plan.head())
    }
}
