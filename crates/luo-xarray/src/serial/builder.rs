//! Building a map from entries and runs that ascend.
//!
//! A segment whose last index has passed is closed. Closed segments wait until they are worth a round of encoding,
//! which measures and writes tables side by side where threads are to be had; parts are then put in order. The bytes do
//! not depend on rounds or threads. What waits is bounded: [`ROUND_RUNS`] runs, and one segment more.

use alloc::vec::Vec;
use core::ops::RangeInclusive;

use luo_kho::{Memory, StoreError};

use super::batch::{Batches, Measured, Segment};
use super::chunk::{EachRun, SLOTS, Scratch};
use super::encoded::{Encoded, Parts};
use super::list::ListPacker;
use super::run::{Joiner, Run, Step};
use super::table::Slots;
use super::wide::best;
use super::wire::PartHead;
use super::{BuildError, CHUNK_SHIFT, SEGMENT_SHIFT, SerializedXArray, segment_end, segment_of};

/// So many waiting runs start a round: 8 MiB of them.
const ROUND_RUNS: usize = 1 << 18;
/// So many waiting segments do too.
const ROUND_SEGMENTS: usize = 1 << 12;
/// Slots of a segment.
const SEGMENT_SLOTS: usize = 1 << SEGMENT_SHIFT;

/// Takes a map in ascending order and writes its one encoding.
#[derive(Debug, Default)]
pub struct Builder {
    /// The last index that was taken.
    last: Option<u64>,
    joiner: Joiner,
    /// The runs of the segment that is still open.
    open: Vec<Run>,
    waiting: Vec<Segment<'static>>,
    waiting_runs: usize,
    batches: Batches,
    packer: ListPacker,
    parts: Parts,
}

impl Builder {
    /// An empty map.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one entry.
    ///
    /// # Errors
    ///
    /// [`BuildError::NotAscending`].
    pub fn push(&mut self, index: u64, value: u64) -> Result<(), BuildError> {
        self.add(Run::single(index, value))
    }

    /// Adds a run: entries at all `indices`, the first with `value`, the others in steps.
    ///
    /// # Errors
    ///
    /// [`BuildError::NotAscending`]; [`BuildError::NotARun`] if there is no index, or no u64 for each value.
    pub fn push_run(
        &mut self,
        indices: RangeInclusive<u64>,
        value: u64,
        step: Step,
    ) -> Result<(), BuildError> {
        let (first, last) = (*indices.start(), *indices.end());
        let run = Run::new(indices, value, step).ok_or(BuildError::NotARun { first, last, value })?;
        self.add(run)
    }

    /// Adds a run that was made before.
    ///
    /// # Errors
    ///
    /// [`BuildError::NotAscending`].
    pub fn add(&mut self, run: Run) -> Result<(), BuildError> {
        if let Some(last) = self.last.filter(|last| *last >= run.first()) {
            return Err(BuildError::NotAscending { index: run.first(), last });
        }
        self.last = Some(run.last());
        self.join(run);
        Ok(())
    }

    /// Adds the entries of neighbouring indices: the slots that do not hold `hole`. The fastest way to build a large
    /// map. All indices count as taken, with an entry or without.
    ///
    /// # Errors
    ///
    /// [`BuildError::NotAscending`]; [`BuildError::NotARun`] if there are not so many indices.
    pub fn push_slots(&mut self, first: u64, slots: &[u64], hole: Option<u64>) -> Result<(), BuildError> {
        let Some(beyond) = (slots.len() as u64).checked_sub(1) else { return Ok(()) };
        if let Some(last) = self.last.filter(|last| *last >= first) {
            return Err(BuildError::NotAscending { index: first, last });
        }
        let Some(last) = first.checked_add(beyond) else {
            return Err(BuildError::NotARun { first, last: u64::MAX, value: 0 });
        };
        let head = luo_kho::ByteLen::new(first.wrapping_neg() % (1 << SEGMENT_SHIFT)).as_usize();
        let (head, rest) = slots.split_at(head.min(slots.len()));
        let (segments, tail) = rest.as_chunks::<SEGMENT_SLOTS>();
        self.spread(first, head, hole);
        if !segments.is_empty() {
            self.flush();
            let first = (first + head.len() as u64) >> CHUNK_SHIFT;
            let numbers = (first..).step_by(SEGMENT_SLOTS / SLOTS);
            let slots = numbers.zip(segments).map(|(first, slots)| Slots {
                first,
                chunks: slots.as_chunks().0,
                hole,
            });
            let mut slots = slots.map(Segment::Slots);
            loop {
                let round: Vec<_> = slots.by_ref().take(self.batches.segments_of_slots()).collect();
                if round.is_empty() {
                    break;
                }
                self.encode_all(round);
            }
        }
        self.spread(last.wrapping_sub(tail.len() as u64).wrapping_add(1), tail, hole);
        self.last = Some(last);
        Ok(())
    }

    /// Adds slots that do not make up a whole segment.
    fn spread(&mut self, first: u64, slots: &[u64], hole: Option<u64>) {
        let mut scratch = Scratch::default();
        let mut at = first;
        let mut rest = slots;
        while !rest.is_empty() {
            let len = SLOTS - luo_kho::ByteLen::new(at % SLOTS as u64).as_usize();
            let (chunk, behind) = rest.split_at(len.min(rest.len()));
            scratch.clear();
            for (offset, slot) in chunk.iter().enumerate() {
                if Some(*slot) != hole {
                    scratch.push(&Run::single(at + offset as u64, *slot));
                }
            }
            if let Some(content) = scratch.content() {
                let (number, take) = (at >> CHUNK_SHIFT, |run| self.join(run));
                best(EachRun { number, content: &content, take });
            }
            // Wraps behind the very last index, where nothing is left.
            at = at.wrapping_add(chunk.len() as u64);
            rest = behind;
        }
    }

    fn join(&mut self, run: Run) {
        if let Some(done) = self.joiner.push(run) {
            self.place(&done);
        }
    }

    /// Encodes everything so far.
    fn flush(&mut self) {
        if let Some(done) = self.joiner.finish() {
            self.place(&done);
        }
        self.close();
        self.round();
    }

    /// Writes what is left and gives the bytes.
    pub fn encode(mut self) -> Encoded {
        self.flush();
        if let Some(list) = self.packer.finish() {
            self.parts.add_list(&list);
        }
        self.parts.finish()
    }

    /// Writes what is left, into preserved frames.
    ///
    /// # Errors
    ///
    /// The memory's; nothing stays allocated then.
    pub fn finish<M: Memory + ?Sized>(self, memory: &mut M) -> Result<SerializedXArray, StoreError> {
        SerializedXArray::store(memory, &self.encode())
    }

    /// Sorts a run into segments.
    fn place(&mut self, run: &Run) {
        for piece in segments_of(run) {
            let begins =
                self.open.last().is_none_or(|open| segment_of(open.last()) != segment_of(piece.first()));
            if begins {
                self.close();
            }
            if covers_segments(&piece) {
                self.wait(Segment::Covered(piece), 1);
            } else {
                self.open.push(piece);
            }
        }
    }

    fn close(&mut self) {
        if !self.open.is_empty() {
            let runs = core::mem::take(&mut self.open);
            let count = runs.len();
            self.wait(Segment::Mixed(runs), count);
        }
    }

    fn wait(&mut self, segment: Segment<'static>, runs: usize) {
        self.waiting.push(segment);
        self.waiting_runs += runs;
        if self.waiting_runs >= ROUND_RUNS || self.waiting.len() >= ROUND_SEGMENTS {
            self.round();
        }
    }

    /// Encodes what waits.
    fn round(&mut self) {
        self.waiting_runs = 0;
        let waiting = core::mem::take(&mut self.waiting);
        self.encode_all(waiting);
    }

    /// Measures segments and puts them in order.
    fn encode_all(&mut self, segments: Vec<Segment<'_>>) {
        let mut batches = core::mem::take(&mut self.batches);
        batches.measure(segments, |measured| match measured {
            Measured::Run(run) => self.list(run),
            Measured::Runs(runs) => runs.into_iter().for_each(|run| self.list(run)),
            Measured::Table(head, body) => {
                if let Some(list) = self.packer.finish() {
                    self.parts.add_list(&list);
                }
                self.parts.add(PartHead { body: self.parts.next_body(), ..head }, body);
            }
        });
        self.batches = batches;
    }

    fn list(&mut self, run: Run) {
        if let Some(list) = self.packer.push(run) {
            self.parts.add_list(&list);
        }
    }
}

/// Whether a run fills all segments that it lies in. Such a segment has one run, so it never gets a table.
pub(super) const fn covers_segments(run: &Run) -> bool {
    let starts = segment_of(run.first()) << SEGMENT_SHIFT == run.first();
    starts && segment_end(segment_of(run.last())) == run.last()
}

/// The run cut into at most three: up to the first border of segments, whole segments, and the rest.
pub(super) fn segments_of(run: &Run) -> impl Iterator<Item = Run> {
    let mut rest = Some(*run);
    core::iter::from_fn(move || {
        let run = rest.take()?;
        let end = segment_end(segment_of(run.first()));
        let mut piece = run.clip(run.first(), end.min(run.last()));
        if covers_segments(&piece) && piece.last() < run.last() {
            // All whole segments at once: up to the end of the last segment, or to that of the one before.
            let last = segment_of(run.last());
            let full = if segment_end(last) == run.last() { last } else { last - 1 };
            piece = run.clip(run.first(), segment_end(full));
        }
        if piece.last() < run.last() {
            rest = Some(run.clip(piece.last() + 1, run.last()));
        }
        Some(piece)
    })
}
