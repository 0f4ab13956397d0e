//! The frame allocator of one party.
//!
//! A frame is **free**, **allocated** to somebody above the backend, or a **node**: it holds a part of the tracker.
//! Scratch and frame 0 are neither.

use super::config::{Fragmentation, Layout, NumaNode};
use crate::ranges::RangeSet;
use crate::{FrameCount, FrameRange, KhoError, Pfn};

#[derive(Clone)]
pub(super) struct Frames {
    free: RangeSet,
    allocated: RangeSet,
    nodes: u64,
    random: SplitMix,
    /// Where `take` and `alloc` look first.
    pub(super) near: Option<NumaNode>,
}

impl Frames {
    /// Everything is free. `salt` tells the random choices of parties apart.
    pub(super) fn all_free(layout: &Layout, salt: u64) -> Self {
        Self {
            free: layout.usable.clone(),
            allocated: RangeSet::default(),
            nodes: 0,
            random: SplitMix(layout.seed ^ salt.wrapping_mul(SplitMix::STEP)),
            near: None,
        }
    }

    /// Exactly `preserved` is allocated, and `nodes` hold the tracker. Both come from bytes that somebody else wrote;
    /// they are known to be disjoint and to lie in the machine.
    pub(super) fn inherit(
        &mut self,
        layout: &Layout,
        preserved: &[FrameRange],
        nodes: &[Pfn],
    ) -> Result<(), KhoError> {
        let claim = |free: &mut RangeSet, range: FrameRange| {
            if let Some(scratch) = layout.scratch_at(range) {
                return Err(KhoError::InScratch { range, scratch });
            }
            if !free.covers(range) {
                return Err(KhoError::NotAllocated { range });
            }
            free.remove(range);
            Ok(())
        };
        for &range in preserved {
            claim(&mut self.free, range)?;
            self.allocated.insert(range);
        }
        for node in nodes {
            claim(&mut self.free, node.as_range())?;
            self.nodes += 1;
        }
        Ok(())
    }

    /// A run of at most `want` frames, now allocated.
    pub(super) fn alloc(&mut self, layout: &Layout, want: FrameCount) -> Option<FrameRange> {
        let range = self.pick(layout, want)?;
        self.free.remove(range);
        self.allocated.insert(range);
        Some(range)
    }

    /// Frees frames that are all allocated.
    pub(super) fn free(&mut self, range: FrameRange) {
        self.allocated.remove(range);
        self.free.insert(range);
    }

    /// A frame for a node.
    pub(super) fn take(&mut self, layout: &Layout) -> Option<Pfn> {
        let range = self.pick(layout, FrameCount::ONE)?;
        self.free.remove(range);
        self.nodes += 1;
        Some(range.start())
    }

    /// Gives the frame of a node back.
    pub(super) fn give(&mut self, node: Pfn) {
        assert!(!self.allocated.contains(node), "{node} is given back as a node but allocated");
        self.free.insert(node.as_range());
        self.nodes -= 1;
    }

    pub(super) fn allocated(&self) -> &RangeSet {
        &self.allocated
    }

    pub(super) fn nodes(&self) -> u64 {
        self.nodes
    }

    pub(super) fn free_frames(&self) -> u64 {
        self.free.frames()
    }

    fn pick(&mut self, layout: &Layout, want: FrameCount) -> Option<FrameRange> {
        if want == FrameCount::ZERO {
            return None;
        }
        let nodes = layout.nodes.as_slice();
        let near = self.near.and_then(|NumaNode(number)| nodes.get(number..=number));
        match near.and_then(|node| self.pick_in(layout.fragmentation, node, want)) {
            Some(found) => Some(found),
            None => self.pick_in(layout.fragmentation, nodes, want),
        }
    }

    fn pick_in(&mut self, how: Fragmentation, nodes: &[FrameRange], want: FrameCount) -> Option<FrameRange> {
        match how {
            Fragmentation::Contiguous => self.first_fit(nodes, want),
            Fragmentation::Single => {
                let run = nodes.iter().find_map(|&node| self.free.first_within(node))?;
                Some(run.start().as_range())
            }
            Fragmentation::Descending => {
                let run = nodes.iter().rev().find_map(|&node| self.free.within(node).next_back())?;
                FrameRange::from_bounds(run.end() - 1, run.end())
            }
            Fragmentation::Random => self.anywhere(nodes, want),
        }
    }

    fn first_fit(&self, nodes: &[FrameRange], want: FrameCount) -> Option<FrameRange> {
        let mut longest: Option<FrameRange> = None;
        for run in nodes.iter().flat_map(|&node| self.free.within(node)) {
            if run.count() >= want {
                return FrameRange::new(run.start(), want);
            }
            if longest.is_none_or(|longest| longest.count() < run.count()) {
                longest = Some(run);
            }
        }
        longest
    }

    fn anywhere(&mut self, nodes: &[FrameRange], want: FrameCount) -> Option<FrameRange> {
        let (start, end) = (nodes.first()?.start().get(), nodes.last()?.end());
        let at = start + self.random.below(end - start);
        let above = FrameRange::from_bounds(at, end).and_then(|range| self.free.first_within(range));
        let below = || FrameRange::from_bounds(start, at).and_then(|range| self.free.first_within(range));
        let run = above.or_else(below)?;
        let node = nodes.iter().find(|node| node.contains(run.start()))?;
        let piece = run.intersection(*node)?;
        let count = 1 + self.random.below(want.min(piece.count()).get());
        FrameRange::new(piece.start(), FrameCount::new(count)?)
    }
}

/// Steele, Lea and Flood, "Fast splittable pseudorandom number generators" (2014): one word of state.
#[derive(Clone, Copy)]
struct SplitMix(u64);

impl SplitMix {
    const STEP: u64 = 0x9E37_79B9_7F4A_7C15;

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(Self::STEP);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        word ^ (word >> 31)
    }

    /// Below `limit`, which is not 0; evenly enough for a test.
    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}
