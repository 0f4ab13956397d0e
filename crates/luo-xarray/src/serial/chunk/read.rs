//! Reading a leaf in place.

use super::Layout;
use super::gauge::position_of;
use crate::serial::CHUNK_LEN;
use crate::serial::run::Step;
use crate::serial::wide::Wide;
use crate::serial::wire::{LeafOrder, LeafShape};
use crate::serial::words::Source;

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

pub(super) const OUTSIDE: &str = "a leaf that ends outside its body";
pub(super) const NO_SET: &str = "a set with another number of members than the chunk's word says";
pub(super) const NO_START: &str = "a leaf whose first run does not start at its first entry";
pub(super) const NO_VALUE: &str = "a run whose values leave the range of u64";
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
