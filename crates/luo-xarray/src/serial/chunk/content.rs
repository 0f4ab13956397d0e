//! What is in one chunk, spread out: the form in which entries are looked at many at a time.
//!
//! A **slot** is the value of one index; slots of neighbouring indices lie side by side.

use super::gauge::{ChunkLines, position_of};
use super::lines::{Along, Lines};
use super::write::{LeafContent, Values};
use crate::serial::run::{Run, Step};
use crate::serial::set::Bitmap;
use crate::serial::wide::{LANES, Task, Wide};
use crate::serial::{CHUNK_LEN, CHUNK_SHIFT};

/// Positions in a chunk, as an index.
pub(in crate::serial) const SLOTS: usize = CHUNK_LEN as usize;
/// Words of a set of positions.
pub(super) const SET_WORDS: usize = SLOTS / LANES;

/// The entries of one chunk: which positions have one, and values and positions by rank. There is at least one.
#[derive(Clone, Copy, Debug)]
pub(in crate::serial) struct Content<'c> {
    pub(super) present: Bitmap,
    pub(super) values: &'c [u64],
    pub(super) positions: &'c [u64],
}

/// Where contents are put together that do not lie somewhere as slots.
#[derive(Clone, Debug)]
pub(in crate::serial) struct Scratch {
    pub(super) present: Bitmap,
    /// By rank, and room for one step beyond the last.
    pub(super) values: [u64; SLOTS + LANES],
    pub(super) positions: [u64; SLOTS + LANES],
    pub(super) len: usize,
}

/// Position after position.
pub(super) const EACH: [u64; SLOTS + LANES] = each();

#[expect(clippy::indexing_slicing, reason = "computed when compiled: an index out of bounds stops the build")]
const fn each() -> [u64; SLOTS + LANES] {
    let mut each = [0; SLOTS + LANES];
    let mut at = 0;
    while at < SLOTS + LANES {
        each[at] = at as u64;
        at += 1;
    }
    each
}

impl<'c> Content<'c> {
    /// A chunk without holes.
    pub(in crate::serial) fn full(slots: &'c [u64; SLOTS]) -> Self {
        Self { present: Bitmap::FULL, values: slots, positions: EACH.split_at(SLOTS).0 }
    }

    /// The first index and the last, in the chunk with this number.
    pub(in crate::serial) fn ends(&self, number: u64) -> (u64, u64) {
        let base = number << CHUNK_SHIFT;
        let at = |position: Option<&u64>| base | position.copied().unwrap_or(0);
        (at(self.positions.first()), at(self.positions.last()))
    }

    pub(in crate::serial) const fn present(&self) -> &Bitmap {
        &self.present
    }

    pub(in crate::serial) const fn values(&self) -> &'c [u64] {
        self.values
    }

    /// What its leaf is written from.
    pub(in crate::serial) const fn leaf(&self, lines: &'c ChunkLines) -> LeafContent<'_> {
        LeafContent { present: &self.present, lines, values: Values::All(self.values) }
    }

    pub(super) const fn entries(&self) -> usize {
        self.values.len()
    }

    pub(super) const fn is_full(&self) -> bool {
        self.values.len() == SLOTS
    }
}

impl Default for Scratch {
    fn default() -> Self {
        Self { present: Bitmap::default(), values: [0; SLOTS + LANES], positions: [0; SLOTS + LANES], len: 0 }
    }
}

impl Scratch {
    pub(in crate::serial) fn clear(&mut self) {
        self.present = Bitmap::default();
        self.len = 0;
    }

    /// Adds a run that lies in the chunk, behind what is there.
    #[inline]
    pub(in crate::serial) fn push(&mut self, run: &Run) {
        let (first, last) = (position_of(run.first()), position_of(run.last()));
        self.present.insert_range(first, last);
        let len = (last - first + 1) as usize;
        let step = run.step().increment();
        if let Some(places) = self.values.get_mut(self.len..self.len + len) {
            for (place, at) in places.iter_mut().zip(0_u64..) {
                *place = run.value().wrapping_add(at.wrapping_mul(step));
            }
        }
        if let Some(places) = self.positions.get_mut(self.len..self.len + len) {
            for (place, at) in places.iter_mut().zip(u64::from(first)..) {
                *place = at;
            }
        }
        self.len += len;
    }

    /// Takes the slots at `present`.
    #[expect(clippy::inline_always, reason = "compiled for the level of its caller")]
    #[inline(always)]
    pub(in crate::serial) fn take<W: Wide>(&mut self, wide: W, slots: &[u64; SLOTS], present: &Bitmap) {
        self.present = *present;
        self.len = 0;
        let (groups, _) = slots.as_chunks::<LANES>();
        let (each, _) = EACH.as_chunks::<LANES>();
        for ((word, group), each) in present.words().iter().zip(groups).zip(each) {
            let places = self.values.get_mut(self.len..).and_then(|rest| rest.first_chunk_mut());
            let positions = self.positions.get_mut(self.len..).and_then(|rest| rest.first_chunk_mut());
            if let (Some(places), Some(positions)) = (places, positions) {
                wide.compress(group, *word, places);
                wide.compress(each, *word, positions);
            }
            self.len += word.count_ones() as usize;
        }
    }

    /// Makes `positions` those of the set, which becomes the chunk's.
    #[inline]
    pub(super) fn place(&mut self, present: Bitmap) {
        self.present = present;
        self.len = 0;
        for (number, &word) in (0..).zip(present.words()) {
            let base = number * LANES as u64;
            let Some(places) = self.positions.get_mut(self.len..).and_then(|rest| rest.first_chunk_mut())
            else {
                return;
            };
            positions_in(word, base, places);
            self.len += word.count_ones() as usize;
        }
    }

    pub(in crate::serial) const fn is_full(&self) -> bool {
        self.len == SLOTS
    }

    /// Makes every position present.
    pub(super) const fn fill(&mut self) {
        self.present = Bitmap::FULL;
        self.len = SLOTS;
    }

    /// Writes values that lie by position, and holes.
    #[inline]
    pub(super) fn overlay(&self, present: &Bitmap, slots: &mut [u64; SLOTS], hole: u64) {
        let (groups, _) = self.values.as_chunks::<LANES>();
        let (places, _) = slots.as_chunks_mut::<LANES>();
        for ((places, group), &word) in places.iter_mut().zip(groups).zip(present.words()) {
            if word == u64::MAX {
                *places = *group;
                continue;
            }
            for (at, (place, value)) in (0..).zip(places.iter_mut().zip(group)) {
                *place = if word >> at & 1 == 1 { *value } else { hole };
            }
        }
    }

    /// Writes values that lie by rank, and holes.
    #[inline]
    pub(super) fn scatter(&self, slots: &mut [u64; SLOTS], hole: u64) {
        slots.fill(hole);
        let values = self.values.get(..self.len).unwrap_or_default();
        for (position, value) in self.positions.iter().zip(values) {
            if let Some(place) = slots.get_mut(luo_kho::ByteLen::new(*position).as_usize()) {
                *place = *value;
            }
        }
    }

    /// What was put together; `None` if there is no entry.
    pub(in crate::serial) fn content(&self) -> Option<Content<'_>> {
        let values = self.values.get(..self.len).filter(|values| !values.is_empty())?;
        let positions = if self.is_full() { &EACH } else { &self.positions };
        Some(Content { present: self.present, values, positions: positions.get(..self.len)? })
    }
}

/// The positions whose slots do not hold `hole`.
#[expect(clippy::inline_always, reason = "compiled for the level of its caller")]
#[inline(always)]
pub(in crate::serial) fn present_in<W: Wide>(wide: W, slots: &[u64; SLOTS], hole: u64) -> Bitmap {
    let mut present = Bitmap::default();
    for (word, group) in present.words_mut().iter_mut().zip(slots.as_chunks::<LANES>().0) {
        *word = !wide.equal(group, hole);
    }
    present
}

/// Takes the runs of neighbours in the chunk with this number, each as long as it can be within it.
pub(in crate::serial) struct EachRun<'c, T> {
    pub(in crate::serial) number: u64,
    pub(in crate::serial) content: &'c Content<'c>,
    pub(in crate::serial) take: T,
}

impl<T: FnMut(Run)> Task for EachRun<'_, T> {
    type Output = ();

    #[expect(clippy::inline_always, reason = "compiled for the level that runs it")]
    #[inline(always)]
    fn run<W: Wide>(self, wide: W) {
        let Self { number, content, take } = self;
        let highest = content.values.iter().copied().max().unwrap_or(0);
        each_run(&Lines::of(wide, content, Along::Neighbours, highest), number, content, take);
    }
}

fn each_run(lines: &Lines, number: u64, content: &Content<'_>, mut take: impl FnMut(Run)) {
    let base = number << CHUNK_SHIFT;
    let mut rank = 0;
    while rank < CHUNK_LEN {
        let next = lines.starts.next_member(rank + 1);
        let end = next.min(u32::try_from(content.entries()).unwrap_or(CHUNK_LEN));
        let step = if lines.down.contains(rank + 1) {
            Step::Down
        } else if lines.flat.contains(rank + 1) {
            Step::Flat
        } else {
            Step::Up
        };
        let first = content.positions.get(rank as usize);
        let last = content.positions.get(end as usize - 1);
        if let (Some(first), Some(last), Some(value)) = (first, last, content.values.get(rank as usize)) {
            Run::from_bounds(base | first, base | last, *value, step).into_iter().for_each(&mut take);
        }
        rank = next;
    }
}

/// Writes the numbers of the ones of a word, each more than `base`; what follows them is arbitrary.
#[inline]
fn positions_in(mut word: u64, base: u64, places: &mut [u64; LANES]) {
    if word == u64::MAX {
        places.iter_mut().zip(base..).for_each(|(place, at)| *place = at);
        return;
    }
    for place in places {
        if word == 0 {
            return;
        }
        *place = base + u64::from(word.trailing_zeros());
        word &= word - 1;
    }
}

/// The run that all 512 slots are, if they are one and none is a hole.
#[expect(clippy::inline_always, reason = "compiled for the level of its caller")]
#[inline(always)]
pub(in crate::serial) fn linear(slots: &[u64; SLOTS], number: u64, hole: Option<u64>) -> Option<Run> {
    let [value, next, ..] = slots;
    let step = Step::between(*value, *next, 1)?;
    let increment = step.increment();
    let (groups, _) = slots.as_chunks::<LANES>();
    for (group, from) in groups.iter().zip((0_u64..).step_by(LANES)) {
        let from = value.wrapping_add(increment.wrapping_mul(from));
        let differing = group.iter().zip(0_u64..).fold(0, |differing, (slot, at)| {
            differing | (slot ^ from.wrapping_add(at.wrapping_mul(increment)))
        });
        if differing != 0 {
            return None;
        }
    }
    let first = number << CHUNK_SHIFT;
    let run = Run::from_bounds(first, first | u64::from(CHUNK_LEN - 1), *value, step)?;
    let (low, high) = (run.value().min(run.last_value()), run.value().max(run.last_value()));
    hole.is_none_or(|hole| hole < low || hole > high).then_some(run)
}

const _: () = assert!(SET_WORDS == 8);
