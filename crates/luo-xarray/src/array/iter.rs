//! Entries, and the walk over them.

use core::fmt;
use core::ops::RangeBounds;

use super::block::bounds;
use super::node::Node;
use super::path::{Frame, Path};
use super::tree::Tree;
use super::{Block, Mark, Marks, Spread, XArray};

/// One entry, as it stands in the array.
#[derive(Debug, PartialEq, Eq)]
pub struct Entry<'a, V> {
    /// The indices that it covers.
    pub block: Block,
    /// Its value: that of its first index.
    pub value: &'a V,
    /// Its marks.
    pub marks: Marks,
}

impl<V> Clone for Entry<'_, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<V> Copy for Entry<'_, V> {}

impl<'a, V> Entry<'a, V> {
    pub(super) fn at(node: &'a Node<V>, start: u32) -> Self {
        Self { block: node.block_at(start), value: node.value(start), marks: node.marks_at(start) }
    }

    pub(super) fn on(tree: &'a Tree<V>, frame: Frame) -> Self {
        Self::at(tree.node(frame.id), frame.slot)
    }
}

/// The entries that cover an index of a range, ascending; see [`XArray::range`] and [`XArray::iter_marked`].
///
/// An entry that sticks out of the range is given whole.
#[derive(Debug)]
pub struct Iter<'a, V> {
    tree: &'a Tree<V>,
    path: Path,
    /// Where to begin, until begun.
    first: Option<u64>,
    last: u64,
    mark: Option<Mark>,
}

impl<'a, V> Iter<'a, V> {
    pub(super) fn new(tree: &'a Tree<V>, range: &impl RangeBounds<u64>, mark: Option<Mark>) -> Self {
        let (first, last) = bounds(range).map_or((None, 0), |(first, last)| (Some(first), last));
        Self { tree, path: Path::new(), first, last, mark }
    }
}

impl<V> Clone for Iter<'_, V> {
    fn clone(&self) -> Self {
        Self { path: self.path.clone(), ..*self }
    }
}

impl<'a, V> Iterator for Iter<'a, V> {
    type Item = Entry<'a, V>;

    fn next(&mut self) -> Option<Entry<'a, V>> {
        let mark = self.mark;
        let pick = |node: &Node<V>| mark.map_or(node.inhabited(), |mark| node.marked(mark));
        let frame = match self.first.take() {
            Some(first) => self.path.seek(self.tree, first, pick),
            None => self.path.next(self.tree, pick),
        };
        let entry = Entry::on(self.tree, frame?);
        if entry.block.first() > self.last {
            // A path to nowhere leads nowhere: the iterator stays at its end.
            self.path.clear();
            return None;
        }
        Some(entry)
    }
}

impl<V> core::iter::FusedIterator for Iter<'_, V> {}

impl<V, S> XArray<V, S> {
    /// Every entry, ascending.
    pub fn iter(&self) -> Iter<'_, V> {
        self.range(..)
    }

    /// The entries that cover an index in `range`, ascending. Those that stick out of it are given whole.
    pub fn range(&self, range: impl RangeBounds<u64>) -> Iter<'_, V> {
        Iter::new(&self.tree, &range, None)
    }
}

impl<'a, V, S> IntoIterator for &'a XArray<V, S> {
    type Item = Entry<'a, V>;
    type IntoIter = Iter<'a, V>;

    fn into_iter(self) -> Iter<'a, V> {
        self.iter()
    }
}

impl<V, S: Spread<V>> Extend<(u64, V)> for XArray<V, S> {
    fn extend<I: IntoIterator<Item = (u64, V)>>(&mut self, values: I) {
        let mut cursor = self.cursor_mut();
        for (index, value) in values {
            cursor.store(index, value);
        }
    }
}

impl<V, S: Spread<V>> FromIterator<(u64, V)> for XArray<V, S> {
    fn from_iter<I: IntoIterator<Item = (u64, V)>>(values: I) -> Self {
        let mut array = Self::default();
        array.extend(values);
        array
    }
}

/// Equal arrays have the same entries: blocks, values and marks. Reservations do not count.
impl<V: PartialEq, S> PartialEq for XArray<V, S> {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().eq(other.iter())
    }
}

impl<V: Eq, S> Eq for XArray<V, S> {}

impl<V: fmt::Debug, S> fmt::Debug for XArray<V, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter().map(|entry| (entry.block, entry.value))).finish()
    }
}
