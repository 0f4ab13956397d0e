//! A leaf: the entries of one chunk that are not all one run.
//!
//! Its fields, one after the other, each as long as the chunk's word says:
//!
//! | field | bits | when |
//! |---|---|---|
//! | reference | 64 | the leaf has its own: its values lie close together and far from the segment's lowest |
//! | presence | a set of 512 | there are holes. Of entries and holes, whichever are fewer |
//! | starts | a set of 512 | runs are counted by index or by rank: where each starts |
//! | steps | runs times 0, 1 or 2 | the alphabet has more than one step |
//! | values | runs times the width | first value of each run, less the reference |

mod content;
mod decode;
mod gauge;
mod heads;
mod lines;
mod pieces;
mod read;
mod row;
mod write;

#[cfg(test)]
mod tests;

pub(super) use content::{Content, EachRun, SLOTS, Scratch, linear, present_in};
pub(super) use decode::Decoder;
pub(super) use gauge::{ChunkLines, ChunkStat, Form};
pub(super) use heads::{Heads, HeadsOf};
pub(super) use read::Leaf;
pub(super) use row::Row;
pub(super) use write::{LeafContent, Room, Values, write_leaf};

use super::CHUNK_LEN;
use super::set::Shape;
use super::wire::{LeafOrder, LeafShape};

/// Where the fields of a leaf lie, in bits from its start.
#[derive(Clone, Copy, Debug)]
struct Layout {
    presence: u32,
    starts: u32,
    steps: u32,
    values: u32,
    end: u32,
}

impl LeafShape {
    /// Whether the set of presence names the holes, because they are fewer.
    const fn names_holes(&self) -> bool {
        self.entries > CHUNK_LEN / 2
    }

    fn presence(&self) -> Shape {
        Shape::of(if self.names_holes() { CHUNK_LEN - self.entries } else { self.entries })
    }

    fn starts(&self) -> Shape {
        Shape::of(self.runs)
    }

    #[expect(clippy::inline_always, reason = "compiled for the level of its caller")]
    #[inline(always)]
    fn layout(&self) -> Layout {
        let presence = if self.own_reference { u64::BITS } else { 0 };
        let starts = presence + if self.entries == CHUNK_LEN { 0 } else { self.presence().bits() };
        let steps = starts + if self.order == LeafOrder::Single { 0 } else { self.starts().bits() };
        let values = steps + self.runs * self.alphabet.width();
        Layout { presence, starts, steps, values, end: values + self.runs * self.width }
    }

    /// Bits that a leaf of this shape takes.
    pub(super) fn bits(&self) -> u32 {
        self.layout().end
    }
}
