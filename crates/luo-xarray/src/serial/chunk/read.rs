//! Reading a leaf in place.

use super::Layout;
use super::gauge::position_of;
use crate::serial::run::{Run, Step};
use crate::serial::set::Bitmap;
use crate::serial::wide::Wide;
use crate::serial::wire::{LeafOrder, LeafShape};
use crate::serial::words::{Block, Source};
use crate::serial::{CHUNK_LEN, CHUNK_SHIFT};

/// A leaf where it lies. Its bytes are not believed.
#[derive(Clone, Copy, Debug)]
pub(in crate::serial) struct Leaf<S> {
    pub(super) body: S,
    /// The first bit of the leaf in the body.
    pub(super) at: u64,
    pub(super) shape: LeafShape,
    layout: Layout,
    /// What is added to values: the leaf's own reference, or else the segment's.
    pub(super) reference: u64,
}

/// The runs of a leaf between holes, ascending. After an error it ends.
#[derive(Clone, Debug)]
pub(in crate::serial) struct LeafRuns<'v> {
    leaf: Leaf<Block<'v>>,
    /// The index of the chunk's position 0.
    base: u64,
    presence: Bitmap,
    starts: Bitmap,
    /// The next position to look at; past the end when done.
    position: u32,
    /// Entries before it.
    rank: u32,
    run: Option<OpenRun>,
}

/// The run that the last entry belonged to.
#[derive(Clone, Copy, Debug)]
struct OpenRun {
    number: u32,
    /// Its start, along the leaf's order.
    start: u32,
    value: u64,
    step: Step,
}

pub(super) const OUTSIDE: &str = "a leaf that ends outside its body";
pub(super) const NO_SET: &str = "a set with another number of members than the chunk's word says";
pub(super) const NO_START: &str = "a leaf whose first run does not start at its first entry";
const NO_VALUE: &str = "a run whose values leave the range of u64";
pub(super) const NO_STEP: &str = "a step with an unknown number";

impl<S: Source> Leaf<S> {
    /// The leaf of `shape` at bit `at` of a table's body.
    #[expect(clippy::inline_always, reason = "compiled for the level of its caller")]
    #[inline(always)]
    pub(in crate::serial) fn new(
        body: S,
        at: u64,
        shape: LeafShape,
        reference: u64,
    ) -> Result<Self, &'static str> {
        let own = if shape.own_reference { body.field(at, u64::BITS) } else { Some(reference) };
        Ok(Self { body, at, shape, layout: shape.layout(), reference: own.ok_or(OUTSIDE)? })
    }

    /// The value at an index of the chunk.
    #[expect(clippy::inline_always, reason = "compiled for the level of its caller")]
    #[inline(always)]
    pub(in crate::serial) fn get<W: Wide>(&self, wide: W, index: u64) -> Result<Option<u64>, &'static str> {
        let position = position_of(index);
        let mut rank = position;
        if self.shape.entries < CHUNK_LEN {
            let at = self.at + u64::from(self.layout.presence);
            let named = self.shape.presence().through(wide, self.body, at, position).ok_or(OUTSIDE)?;
            let is_named = named.count > 0 && named.last == position;
            if is_named == self.shape.names_holes() {
                return Ok(None);
            }
            // Entries before the position: it is itself one of the entries, or comes after so many holes.
            rank = if self.shape.names_holes() {
                position.checked_sub(named.count).ok_or(NO_SET)?
            } else {
                named.count - 1
            };
        }
        let along = match self.shape.order {
            LeafOrder::Single => return self.value(rank).map(Some),
            LeafOrder::Index => position,
            LeafOrder::Rank => rank,
        };
        let at = self.at + u64::from(self.layout.starts);
        let start = self.shape.starts().through(wide, self.body, at, along).ok_or(OUTSIDE)?;
        let number = start.count.checked_sub(1).ok_or(NO_START)?;
        let distance = u64::from(along - start.last);
        self.step(number)?.apply(self.value(number)?, distance).ok_or(NO_VALUE).map(Some)
    }

    /// The first value of run `number`.
    #[expect(clippy::inline_always, reason = "compiled for the level of its caller")]
    #[inline(always)]
    fn value(&self, number: u32) -> Result<u64, &'static str> {
        let at = self.at + u64::from(self.layout.values + number * self.shape.width);
        let value = self.body.field(at, self.shape.width).ok_or(OUTSIDE)?;
        self.reference.checked_add(value).ok_or(NO_VALUE)
    }

    #[expect(clippy::inline_always, reason = "compiled for the level of its caller")]
    #[inline(always)]
    fn step(&self, number: u32) -> Result<Step, &'static str> {
        let width = self.shape.alphabet.width();
        let at = self.at + u64::from(self.layout.steps + number * width);
        let letter = self.body.field(at, width).ok_or(OUTSIDE)?;
        self.shape.alphabet.step(letter).ok_or(NO_STEP)
    }
}

impl<'v> Leaf<Block<'v>> {
    /// The runs of the leaf, for the chunk with this number.
    pub(in crate::serial) fn runs(&self, number: u64) -> Result<LeafRuns<'v>, &'static str> {
        let mut presence = Bitmap::FULL;
        if self.shape.entries < CHUNK_LEN {
            let at = self.at + u64::from(self.layout.presence);
            let named = self.shape.presence().read(&self.body, at).ok_or(NO_SET)?;
            presence = if self.shape.names_holes() { named.complement() } else { named };
        }
        let mut starts = Bitmap::FULL;
        if self.shape.order != LeafOrder::Single {
            let at = self.at + u64::from(self.layout.starts);
            starts = self.shape.starts().read(&self.body, at).ok_or(NO_SET)?;
        }
        let base = number << CHUNK_SHIFT;
        Ok(LeafRuns { leaf: *self, base, presence, starts, position: 0, rank: 0, run: None })
    }
}

impl LeafRuns<'_> {
    fn next_run(&mut self, position: u32) -> Result<Run, &'static str> {
        let Self { leaf, presence, starts, rank, .. } = *self;
        let along = if leaf.shape.order == LeafOrder::Index { position } else { rank };
        let mut run = self.run.filter(|_| !starts.contains(along));
        if run.is_none() && starts.contains(along) {
            let number = self.run.map_or(0, |run| run.number + 1);
            run =
                Some(OpenRun { number, start: along, value: leaf.value(number)?, step: leaf.step(number)? });
        }
        let run = *self.run.insert(run.ok_or(NO_START)?);
        // The piece ends before the next hole and before the next start.
        let mut end = presence.next_hole(position);
        if leaf.shape.order == LeafOrder::Single {
            end = position + 1;
        } else {
            end = end.min(position + (starts.next_member(along + 1) - along));
        }
        let value = run.step.apply(run.value, u64::from(along - run.start)).ok_or(NO_VALUE)?;
        let first = self.base + u64::from(position);
        let last = self.base + u64::from(end - 1);
        self.position = end;
        self.rank += end - position;
        Run::from_bounds(first, last, value, run.step).ok_or(NO_VALUE)
    }
}

impl Iterator for LeafRuns<'_> {
    type Item = Result<Run, &'static str>;

    fn next(&mut self) -> Option<Self::Item> {
        let position = self.presence.next_member(self.position);
        if position >= CHUNK_LEN {
            return None;
        }
        let run = self.next_run(position);
        if run.is_err() {
            self.position = CHUNK_LEN;
        }
        Some(run)
    }
}
