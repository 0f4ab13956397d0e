//! The model: a map from first index to order, value and marks. Slow, and plain enough to be believed.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use crate::{Block, Direction, Mark, Marks};

#[derive(Clone, Debug, Default)]
pub(super) struct Model {
    pub(super) entries: BTreeMap<u64, (u8, u64, Marks)>,
    pub(super) reserved: BTreeSet<u64>,
    pub(super) ascends: bool,
}

/// What a listing shows of an entry.
pub(super) type Shown = (Block, u64, Marks);

fn last_of(first: u64, order: u8) -> u64 {
    u64::try_from(u128::from(first) + (1_u128 << order) - 1).unwrap()
}

/// The largest block at `first` that ends at or before `last`, again and again.
pub(super) fn tile(first: u64, last: u64) -> Vec<(u64, u8)> {
    let (mut at, end, mut tiles) = (u128::from(first), u128::from(last) + 1, Vec::new());
    while at < end {
        let fits = |order: &u8| at.is_multiple_of(1 << order) && at + (1 << order) <= end;
        let order = (0..=64).rev().find(fits).unwrap();
        tiles.push((u64::try_from(at).unwrap(), order));
        at += 1 << order;
    }
    tiles
}

impl Model {
    fn grown(&self, value: u64, by: u64) -> u64 {
        if self.ascends { value + by } else { value }
    }

    pub(super) fn fits(&self, first: u64, last: u64, value: u64) -> bool {
        !self.ascends || value.checked_add(last - first).is_some()
    }

    pub(super) fn listed(&self) -> Vec<Shown> {
        self.entries
            .iter()
            .map(|(first, (order, value, marks))| (Block::around(*first, *order), *value, *marks))
            .collect()
    }

    pub(super) fn overlapping(&self, first: u64, last: u64) -> Vec<Shown> {
        let mut found: Vec<_> = self.entries.range(..=last).rev().map(|(at, entry)| (*at, *entry)).collect();
        found.retain(|(at, (order, ..))| last_of(*at, *order) >= first);
        found.reverse();
        found
            .into_iter()
            .map(|(at, (order, value, marks))| (Block::around(at, order), value, marks))
            .collect()
    }

    pub(super) fn entry(&self, index: u64) -> Option<Shown> {
        let (first, (order, value, marks)) = self.entries.range(..=index).next_back()?;
        (last_of(*first, *order) >= index).then(|| (Block::around(*first, *order), *value, *marks))
    }

    pub(super) fn value_at(&self, index: u64) -> Option<u64> {
        self.entry(index).map(|(block, value, _)| self.grown(value, index - block.first()))
    }

    fn tile_with(&mut self, whole: Shown, first: u64, last: u64) {
        let (block, value, marks) = whole;
        for (at, order) in tile(first, last) {
            self.entries.insert(at, (order, self.grown(value, at - block.first()), marks));
        }
    }

    pub(super) fn erase(&mut self, first: u64, last: u64) {
        for whole in self.overlapping(first, last) {
            let block = whole.0;
            self.entries.remove(&block.first());
            if block.first() < first {
                self.tile_with(whole, block.first(), first - 1);
            }
            if block.last() > last {
                self.tile_with(whole, last + 1, block.last());
            }
        }
        self.reserved.retain(|index| *index < first || last < *index);
    }

    pub(super) fn store(&mut self, first: u64, last: u64, value: u64) -> bool {
        if !self.fits(first, last, value) {
            return false;
        }
        self.erase(first, last);
        self.tile_with((Block::around(first, 0), value, Marks::NONE), first, last);
        true
    }

    pub(super) fn split(&mut self, index: u64, order: u8) -> bool {
        let Some(whole) = self.entry(index) else { return false };
        let mut at = Some(whole.0.first());
        while let Some(first) = at.filter(|_| whole.0.order() > order) {
            self.entries.insert(first, (order, self.grown(whole.1, first - whole.0.first()), whole.2));
            let last = last_of(first, order);
            at = (last < whole.0.last()).then(|| last + 1);
        }
        true
    }

    pub(super) fn split_before(&mut self, index: u64) {
        if let Some(whole) = self.entry(index)
            && whole.0.first() < index
        {
            self.tile_with(whole, whole.0.first(), index - 1);
            self.tile_with(whole, index, whole.0.last());
        }
    }

    pub(super) fn mark(&mut self, index: u64, change: impl FnOnce(Marks) -> Marks) -> bool {
        let Some((block, ..)) = self.entry(index) else { return false };
        let entry = self.entries.get_mut(&block.first()).unwrap();
        entry.2 = change(entry.2);
        true
    }

    pub(super) fn next_marked(&self, first: u64, last: u64, mark: Mark) -> Option<Shown> {
        self.overlapping(first, last).into_iter().find(|(_, _, marks)| marks.contains(mark))
    }

    pub(super) fn gaps(&self, first: u64, last: u64) -> Vec<(u64, u64)> {
        let mut taken: Vec<_> =
            self.overlapping(first, last).iter().map(|(b, ..)| (b.first(), b.last())).collect();
        taken.extend(self.reserved.range(first..=last).map(|index| (*index, *index)));
        taken.sort_unstable();
        let (mut gaps, mut at) = (Vec::new(), Some(first));
        for (from, to) in taken {
            if let Some(start) = at.filter(|at| *at < from) {
                gaps.push((start, from - 1));
            }
            at = to.checked_add(1);
        }
        gaps.extend(at.filter(|at| *at <= last).map(|at| (at, last)));
        gaps
    }

    pub(super) fn find_hole(&self, first: u64, last: u64, len: u64, align: u8) -> Option<u64> {
        let step = 1_u128 << align.min(64);
        let fit = |(from, to): (u64, u64)| {
            let at = u128::from(from).next_multiple_of(step);
            (len > 0 && at + u128::from(len) <= u128::from(to) + 1).then(|| u64::try_from(at).unwrap())
        };
        self.gaps(first, last).into_iter().find_map(fit)
    }

    /// First index, last index and direction of every run, told by the index.
    pub(super) fn runs(&self) -> Vec<(u64, u64, Option<Direction>)> {
        let mut runs: Vec<(u64, u64, Option<Direction>)> = Vec::new();
        for (block, value, _) in self.listed() {
            let so_far = runs.last().copied();
            match so_far.and_then(|run| Some((run.0, self.continues(run, block, value)?))) {
                Some((first, way)) => {
                    runs.pop();
                    runs.push((first, block.last(), Some(way)));
                }
                None => runs.push((block.first(), block.last(), None)),
            }
        }
        runs
    }

    /// Which way a run goes on into the next entry, if it does.
    fn continues(&self, run: (u64, u64, Option<Direction>), next: Block, value: u64) -> Option<Direction> {
        let (first, last, so_far) = run;
        let (tail, tail_value, _) = self.entry(last)?;
        let single = tail.order() == 0 && next.order() == 0;
        let way = if (self.ascends || single) && tail_value.checked_add(tail.size()?) == Some(value) {
            Direction::Up
        } else if single && tail_value.checked_sub(1) == Some(value) {
            Direction::Down
        } else {
            return None;
        };
        let fits = tail.first() == first || so_far == Some(way);
        (fits && last + 1 == next.first()).then_some(way)
    }
}
