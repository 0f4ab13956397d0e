//! **Heads**: the first values of runs, gathered while a chunk's entries are at hand, so that its leaf can be written
//! without them.

use alloc::vec::Vec;

use super::gauge::ChunkLines;
use super::lines::Lines;
use super::write::gather;
use crate::serial::wire::{LeafOrder, LeafShape};

/// Chunks of more runs take about as long to be read again, and are seldom written as runs.
const RUNS_MAX: u32 = 256;

/// The heads of many chunks, one after the other.
#[derive(Debug, Default)]
pub(in crate::serial) struct Heads(Vec<u64>);

/// Where those of one chunk begin. `None` if they were not gathered.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::serial) struct HeadsOf {
    by_index: Option<usize>,
    by_rank: Option<usize>,
}

impl Heads {
    pub(in crate::serial) fn clear(&mut self) {
        self.0.clear();
    }

    /// Gathers the heads of a chunk with these values, by rank.
    #[inline]
    pub(in crate::serial) fn add(&mut self, lines: &ChunkLines, values: &[u64]) -> HeadsOf {
        let by_index = self.gather(&lines.by_index, values);
        let by_rank = lines.by_rank.as_ref().map_or(by_index, |lines| self.gather(lines, values));
        HeadsOf { by_index, by_rank }
    }

    #[inline]
    fn gather(&mut self, lines: &Lines, values: &[u64]) -> Option<usize> {
        if lines.runs > RUNS_MAX {
            return None;
        }
        let begin = self.0.len();
        self.0.resize(begin + lines.runs as usize, 0);
        gather(values, &lines.starts, self.0.get_mut(begin..).unwrap_or_default());
        Some(begin)
    }

    /// The heads for a leaf of this shape.
    pub(in crate::serial) fn get(&self, heads: HeadsOf, shape: &LeafShape) -> Option<&[u64]> {
        let begin = match shape.order {
            LeafOrder::Index => heads.by_index,
            LeafOrder::Rank => heads.by_rank,
            LeafOrder::Single => None,
        }?;
        self.0.get(begin..begin + shape.runs as usize)
    }
}
