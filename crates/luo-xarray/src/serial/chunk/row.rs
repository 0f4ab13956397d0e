//! A **row**: the entries of a chunk with holes, if they are one run as soon as the holes are filled. It is found
//! without moving entries together.

use super::content::SLOTS;
use super::gauge::position_of;
use crate::serial::CHUNK_LEN;
use crate::serial::run::{Run, Step};
use crate::serial::set::Bitmap;
use crate::serial::wide::{LANES, Wide};

/// At least two entries on one line, with holes.
#[derive(Clone, Copy, Debug)]
pub(in crate::serial) struct Row {
    pub(super) present: Bitmap,
    /// From the first entry to the last, holes filled.
    pub(super) line: Run,
}

impl Row {
    /// The row that the slots at `present` are, if they are one. `base` is the index of the first slot.
    #[expect(clippy::inline_always, reason = "compiled for the level of its caller")]
    #[inline(always)]
    pub(in crate::serial) fn of<W: Wide>(
        wide: W,
        slots: &[u64; SLOTS],
        present: &Bitmap,
        base: u64,
    ) -> Option<Self> {
        let first = present.next_member(0);
        let second = present.next_member(first + 1);
        let value = *slots.get(first as usize)?;
        let step = Step::between(value, *slots.get(second as usize)?, u64::from(second - first))?;
        let increment = step.increment();
        let origin = value.wrapping_sub(u64::from(first).wrapping_mul(increment));
        let (groups, _) = slots.as_chunks::<LANES>();
        for ((group, word), from) in groups.iter().zip(present.words()).zip((0_u64..).step_by(LANES)) {
            let value = origin.wrapping_add(from.wrapping_mul(increment));
            if word & !wide.on_line(group, value, increment) != 0 {
                return None;
            }
        }
        // No value wraps between two that a run may have.
        let line = Run::from_bounds(base + u64::from(first), base + u64::from(present.last()?), value, step)?;
        Some(Self { present: *present, line })
    }

    /// The first index and the last.
    pub(in crate::serial) const fn ends(&self) -> (u64, u64) {
        (self.line.first(), self.line.last())
    }

    /// How many runs of neighbours there are.
    pub(in crate::serial) fn groups(&self) -> u32 {
        self.present.groups()
    }

    /// The positions of its entries.
    pub(in crate::serial) const fn present(&self) -> &Bitmap {
        &self.present
    }

    /// The value of its first entry.
    pub(in crate::serial) const fn value(&self) -> u64 {
        self.line.value()
    }

    /// Takes its runs of neighbours.
    pub(in crate::serial) fn each_run(&self, mut take: impl FnMut(Run)) {
        let base = self.line.first() - u64::from(position_of(self.line.first()));
        let mut at = self.present.next_member(0);
        while at < CHUNK_LEN {
            let end = self.present.next_hole(at);
            take(self.line.clip(base + u64::from(at), base + u64::from(end - 1)));
            at = self.present.next_member(end);
        }
    }
}
