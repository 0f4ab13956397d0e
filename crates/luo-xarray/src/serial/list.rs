//! A list of runs.
//!
//! Its body: one word with the checksum and the widths of the fields, then, as fields, the start of each run but
//! the first (less the record's first index), the length of each less one, its first value, its step. The record's
//! reference is taken off each value; of a *slanted* list, the start is taken off first, so that runs which continue
//! one line - what holes leave of it - need no bits for their values.

use alloc::vec::Vec;

use super::LIST_RUNS;
use super::bits::{Alphabet, BitWriter, Sink, width_of};
use super::run::{Joiner, Run};
use super::wire::{Kind, ListHead, PartHead};
use super::words::{Block, Source};

/// Joins the runs of neighbouring segments without tables and cuts them into lists.
#[derive(Debug, Default)]
pub(super) struct ListPacker {
    joiner: Joiner,
    runs: Vec<Run>,
}

/// The runs of one list, ready to be written.
#[derive(Debug)]
pub(super) struct ListImage {
    runs: Vec<Run>,
    gauge: ListGauge,
}

/// Measures runs: how wide the fields of a list of them would be.
#[derive(Debug)]
pub(super) struct ListGauge {
    runs: u64,
    first: u64,
    last_start: u64,
    last: u64,
    longest: u64,
    alphabet: Alphabet,
    plain: Spread,
    slanted: Spread,
}

/// The lowest and the highest of some values.
#[derive(Clone, Copy, Debug)]
struct Spread {
    min: u64,
    max: u64,
}

/// A list where it lies. Its bytes are not believed.
#[derive(Clone, Copy, Debug)]
pub(super) struct List<S> {
    body: S,
    runs: u64,
    first: u64,
    reference: u64,
    head: ListHead,
}

/// The runs of a list as they stand there. After an error it ends.
#[derive(Clone, Debug)]
pub(super) struct ListRuns<'v> {
    list: List<Block<'v>>,
    next: u64,
}

impl ListPacker {
    /// Takes the next run; gives back a list if one is full.
    pub(super) fn push(&mut self, run: Run) -> Option<ListImage> {
        let run = self.joiner.push(run)?;
        self.runs.push(run);
        (self.runs.len() == LIST_RUNS).then(|| ListImage::new(core::mem::take(&mut self.runs)))
    }

    /// Gives back the last list, which can have fewer runs. Called where a table follows, and at the end.
    pub(super) fn finish(&mut self) -> Option<ListImage> {
        self.runs.extend(self.joiner.finish());
        (!self.runs.is_empty()).then(|| ListImage::new(core::mem::take(&mut self.runs)))
    }
}

impl Spread {
    const EMPTY: Self = Self { min: u64::MAX, max: 0 };

    fn add(&mut self, value: u64) {
        self.min = self.min.min(value);
        self.max = self.max.max(value);
    }

    /// Bits that each value takes, less the lowest.
    fn width(self) -> u32 {
        width_of(self.max.saturating_sub(self.min))
    }
}

impl Default for ListGauge {
    fn default() -> Self {
        Self {
            runs: 0,
            first: 0,
            last_start: 0,
            last: 0,
            longest: 0,
            alphabet: Alphabet::default(),
            plain: Spread::EMPTY,
            slanted: Spread::EMPTY,
        }
    }
}

impl ListGauge {
    /// Takes the next run.
    pub(super) fn add(&mut self, run: &Run) {
        if self.runs == 0 {
            self.first = run.first();
        }
        self.runs += 1;
        self.last_start = run.first();
        self.last = run.last();
        self.longest = self.longest.max(run.distance());
        if run.distance() > 0 {
            self.alphabet.insert(run.step());
        }
        self.plain.add(run.value());
        self.slanted.add(run.value().wrapping_sub(run.first()));
    }

    pub(super) const fn runs(&self) -> u64 {
        self.runs
    }

    pub(super) fn head(&self) -> ListHead {
        ListHead {
            start: width_of(self.last_start - self.first),
            length: width_of(self.longest),
            value: self.values().width(),
            alphabet: self.alphabet,
            slanted: self.is_slanted(),
        }
    }

    fn is_slanted(&self) -> bool {
        self.slanted.width() < self.plain.width()
    }

    fn values(&self) -> Spread {
        if self.is_slanted() { self.slanted } else { self.plain }
    }
}

impl ListHead {
    /// Bits of one run.
    pub(super) const fn run_bits(&self) -> u32 {
        self.start + self.length + self.value + self.alphabet.width()
    }
}

impl ListImage {
    /// Of at least one run.
    fn new(runs: Vec<Run>) -> Self {
        let mut gauge = ListGauge::default();
        for run in &runs {
            gauge.add(run);
        }
        Self { runs, gauge }
    }

    /// The record, and the body into `sink`; a run by itself has no body.
    pub(super) fn write<S: Sink>(&self, body: u64, sink: &mut S) -> PartHead {
        let Self { runs, gauge } = self;
        let (first, last, head, reference) = (gauge.first, gauge.last, gauge.head(), gauge.values().min);
        if let [run] = runs.as_slice() {
            return PartHead { first, last, reference: run.value(), kind: Kind::Run(run.step()), body };
        }
        sink.put(head.encode());
        let mut writer = BitWriter::new(sink);
        for run in runs.iter().skip(1) {
            writer.put(run.first() - first, head.start);
        }
        for run in runs {
            writer.put(run.distance(), head.length);
        }
        for run in runs {
            let base = if head.slanted { run.first() } else { 0 };
            writer.put(run.value().wrapping_sub(base) - reference, head.value);
        }
        for run in runs {
            writer.put(head.alphabet.letter(run.step()), head.alphabet.width());
        }
        writer.finish();
        let number =
            u32::try_from(runs.len()).unwrap_or_else(|_| unreachable!("a list has at most 128 runs"));
        PartHead { first, last, reference, kind: Kind::List(number), body }
    }
}

impl<S: Source> List<S> {
    /// The list of so many runs with this record.
    pub(super) fn new(head: &PartHead, runs: u32, body: S) -> Result<Self, &'static str> {
        let word = body.word(0).ok_or("a list without a body")?;
        let list = ListHead::decode(word).ok_or("a list with fields that cannot be")?;
        let list =
            Self { body, runs: u64::from(runs), first: head.first, reference: head.reference, head: list };
        if list.at_steps() + list.runs * u64::from(list.head.alphabet.width()) > body.len() * 64 {
            return Err("a list that is too short for its runs");
        }
        Ok(list)
    }

    fn at_lengths(&self) -> u64 {
        64 + (self.runs - 1) * u64::from(self.head.start)
    }

    fn at_values(&self) -> u64 {
        self.at_lengths() + self.runs * u64::from(self.head.length)
    }

    fn at_steps(&self) -> u64 {
        self.at_values() + self.runs * u64::from(self.head.value)
    }

    fn field(&self, from: u64, number: u64, width: u32) -> Option<u64> {
        self.body.field(from + number * u64::from(width), width)
    }

    /// Where run `number` starts.
    fn start(&self, number: u64) -> Option<u64> {
        match number.checked_sub(1) {
            None => Some(self.first),
            Some(before) => self.first.checked_add(self.field(64, before, self.head.start)?),
        }
    }

    fn run(&self, number: u64) -> Option<Run> {
        let first = self.start(number)?;
        let last = first.checked_add(self.field(self.at_lengths(), number, self.head.length)?)?;
        let value = self.field(self.at_values(), number, self.head.value)?;
        let value = if self.head.slanted {
            value.wrapping_add(self.reference).wrapping_add(first)
        } else {
            value.checked_add(self.reference)?
        };
        let letter = self.field(self.at_steps(), number, self.head.alphabet.width())?;
        Run::from_bounds(first, last, value, self.head.alphabet.step(letter)?)
    }

    /// The value at an index from the record's first on.
    pub(super) fn get(&self, index: u64) -> Result<Option<u64>, &'static str> {
        let (mut low, mut high) = (0, self.runs);
        // Run `low` starts at or before the index, run `high` behind it. At most 7 rounds.
        while high - low > 1 {
            let middle = low.midpoint(high);
            if self.start(middle).ok_or(BAD_RUN)? <= index {
                low = middle;
            } else {
                high = middle;
            }
        }
        Ok(self.run(low).ok_or(BAD_RUN)?.value_at(index))
    }
}

impl<'v> List<Block<'v>> {
    pub(super) const fn runs(&self) -> ListRuns<'v> {
        ListRuns { list: *self, next: 0 }
    }
}

const BAD_RUN: &str = "a run in a list that cannot be";

impl Iterator for ListRuns<'_> {
    type Item = Result<Run, &'static str>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next >= self.list.runs {
            return None;
        }
        let run = self.list.run(self.next).ok_or(BAD_RUN);
        self.next = if run.is_err() { self.list.runs } else { self.next + 1 };
        Some(run)
    }
}
