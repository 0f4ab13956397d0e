//! Where runs start, found for 64 entries at a time.
//!
//! An entry is **joined** if it goes on from the one before by some step. It begins a run unless it is joined and
//! either goes on by the same step as the entry before it, or the entry before it began a run and so has no step yet.
//! That makes joined entries whose step *changed* begin runs in turns: the first of them only if the one before it
//! did not begin one, and so on. Which ones is told apart by an addition, whose carry runs through neighbours.

use super::content::{Content, EACH, SET_WORDS};
use crate::serial::bits::Alphabet;
use crate::serial::run::Step;
use crate::serial::set::Bitmap;
use crate::serial::wide::{Classes, LANES, Portable, Wide};

/// Bits of even numbers.
const EVEN: u64 = 0x5555_5555_5555_5555;
/// A value this near to the end of u64 could seem to be joined to one near 0.
const WRAPS_FROM: u64 = u64::MAX - 512;

/// Along what a run goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Along {
    /// The index: it goes on behind holes as if they were filled.
    Index,
    /// The rank: it goes on behind holes where it stopped.
    Rank,
    /// The index, and it ends at a hole.
    Neighbours,
}

/// The runs of a chunk. Bits are by rank.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::serial) struct Lines {
    /// The entries that begin a run.
    pub(super) starts: Bitmap,
    /// Entries that go on downwards, and that stay.
    pub(super) down: Bitmap,
    pub(super) flat: Bitmap,
    pub(super) runs: u32,
    pub(super) alphabet: Alphabet,
}

/// What the 64 entries before leave behind.
#[derive(Clone, Copy, Debug, Default)]
struct Carry {
    classes: Classes,
    /// Whether the last of them was joined, by a step that did not change.
    same: u64,
    start: u64,
}

impl Lines {
    /// One run of several entries.
    pub(super) fn one(entries: u32, step: Step) -> Self {
        let mut lines = Self { runs: 1, ..Self::default() };
        lines.starts.insert(0);
        match step {
            Step::Up => {}
            Step::Down => lines.down.insert_range(1, entries - 1),
            Step::Flat => lines.flat.insert_range(1, entries - 1),
        }
        lines.alphabet.insert(step);
        lines
    }

    /// The lines of a chunk. `highest` is the highest value.
    #[expect(clippy::inline_always, reason = "compiled for the level of its caller")]
    #[inline(always)]
    pub(super) fn of<W: Wide>(wide: W, content: &Content<'_>, along: Along, highest: u64) -> Self {
        let mut lines = Self::default();
        lines.find(wide, content, along, highest);
        lines
    }

    /// [`of`](Self::of), in place of what was found before.
    #[expect(clippy::inline_always, reason = "compiled for the level of its caller")]
    #[inline(always)]
    pub(super) fn find<W: Wide>(&mut self, wide: W, content: &Content<'_>, along: Along, highest: u64) {
        let lines = self;
        *lines = Self::default();
        let (mut carry, mut seen) = (Carry::default(), [0; 3]);
        let sets = lines.starts.words_mut().iter_mut();
        let sets = sets.zip(lines.down.words_mut()).zip(lines.flat.words_mut());
        let words = content.entries().div_ceil(LANES);
        for (number, ((starts, down), flat)) in sets.enumerate().take(words) {
            let from = number * LANES;
            let here = u64::MAX >> (LANES - (content.entries() - from).min(LANES));
            let mut classes = classes_at(wide, content, along, highest, from);
            let first = u64::from(number == 0);
            classes = classes.only(here & !first);
            *starts = carry.starts(classes) & here;
            let joined = here & !*starts;
            (*down, *flat) = (classes.down & joined, classes.flat & joined);
            let [up_seen, down_seen, flat_seen] = &mut seen;
            *up_seen |= classes.up & joined;
            *down_seen |= *down;
            *flat_seen |= *flat;
            lines.runs += starts.count_ones();
        }
        for (step, seen) in [Step::Up, Step::Down, Step::Flat].into_iter().zip(seen) {
            if seen != 0 {
                lines.alphabet.insert(step);
            }
        }
    }
}

/// The classes of up to 64 entries from rank `from` on; bits of entries that are not there are arbitrary.
#[expect(clippy::inline_always, reason = "compiled for the level of its caller")]
#[inline(always)]
fn classes_at<W: Wide>(wide: W, content: &Content<'_>, along: Along, highest: u64, from: usize) -> Classes {
    let (values_copy, positions_copy);
    let values = if let Some(values) = window(content.values, from) {
        values
    } else {
        values_copy = window_copy(content.values, from);
        &values_copy
    };
    if along == Along::Rank || content.is_full() {
        return if highest >= WRAPS_FROM { careful(values, RANKS) } else { wide.neighbours(values) };
    }
    let positions = if let Some(positions) = window(content.positions, from) {
        positions
    } else {
        positions_copy = window_copy(content.positions, from);
        &positions_copy
    };
    let classes =
        if highest >= WRAPS_FROM { careful(values, positions) } else { wide.classes(values, positions) };
    if along == Along::Neighbours {
        return classes.only(wide.neighbours(positions).up);
    }
    classes
}

/// 65 ranks. Only how far they lie apart matters.
const RANKS: &[u64; LANES + 1] = match EACH.first_chunk() {
    Some(ranks) => ranks,
    None => panic!("there are more positions than that"),
};

/// The entry before rank `from` and 64 from there on, where they lie.
fn window(all: &[u64], from: usize) -> Option<&[u64; LANES + 1]> {
    all.get(from.checked_sub(1)?..)?.first_chunk()
}

/// The same, with zeros where there is none.
fn window_copy(all: &[u64], from: usize) -> [u64; LANES + 1] {
    let mut window = [0; LANES + 1];
    let (missing, before) = if from == 0 { (1, 0) } else { (0, from - 1) };
    let there = all.get(before..).unwrap_or_default();
    for (place, value) in window.iter_mut().skip(missing).zip(there) {
        *place = *value;
    }
    window
}

/// [`Wide::classes`] that knows where u64 ends.
fn careful(values: &[u64; LANES + 1], positions: &[u64; LANES + 1]) -> Classes {
    let mut classes = Portable.classes(values, positions);
    for (at, pair) in values.windows(2).enumerate() {
        let &[from, to] = pair else { continue };
        if to < from {
            classes.up &= !(1 << at);
        }
        if from < to {
            classes.down &= !(1 << at);
        }
    }
    classes
}

impl Classes {
    fn only(self, bits: u64) -> Self {
        Self { up: self.up & bits, down: self.down & bits, flat: self.flat & bits }
    }
}

impl Carry {
    /// Which of the next 64 entries begin a run.
    #[inline]
    fn starts(&mut self, classes: Classes) -> u64 {
        let Classes { up, down, flat } = classes;
        let joined = up | down | flat;
        let as_before = |word: u64, carry: u64| word & (word << 1 | carry);
        let same = as_before(up, self.classes.up)
            | as_before(down, self.classes.down)
            | as_before(flat, self.classes.flat);
        let changed = joined & !same;
        // Where turns are counted from: entries that begin a run for certain.
        let first_change = changed & (same << 1 | self.same);
        let anchors = !joined | first_change;
        let turns = changed & !first_change;
        // The turns behind an anchor at an even bit. The entry before bit 0 counts as one at an odd bit if it began a
        // run, and as none if it did not: then the turn at bit 0 begins one.
        let from_even = (anchors & EVEN) << 1 & turns | turns & 1 & !self.start;
        let even = turns & !turns.wrapping_add(from_even);
        let starts = anchors | even & EVEN | turns & !even & !EVEN;
        let last = |word: u64| word >> (LANES - 1);
        self.classes = Classes { up: last(up), down: last(down), flat: last(flat) };
        (self.same, self.start) = (last(same), last(starts));
        starts
    }
}

const _: () = assert!(SET_WORDS * LANES == 512);
