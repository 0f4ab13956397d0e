//! Writing a range of a map as slots: one value or a hole for each index.

use super::chunk::{Decoder, SLOTS, Scratch};
use super::error::SerialError;
use super::run::Run;
use super::table::{Chunk, Table};
use super::view::{Content, SerialView, bad_part};
use super::wide::{Task, Wide, best};
use super::words::Block;
use super::{CHUNK_SHIFT, SEGMENT_SHIFT};

/// The slots that are still to be written, in order.
struct Canvas<'s> {
    /// The index of the first.
    next: u64,
    rest: &'s mut [u64],
    hole: u64,
}

/// Writing a range on one thread.
struct Fill<'v, 's> {
    view: &'v SerialView<'v>,
    canvas: Canvas<'s>,
}

impl SerialView<'_> {
    /// Writes the values of the indices from `first` on, and `hole` where there is none: the fastest way to read much.
    /// Slots beyond the last index, `u64::MAX`, are holes. With the feature `std`, ranges of several segments are
    /// written side by side.
    ///
    /// # Errors
    ///
    /// What a body says that cannot be; the slots are then arbitrary. None, if the bytes were verified.
    pub fn fill(&self, first: u64, slots: &mut [u64], hole: u64) -> Result<(), SerialError> {
        let room = luo_kho::ByteLen::new(u64::MAX - first).as_usize().saturating_add(1);
        let (slots, beyond) = slots.split_at_mut(room.min(slots.len()));
        beyond.fill(hole);
        let fill =
            |first, slots| best(Fill { view: self, canvas: Canvas { next: first, rest: slots, hole } });
        let segment = 1_usize << SEGMENT_SHIFT;
        #[cfg(feature = "std")]
        if slots.len() > segment {
            use rayon::iter::{IndexedParallelIterator, ParallelIterator};
            use rayon::slice::ParallelSliceMut;

            let head = luo_kho::ByteLen::new(first.wrapping_neg() % segment as u64).as_usize();
            let (head, rest) = slots.split_at_mut(head);
            let start = first.wrapping_add(head.len() as u64);
            fill(first, head)?;
            let pieces = rest.par_chunks_mut(segment).enumerate();
            return pieces.try_for_each(|(at, slots)| fill(start.wrapping_add((at * segment) as u64), slots));
        }
        let _ = segment;
        fill(first, slots)
    }
}

impl Canvas<'_> {
    /// The last index of the rest; `None` if nothing is left.
    fn last(&self) -> Option<u64> {
        let beyond = (self.rest.len() as u64).checked_sub(1)?;
        Some(self.next.saturating_add(beyond))
    }

    /// The slots up to `last`, at most all.
    #[inline]
    fn take(&mut self, last: u64) -> &mut [u64] {
        let len = luo_kho::ByteLen::new(last - self.next).as_usize().saturating_add(1);
        let rest = core::mem::take(&mut self.rest);
        let (taken, rest) = rest.split_at_mut(len.min(rest.len()));
        self.next = self.next.wrapping_add(taken.len() as u64);
        self.rest = rest;
        taken
    }

    /// Writes holes up to before `index`.
    #[inline]
    fn skip_to(&mut self, index: u64) {
        if index > self.next && !self.rest.is_empty() {
            let hole = self.hole;
            self.take(index - 1).fill(hole);
        }
    }

    /// Writes what is left of a run, and the holes before it.
    #[inline]
    fn draw(&mut self, run: &Run) {
        self.skip_to(run.first());
        let Some(last) = self.last() else { return };
        if run.last() < self.next || run.first() > last {
            return;
        }
        let piece = run.clip(self.next, last);
        let (mut value, increment) = (piece.value(), piece.step().increment());
        for place in self.take(piece.last()) {
            *place = value;
            value = value.wrapping_add(increment);
        }
    }
}

impl Task for Fill<'_, '_> {
    type Output = Result<(), SerialError>;

    #[expect(clippy::inline_always, reason = "compiled for the level that runs it")]
    #[inline(always)]
    fn run<W: Wide>(self, _: W) -> Self::Output {
        let Self { view, mut canvas } = self;
        let mut number = view.find(canvas.next).unwrap_or(0);
        while let Some(last) = canvas.last() {
            if number >= view.part_count() || view.head(number)?.first > last {
                break;
            }
            match view.content(number)? {
                Content::Run(run) => canvas.draw(&run),
                Content::List(list) => {
                    for run in list.runs() {
                        canvas.draw(&run.map_err(|why| bad_part(number, why))?);
                    }
                }
                Content::Table(table) => {
                    table.fill(&mut canvas).map_err(|why| bad_part(number, why))?;
                }
            }
            number += 1;
        }
        if let Some(last) = canvas.last() {
            let hole = canvas.hole;
            canvas.take(last).fill(hole);
        }
        Ok(())
    }
}

impl Table<Block<'_>> {
    #[expect(clippy::inline_always, reason = "compiled for the level of its caller")]
    #[inline(always)]
    fn fill(&self, canvas: &mut Canvas<'_>) -> Result<(), &'static str> {
        let (mut decoder, mut scratch) = (Decoder::default(), Scratch::default());
        canvas.skip_to(self.chunks().start() << CHUNK_SHIFT);
        for number in canvas.next >> CHUNK_SHIFT..=*self.chunks().end() {
            if canvas.rest.is_empty() {
                break;
            }
            let (first, last) = (number << CHUNK_SHIFT, number << CHUNK_SHIFT | (SLOTS as u64 - 1));
            let hole = canvas.hole;
            let leaf = match self.chunk(number)? {
                Chunk::Absent => {
                    canvas.take(last).fill(hole);
                    continue;
                }
                Chunk::Linear(run) => {
                    canvas.draw(&run);
                    continue;
                }
                Chunk::Leaf(leaf) => leaf,
            };
            let from = luo_kho::ByteLen::new(canvas.next - first).as_usize();
            let places = canvas.take(last);
            if let Some(places) = places.first_chunk_mut() {
                leaf.spread(&mut decoder, &mut scratch, places, hole)?;
                continue;
            }
            let mut whole = [hole; SLOTS];
            leaf.spread(&mut decoder, &mut scratch, &mut whole, hole)?;
            let part = whole.get(from..).unwrap_or_default();
            places.iter_mut().zip(part).for_each(|(place, value)| *place = *value);
        }
        Ok(())
    }
}
