//! Gaps: stretches of free indices.
//!
//! An index is **free** if no entry covers it and it is not reserved. A **gap** is a stretch of free indices that
//! cannot be made longer. A **hole** is any stretch inside a gap.

use core::ops::{RangeBounds, RangeInclusive};

use super::block::bounds;
use super::node::Node;
use super::path::Path;
use super::tree::Tree;
use super::{Block, XArray};

/// The gaps of a range, ascending; see [`XArray::gaps`].
#[derive(Debug)]
pub struct Gaps<'a, V> {
    tree: &'a Tree<V>,
    path: Path,
    /// What has not been looked at yet.
    rest: Option<(u64, u64)>,
}

impl<V> Clone for Gaps<'_, V> {
    fn clone(&self) -> Self {
        Self { path: self.path.clone(), ..*self }
    }
}

impl<V> Iterator for Gaps<'_, V> {
    type Item = RangeInclusive<u64>;

    fn next(&mut self) -> Option<RangeInclusive<u64>> {
        while let Some((first, last)) = self.rest.take() {
            let Some(row) = self.path.seek(self.tree, first, Node::taken) else { return Some(first..=last) };
            let node = self.tree.node(row.id);
            let (row_first, row_last) = (node.index_of(row.slot), node.row_end(row.slot));
            if row_last < last {
                self.rest = Some((row_last + 1, last));
            }
            if row_first > first {
                return Some(first..=last.min(row_first - 1));
            }
        }
        None
    }
}

impl<V> core::iter::FusedIterator for Gaps<'_, V> {}

impl<V, S> XArray<V, S> {
    /// The gaps in `range`, ascending, clipped to it.
    pub fn gaps(&self, range: impl RangeBounds<u64>) -> Gaps<'_, V> {
        Gaps { tree: &self.tree, path: Path::new(), rest: bounds(&range) }
    }

    /// The first hole in `range` that has `len` indices and starts at a multiple of 2^`align`. Returns its first
    /// index; `None` if there is none, or if `len` is 0.
    pub fn find_hole(&self, range: impl RangeBounds<u64>, len: u64, align: u8) -> Option<u64> {
        let more = len.checked_sub(1)?;
        self.gaps(range).find_map(|gap| {
            let below = Block::around(*gap.start(), align);
            let at =
                if below.first() == *gap.start() { below.first() } else { below.last().checked_add(1)? };
            (at.checked_add(more)? <= *gap.end()).then_some(at)
        })
    }
}
