//! Runs: neighbouring entries whose values are neighbours too.
//!
//! Page allocators hand out frames in rows, upwards or downwards. A **run** is a row of entries without gaps
//! between them in which every value follows from the one before by the same **join**. Runs are found from left
//! to right and are as long as they can be: 5 6 5 4 3 is 5 6 upwards and 5 4 3 downwards.

use core::iter::Peekable;
use core::ops::RangeBounds;

use super::{Ascending, Entry, Iter, Linear, Spread, XArray};

/// Which way the values of a run go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// They grow.
    Up,
    /// They shrink.
    Down,
}

/// A row of entries; `J` says how each follows from the one before.
#[derive(Debug, PartialEq, Eq)]
pub struct Run<'a, V, J> {
    /// The first entry.
    pub head: Entry<'a, V>,
    /// The last entry.
    pub tail: Entry<'a, V>,
    /// The number of entries.
    pub entries: u64,
    /// How they follow from each other; `None` for one entry alone.
    pub join: Option<J>,
}

impl<V, J> Run<'_, V, J> {
    /// The first index.
    pub const fn first(&self) -> u64 {
        self.head.block.first()
    }

    /// The last index.
    pub const fn last(&self) -> u64 {
        self.tail.block.last()
    }
}

/// The runs of a range, ascending; see [`XArray::runs_by`].
#[derive(Debug)]
pub struct Runs<'a, V, F> {
    entries: Peekable<Iter<'a, V>>,
    join: F,
}

impl<'a, V, J, F> Iterator for Runs<'a, V, F>
where
    J: PartialEq,
    F: FnMut(Entry<'a, V>, Entry<'a, V>) -> Option<J>,
{
    type Item = Run<'a, V, J>;

    fn next(&mut self) -> Option<Run<'a, V, J>> {
        let head = self.entries.next()?;
        let mut run = Run { head, tail: head, entries: 1, join: None };
        while let Some(next) = self.entries.peek().copied() {
            if run.last().checked_add(1) != Some(next.block.first()) {
                break;
            }
            let join = (self.join)(run.tail, next);
            if join.is_none() || run.entries > 1 && join != run.join {
                break;
            }
            run.tail = next;
            run.entries += 1;
            run.join = join;
            self.entries.next();
        }
        Some(run)
    }
}

impl<V, S> XArray<V, S> {
    /// The runs that `join` makes of the entries that cover an index in `range`. It is asked of two neighbours,
    /// and says how the second follows from the first, or that it does not.
    pub fn runs_by<'a, J, F>(&'a self, range: impl RangeBounds<u64>, join: F) -> Runs<'a, V, F>
    where
        J: PartialEq,
        F: FnMut(Entry<'a, V>, Entry<'a, V>) -> Option<J>,
    {
        Runs { entries: self.range(range).peekable(), join }
    }
}

impl<V: Linear, S: Spread<V>> XArray<V, S> {
    /// Maximal runs, told by the index: from each index to the next, the value grows by one, or shrinks by one.
    /// Entries of different orders may follow each other upwards, since inside them an [`Ascending`] value grows;
    /// downwards only single indices do. Larger entries of a uniform array stand alone.
    pub fn runs(&self, range: impl RangeBounds<u64>) -> impl Iterator<Item = Run<'_, V, Direction>> {
        self.runs_by(range, |one, next| {
            let single = one.block.order() == 0 && next.block.order() == 0;
            let size = one.block.size()?;
            if (S::ASCENDS || single) && one.value.ahead(size).as_ref() == Some(next.value) {
                Some(Direction::Up)
            } else if single && one.value.behind(1).as_ref() == Some(next.value) {
                Some(Direction::Down)
            } else {
                None
            }
        })
    }
}

impl<V: Linear> XArray<V, Ascending> {
    /// Maximal runs, told by the block: entries of one order, each with the value one block size up, or down,
    /// from the one before. What a file's folios make: frames ascend inside each, and folios of one size were
    /// often handed out in a row.
    pub fn block_runs(&self, range: impl RangeBounds<u64>) -> impl Iterator<Item = Run<'_, V, Direction>> {
        self.runs_by(range, |one, next| {
            if one.block.order() != next.block.order() {
                return None;
            }
            let size = one.block.size()?;
            if one.value.ahead(size).as_ref() == Some(next.value) {
                Some(Direction::Up)
            } else if one.value.behind(size).as_ref() == Some(next.value) {
                Some(Direction::Down)
            } else {
                None
            }
        })
    }
}
