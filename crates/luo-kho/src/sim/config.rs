//! What a simulated machine is made of.
//!
//! - **Scratch** is where the next kernel boots: nothing in it is handed out, and nothing in it can be preserved.
//! - A **NUMA node** is a stretch of memory near some CPUs. A run that `alloc` hands out lies in one node.
//! - **Fragmentation** is how unkind `alloc` is: a machine that has been up for months gives single frames.
//!
//! Frame 0 is never handed out, as on real machines: its address is the number that names nothing.

use alloc::vec::Vec;

use crate::ranges::RangeSet;
use crate::{FrameCount, FrameRange, Pfn};

/// 16 MiB: enough for every scenario that does not say otherwise.
const DEFAULT_SPAN: FrameRange = match FrameRange::from_bounds(0, 4096) {
    Some(span) => span,
    None => unreachable!(),
};

/// Which frames `alloc` picks. Always as many as asked for, or fewer; never across the end of a NUMA node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fragmentation {
    /// The lowest run that is long enough; the longest there is, if none is.
    #[default]
    Contiguous,
    /// One frame, the lowest that is free.
    Single,
    /// One frame, the highest that is free: neighbours in time are neighbours in memory, but backwards.
    Descending,
    /// A run of random length at a random place.
    Random,
}

/// The number of a NUMA node, from 0, in order of its frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NumaNode(pub usize);

/// The parts of a machine, to be put together by [`Machine::new`](super::Machine::new).
///
/// The default has 4096 frames from 0 on, one NUMA node, scratch as described at [`scratch`](Self::scratch), and an
/// allocator that gives contiguous frames.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MachineConfig {
    span: FrameRange,
    scratch: Option<Vec<FrameRange>>,
    node_starts: Vec<Pfn>,
    fragmentation: Fragmentation,
    seed: u64,
}

impl Default for MachineConfig {
    fn default() -> Self {
        Self {
            span: DEFAULT_SPAN,
            scratch: None,
            node_starts: Vec::new(),
            fragmentation: Fragmentation::default(),
            seed: 0,
        }
    }
}

impl MachineConfig {
    /// So many frames from 0 on. Memory that nobody wrote costs nothing: 2^28 frames, 1 TiB, are fine.
    ///
    /// # Panics
    ///
    /// If `count` is zero.
    #[must_use]
    pub fn frames(self, count: FrameCount) -> Self {
        let Some(span) = FrameRange::new(Pfn::ZERO, count) else { panic!("a machine without memory") };
        self.span(span)
    }

    /// Exactly these frames.
    #[must_use]
    pub fn span(mut self, span: FrameRange) -> Self {
        self.span = span;
        self
    }

    /// Exactly these regions, ascending and disjoint; none of them is allowed.
    ///
    /// Unless this is called there is one region, a sixteenth of the memory that begins after the first quarter;
    /// none where the machine has fewer than 64 frames.
    #[must_use]
    pub fn scratch(mut self, regions: impl IntoIterator<Item = FrameRange>) -> Self {
        self.scratch = Some(regions.into_iter().collect());
        self
    }

    /// The first frame of every NUMA node but the lowest, ascending.
    #[must_use]
    pub fn node_starts(mut self, starts: impl IntoIterator<Item = Pfn>) -> Self {
        self.node_starts = starts.into_iter().collect();
        self
    }

    /// How `alloc` picks frames.
    #[must_use]
    pub fn fragmentation(mut self, fragmentation: Fragmentation) -> Self {
        self.fragmentation = fragmentation;
        self
    }

    /// Where everything random comes from.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }
}

/// A configuration that was checked, in the form in which it is used.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) span: FrameRange,
    pub(super) scratch: Vec<FrameRange>,
    /// Ascending; together all of `span`.
    pub(super) nodes: Vec<FrameRange>,
    /// All frames that can ever be handed out.
    pub(super) usable: RangeSet,
    pub(super) fragmentation: Fragmentation,
    pub(super) seed: u64,
}

impl Layout {
    /// Panics where the parts do not fit together, as [`Machine::new`](super::Machine::new) says.
    pub(super) fn of(config: MachineConfig) -> Self {
        let MachineConfig { span, scratch, node_starts, fragmentation, seed } = config;
        let scratch = scratch.unwrap_or_else(|| default_scratch(span));

        let mut usable = RangeSet::default();
        usable.insert(span);
        if span.contains(Pfn::ZERO) {
            usable.remove(Pfn::ZERO.as_range());
        }
        let mut above = 0;
        for &region in &scratch {
            assert!(span.covers(region), "scratch {region} lies outside {span}");
            assert!(above <= region.start().get(), "scratch {region} is not above the region before it");
            above = region.end();
            let mut gone = RangeSet::default();
            usable.move_into(&mut gone, region);
        }

        let mut nodes = Vec::with_capacity(node_starts.len() + 1);
        let mut rest = span;
        for start in node_starts {
            let below = FrameRange::from_bounds(rest.start().get(), start.get());
            let above = FrameRange::from_bounds(start.get(), span.end());
            let (Some(node), Some(tail)) = (below, above) else {
                panic!("a NUMA node cannot start at {start}: {rest} are left for it and those above")
            };
            nodes.push(node);
            rest = tail;
        }
        nodes.push(rest);
        Self { span, scratch, nodes, usable, fragmentation, seed }
    }

    /// The node in which `pfn` lies; `None` outside the machine.
    pub(super) fn node_of(&self, pfn: Pfn) -> Option<NumaNode> {
        let above = self.nodes.partition_point(|node| node.start() <= pfn);
        self.span.contains(pfn).then(|| NumaNode(above.saturating_sub(1)))
    }

    /// The scratch region that `range` meets.
    pub(super) fn scratch_at(&self, range: FrameRange) -> Option<FrameRange> {
        self.scratch.iter().copied().find(|region| region.intersection(range).is_some())
    }
}

fn default_scratch(span: FrameRange) -> Vec<FrameRange> {
    let frames = span.count().get();
    if frames < 64 {
        return Vec::new();
    }
    let start = span.start().get() + frames / 4;
    FrameRange::from_bounds(start, start + frames / 16).into_iter().collect()
}
