//! The pools of a simulated host.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::pool::{NodeCount, NodePages, Pool};
use crate::preserved::boot;
use crate::{Node, PageSize};

/// All pools.
#[derive(Debug, Default)]
pub(super) struct Pools {
    by_size: BTreeMap<PageSize, BTreeMap<Node, Pages>>,
    /// What the kernel was configured to have and has not taken yet.
    pending: BTreeMap<PageSize, Vec<(u32, u64)>>,
    preferred: Node0,
}

#[derive(Debug, Default)]
struct Pages {
    total: u64,
    free: u64,
    /// In the hands of a user that has no file.
    away: u64,
    /// Pages that left the pool.
    left: u64,
}

/// A node, the first by default.
#[derive(Debug)]
struct Node0(Node);

impl Default for Node0 {
    fn default() -> Self {
        Self(Node(0))
    }
}

type Configured<'a> = [(PageSize, &'a [u64])];

impl Pools {
    pub(super) fn configured(pools: &Configured<'_>) -> Self {
        let pending = pools.iter().map(|(size, nodes)| (*size, (0..).zip(nodes.iter().copied()).collect()));
        Self { pending: pending.collect(), ..Self::default() }
    }

    pub(super) fn filled(pools: &Configured<'_>) -> Self {
        let mut filled = Self::configured(pools);
        for (size, _) in pools {
            filled.boot(*size, &[]);
        }
        filled
    }

    /// Takes the pages of one size from unused memory, once: so many are in use already.
    pub(super) fn boot(&mut self, size: PageSize, preserved: &[NodeCount]) {
        let Some(configured) = self.pending.remove(&size) else { return };
        let nodes = boot(&configured, preserved).into_iter().map(|node| {
            (Node(node.node), Pages { total: node.allocate, free: node.allocate, ..Pages::default() })
        });
        self.by_size.insert(size, nodes.collect());
    }

    fn boot_all(&mut self) {
        for size in self.pending.keys().copied().collect::<Vec<_>>() {
            self.boot(size, &[]);
        }
    }

    pub(super) fn has(&self, size: PageSize) -> bool {
        self.by_size.contains_key(&size) || self.pending.contains_key(&size)
    }

    pub(super) const fn prefer(&mut self, node: Node) {
        self.preferred = Node0(node);
    }

    /// Those that were not taken yet as they will be if nothing is preserved.
    pub(super) fn all(&self) -> Vec<Pool> {
        let pool = |(size, nodes): (&PageSize, &BTreeMap<Node, Pages>)| Pool {
            page_size: *size,
            nodes: nodes
                .iter()
                .map(|(node, pages)| NodePages { node: *node, total: pages.total, free: pages.free })
                .collect(),
            reserved: 0,
            overcommit: 0,
        };
        let configured = |(size, nodes): (&PageSize, &Vec<(u32, u64)>)| Pool {
            page_size: *size,
            nodes: nodes
                .iter()
                .map(|&(node, pages)| NodePages { node: Node(node), total: pages, free: pages })
                .collect(),
            reserved: 0,
            overcommit: 0,
        };
        let mut pools: Vec<_> =
            self.by_size.iter().map(pool).chain(self.pending.iter().map(configured)).collect();
        pools.sort_unstable_by_key(|pool| pool.page_size);
        pools
    }

    /// One page, on this node or the preferred one if that has one.
    pub(super) fn take(&mut self, size: PageSize, near: Option<Node>) -> Option<Node> {
        self.boot_all();
        let preferred = near.unwrap_or(self.preferred.0);
        let nodes = self.by_size.get_mut(&size)?;
        let with_free = |pages: &Pages| pages.free > 0;
        let node = if nodes.get(&preferred).is_some_and(with_free) {
            preferred
        } else {
            nodes.iter().find(|(_, pages)| with_free(pages)).map(|(node, _)| *node)?
        };
        nodes.get_mut(&node)?.free -= 1;
        Some(node)
    }

    /// A page that was in use is free.
    pub(super) fn put(&mut self, size: PageSize, node: Node) {
        self.by_size.entry(size).or_default().entry(node).or_default().free += 1;
    }

    /// A page that another kernel had belongs to this one.
    pub(super) fn adopt(&mut self, size: PageSize, node: Node) {
        self.boot(size, &[]);
        self.by_size.entry(size).or_default().entry(node).or_default().total += 1;
    }

    /// A page that is another kernel's now.
    pub(super) fn lose(&mut self, size: PageSize, node: Node) {
        if let Some(pages) = self.by_size.get_mut(&size).and_then(|nodes| nodes.get_mut(&node)) {
            pages.total -= 1;
        }
    }

    /// A free page goes to common memory. Whether there was one.
    pub(super) fn shrink(&mut self, size: PageSize, node: Node) -> bool {
        let pages = self.by_size.get_mut(&size).and_then(|nodes| nodes.get_mut(&node));
        let Some(pages) = pages.filter(|pages| pages.free > 0) else { return false };
        pages.free -= 1;
        pages.total -= 1;
        pages.left += 1;
        true
    }

    /// Takes pages from common memory: no more than have left.
    pub(super) fn grow(&mut self, size: PageSize, node: Node, count: u64) {
        if let Some(pages) = self.by_size.get_mut(&size).and_then(|nodes| nodes.get_mut(&node)) {
            let count = count.min(pages.left);
            pages.left -= count;
            pages.free += count;
            pages.total += count;
        }
    }

    pub(super) fn take_away(&mut self, size: PageSize, count: u64) -> u64 {
        self.boot_all();
        let mut taken = 0;
        for pages in self.by_size.get_mut(&size).into_iter().flat_map(BTreeMap::values_mut) {
            let some = pages.free.min(count - taken);
            pages.free -= some;
            pages.away += some;
            taken += some;
        }
        taken
    }

    pub(super) fn give_back(&mut self, size: PageSize, mut count: u64) {
        for pages in self.by_size.get_mut(&size).into_iter().flat_map(BTreeMap::values_mut) {
            let some = pages.away.min(count);
            pages.away -= some;
            pages.free += some;
            count -= some;
        }
    }
}
