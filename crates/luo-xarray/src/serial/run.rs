//! Runs, and how entries join into them.

use core::ops::RangeInclusive;

/// How the value changes from one index to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// By one upwards. Also what a run of a single entry says.
    Up,
    /// By one downwards: the order in which a page allocator hands out its lists of single pages.
    Down,
    /// Not at all: one value for a range of indices.
    Flat,
}

/// Neighbouring indices with values in steps.
///
/// # Invariants
///
/// `first <= last`; the value at `last` is a u64; a run of one entry has [`Step::Up`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Run {
    first: u64,
    last: u64,
    value: u64,
    step: Step,
}

/// Joins runs that arrive in ascending order into the longest there are, as if their entries came one by one.
///
/// Indices need not be neighbours if the joiner was made to reach `across` holes: values then have to lie on one
/// line.
#[derive(Clone, Debug, Default)]
pub(crate) struct Joiner {
    open: Option<Run>,
    across: bool,
}

impl Step {
    /// The number by which serialized bytes call it.
    pub(super) const fn code(self) -> u64 {
        match self {
            Self::Up => 0,
            Self::Down => 1,
            Self::Flat => 2,
        }
    }

    /// The step of that number.
    pub(super) const fn from_code(code: u64) -> Option<Self> {
        match code {
            0 => Some(Self::Up),
            1 => Some(Self::Down),
            2 => Some(Self::Flat),
            _ => None,
        }
    }

    /// The value `distance` indices on; `None` if there is no such u64.
    pub(super) const fn apply(self, value: u64, distance: u64) -> Option<u64> {
        match self {
            Self::Up => value.checked_add(distance),
            Self::Down => value.checked_sub(distance),
            Self::Flat => Some(value),
        }
    }

    /// What is added to a value for each index, modulo 2^64.
    pub(super) const fn increment(self) -> u64 {
        match self {
            Self::Up => 1,
            Self::Down => u64::MAX,
            Self::Flat => 0,
        }
    }

    /// The step that leads from `from` to `to` over `distance`.
    pub(super) const fn between(from: u64, to: u64, distance: u64) -> Option<Self> {
        if to == from {
            Some(Self::Flat)
        } else if to > from && to - from == distance {
            Some(Self::Up)
        } else if from > to && from - to == distance {
            Some(Self::Down)
        } else {
            None
        }
    }
}

impl Run {
    /// The run over `indices` that starts with `value`; `None` if there is no index, or no u64 for each value.
    pub fn new(indices: RangeInclusive<u64>, value: u64, step: Step) -> Option<Self> {
        Self::from_bounds(*indices.start(), *indices.end(), value, step)
    }

    /// [`new`](Self::new) from the bounds.
    pub(super) fn from_bounds(first: u64, last: u64, value: u64, step: Step) -> Option<Self> {
        let distance = last.checked_sub(first)?;
        step.apply(value, distance)?;
        let step = if distance == 0 { Step::Up } else { step };
        // INVARIANT: checked in the three lines above.
        Some(Self { first, last, value, step })
    }

    /// One entry.
    pub const fn single(index: u64, value: u64) -> Self {
        Self { first: index, last: index, value, step: Step::Up }
    }

    /// The first index.
    pub const fn first(&self) -> u64 {
        self.first
    }

    /// The last index.
    pub const fn last(&self) -> u64 {
        self.last
    }

    /// The indices.
    pub const fn indices(&self) -> RangeInclusive<u64> {
        self.first..=self.last
    }

    /// The number of entries. One run can have 2^64.
    pub const fn entries(&self) -> u128 {
        self.distance() as u128 + 1
    }

    /// The value at the first index.
    pub const fn value(&self) -> u64 {
        self.value
    }

    /// How values change.
    pub const fn step(&self) -> Step {
        self.step
    }

    /// The value at `index`; `None` outside the run.
    pub const fn value_at(&self, index: u64) -> Option<u64> {
        if index < self.first || index > self.last {
            return None;
        }
        self.step.apply(self.value, index - self.first)
    }

    /// From the first index to the last.
    pub(super) const fn distance(&self) -> u64 {
        self.last - self.first
    }

    /// The value at the last index.
    pub(super) const fn last_value(&self) -> u64 {
        match self.step {
            Step::Up => self.value + self.distance(),
            Step::Down => self.value - self.distance(),
            Step::Flat => self.value,
        }
    }

    /// The part of the run within `first..=last`, which has to meet it.
    pub(crate) fn clip(&self, first: u64, last: u64) -> Self {
        let (first, last) = (first.max(self.first), last.min(self.last));
        assert!(first <= last, "a run is clipped to a range that it meets");
        let value = self.step.apply(self.value, first - self.first).unwrap_or(self.value);
        let step = if first == last { Step::Up } else { self.step };
        Self { first, last, value, step }
    }

    /// The step by which `next`, at a later index, goes on from this run.
    fn leads_to(&self, next: &Self) -> Option<Step> {
        if self.first == self.last {
            return Step::between(self.value, next.value, next.first - self.first);
        }
        let expected = self.step.apply(self.value, next.first - self.first);
        (expected == Some(next.value)).then_some(self.step)
    }
}

impl Joiner {
    /// Joins neighbours only.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Joins across holes too.
    #[cfg(test)]
    pub(super) fn across_holes() -> Self {
        Self { open: None, across: true }
    }

    /// Takes the next run; gives back the one that can grow no more, if that is now known.
    #[inline]
    pub(crate) fn push(&mut self, next: Run) -> Option<Run> {
        let Some(open) = self.open.as_mut() else {
            self.open = Some(next);
            return None;
        };
        let near =
            if self.across { open.last < next.first } else { open.last.checked_add(1) == Some(next.first) };
        let step = if near { open.leads_to(&next) } else { None };
        let Some(step) = step else {
            return self.open.replace(next);
        };
        open.step = step;
        if next.step == step || next.first == next.last {
            open.last = next.last;
            return None;
        }
        // Only the first entry of `next` lies on the line. Its second cannot: the steps differ.
        open.last = next.first;
        let rest = next.clip(next.first + 1, next.last);
        self.open.replace(rest)
    }

    /// The run that was still open.
    pub(crate) fn finish(&mut self) -> Option<Run> {
        self.open.take()
    }
}
