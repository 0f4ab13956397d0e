//! Pools: huge pages do not come from a host's common memory, but from a **pool** of their size, part of it on each
//! **node** (a part of memory near some CPUs).
//!
//! - A page of a pool is **free**, or in use. A free page may be **reserved**: promised to a mapping that has not
//!   touched it yet. A pool may **overcommit**: take more pages from common memory while it has them.
//! - A [`Need`] is what a copy of a file takes from the successor's pool, set against what this host's pool has.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;

use crate::{FreeTo, PageSize};

/// The number of a node. Where a host cannot tell, it is [`UNKNOWN`](Self::UNKNOWN).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Node(pub u32);

/// A part of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodePages {
    /// The node.
    pub node: Node,
    /// Pages, free or not.
    pub total: u64,
    /// Pages that nobody uses.
    pub free: u64,
}

/// All huge pages of one size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    /// Their size.
    pub page_size: PageSize,
    /// By node, ascending.
    pub nodes: Vec<NodePages>,
    /// Free pages that are promised to mappings.
    pub reserved: u64,
    /// Pages that may be taken from common memory, if that has them.
    pub overcommit: u64,
}

/// Neighbouring populated huge pages of a file that lie on one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// Their numbers, counted in huge pages from the start of the file.
    pub pages: Range<u64>,
    /// Their node.
    pub node: Node,
}

/// Populated pages by node, ascending, none of them 0: where a file lay, as a recorded fact.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Placement(BTreeMap<Node, u64>);

/// Pages of one size that an update preserves, on one node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NodeCount {
    /// The node's number.
    pub node: u32,
    /// Pages that go by reference: they stay where they are, and a pool that is made anew must be smaller by as many.
    pub kept: u64,
    /// Pages that were copied: whoever makes their files again takes as many from the pool.
    pub copied: u64,
}

/// What a copy takes, and what there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Need {
    /// The size.
    pub page_size: PageSize,
    /// Pages in all, by the node on which they lie now.
    pub placement: Placement,
    /// This host's pool; `None` if it has none of this size.
    pub pool: Option<Pool>,
    /// Pages that the file itself gives back before its copy is made.
    pub given_back: u64,
    /// To whom. If that is common memory, the pool has to get them again from there, while their contents are there
    /// too.
    pub given_back_to: Option<FreeTo>,
}

/// Why a copy cannot be made: pages are short. Numbers are pages of the size.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Shortage {
    /// The host has no pages of this size at all.
    #[error("{needed} pages of {page_size} are needed, this host has no pages of that size, {}", List(.sizes))]
    NoSuchSize {
        /// The size.
        page_size: PageSize,
        /// Pages needed.
        needed: u64,
        /// The sizes that it has.
        sizes: Vec<PageSize>,
    },
    /// Too few are free.
    #[error(
        "{needed} pages of {page_size} are needed, {available} can be had{had}: {} are missing",
        .needed.saturating_sub(*.available),
        had = ByNode(.nodes)
    )]
    TooFew {
        /// The size.
        page_size: PageSize,
        /// Pages needed.
        needed: u64,
        /// Pages that can be had.
        available: u64,
        /// Where.
        nodes: Vec<NodePages>,
    },
}

/// Names sizes.
struct List<'a>(&'a [PageSize]);
/// Names free pages by node.
struct ByNode<'a>(&'a [NodePages]);

impl Node {
    /// The host cannot tell.
    pub const UNKNOWN: Self = Self(u32::MAX);
}

impl Pool {
    /// Free pages, on all nodes.
    pub fn free(&self) -> u64 {
        self.nodes.iter().map(|node| node.free).sum()
    }

    /// Pages, on all nodes.
    pub fn total(&self) -> u64 {
        self.nodes.iter().map(|node| node.total).sum()
    }

    /// Free pages that are promised to nobody.
    pub fn unreserved(&self) -> u64 {
        self.free().saturating_sub(self.reserved)
    }

    /// Whether `needed` pages can be had, with the overcommitted ones.
    ///
    /// # Errors
    ///
    /// [`Shortage`].
    pub fn can_give(pools: &[Self], page_size: PageSize, needed: u64) -> Result<(), Shortage> {
        let Some(pool) = pools.iter().find(|pool| pool.page_size == page_size) else {
            let sizes = pools.iter().map(|pool| pool.page_size).collect();
            return Err(Shortage::NoSuchSize { page_size, needed, sizes });
        };
        let available = pool.unreserved().saturating_add(pool.overcommit);
        if available >= needed { Ok(()) } else { Err(pool.too_few(needed, available)) }
    }

    /// That this pool gave `available` pages and no more.
    pub fn too_few(&self, needed: u64, available: u64) -> Shortage {
        let Self { page_size, ref nodes, .. } = *self;
        Shortage::TooFew { page_size, needed, available, nodes: nodes.clone() }
    }
}

impl Placement {
    /// Of these runs.
    pub fn of(runs: &[Run]) -> Self {
        runs.iter().map(|run| (run.node, run.pages.end - run.pages.start)).collect()
    }

    /// Pages on all nodes.
    pub fn pages(&self) -> u64 {
        self.0.values().sum()
    }

    /// Pages on this node.
    pub fn on(&self, node: Node) -> u64 {
        self.0.get(&node).copied().unwrap_or_default()
    }

    /// Each node with its pages, ascending.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (Node, u64)> {
        self.0.iter().map(|(&node, &pages)| (node, pages))
    }
}

impl FromIterator<(Node, u64)> for Placement {
    fn from_iter<T: IntoIterator<Item = (Node, u64)>>(pages: T) -> Self {
        let mut placement = BTreeMap::<Node, u64>::new();
        for (node, pages) in pages.into_iter().filter(|(_, pages)| *pages > 0) {
            let sum = placement.entry(node).or_default();
            *sum = sum.saturating_add(pages);
        }
        Self(placement)
    }
}

impl Need {
    /// Pages that cannot be had as things are.
    pub fn missing(&self) -> u64 {
        let pool = self.pool.as_ref().map_or(0, |pool| pool.unreserved().saturating_add(pool.overcommit));
        self.placement.pages().saturating_sub(pool.saturating_add(self.given_back))
    }
}

/// One sentence: what is needed, where, against what is free, and what will be missing.
impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { page_size, placement, pool, given_back, given_back_to } = self;
        let none = NodePages { node: Node::UNKNOWN, total: 0, free: 0 };
        let nodes = pool.as_ref().map(|pool| &*pool.nodes).unwrap_or_default();
        write!(f, "a copy needs {} pages of {page_size}", placement.pages())?;
        for (node, pages) in placement.iter() {
            let free = nodes.iter().find(|known| known.node == node).unwrap_or(&none).free;
            write!(f, ", {node}: {pages}, free {free}")?;
        }
        match pool {
            None => f.write_str("; this host has no such pages")?,
            Some(pool) => write!(f, "; {} are free and not reserved", pool.unreserved())?,
        }
        if *given_back > 0 {
            write!(f, ", the file itself gives back {given_back}")?;
            if *given_back_to == Some(FreeTo::CommonMemory) {
                f.write_str(" to common memory, which needs room for them twice")?;
            }
        }
        match self.missing() {
            0 => f.write_str("; none will be missing"),
            missing => write!(f, "; {missing} will be missing"),
        }
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::UNKNOWN => f.write_str("unknown node"),
            Self(number) => write!(f, "node {number}"),
        }
    }
}

impl fmt::Display for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            [] => f.write_str("nor of any other"),
            [first, others @ ..] => {
                write!(f, "but of {first}")?;
                others.iter().try_for_each(|size| write!(f, ", {size}"))
            }
        }
    }
}

impl fmt::Display for ByNode<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let free = |f: &mut fmt::Formatter<'_>, NodePages { node, free, .. }: &NodePages| {
            write!(f, "{node}: {free} free")
        };
        let Some((first, others)) = self.0.split_first() else { return Ok(()) };
        f.write_str(" (")?;
        free(f, first)?;
        others.iter().try_for_each(|node| f.write_str(", ").and_then(|()| free(f, node)))?;
        f.write_str(")")
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::vec;

    use super::*;

    fn pool(free: [u64; 2], reserved: u64) -> Pool {
        let node = |node, free| NodePages { node: Node(node), total: 8, free };
        Pool {
            page_size: PageSize::MIB_2,
            nodes: vec![node(0, free[0]), node(1, free[1])],
            reserved,
            overcommit: 0,
        }
    }

    #[test]
    fn what_is_reserved_cannot_be_had_and_overcommit_can() {
        let pools = [pool([2, 1], 1)];
        assert_eq!(Pool::can_give(&pools, PageSize::MIB_2, 2), Ok(()));
        let short = Pool::can_give(&pools, PageSize::MIB_2, 3).unwrap_err();
        let said =
            "3 pages of 2048 KiB are needed, 2 can be had (node 0: 2 free, node 1: 1 free): 1 are missing";
        assert_eq!(format!("{short}"), said);
        let pools = [Pool { overcommit: 1, ..pool([2, 1], 1) }];
        assert_eq!(Pool::can_give(&pools, PageSize::MIB_2, 3), Ok(()));
        let none = Pool::can_give(&pools, PageSize::GIB_1, 1).unwrap_err();
        let said = "1 pages of 1048576 KiB are needed, this host has no pages of that size, but of 2048 KiB";
        assert_eq!(format!("{none}"), said);
        let none = Pool::can_give(&[], PageSize::GIB_1, 1).unwrap_err();
        assert!(format!("{none}").ends_with("no pages of that size, nor of any other"), "{none}");
    }

    #[test]
    fn a_need_says_what_will_be_missing() {
        let runs = [
            Run { pages: 0..3, node: Node(0) },
            Run { pages: 7..9, node: Node(1) },
            Run { pages: 9..10, node: Node(0) },
        ];
        let placement = Placement::of(&runs);
        assert_eq!((placement.pages(), placement.on(Node(0)), placement.on(Node(2))), (6, 4, 0));
        let mut need = Need {
            page_size: PageSize::MIB_2,
            placement,
            pool: Some(pool([2, 1], 1)),
            given_back: 0,
            given_back_to: None,
        };
        let said = "a copy needs 6 pages of 2048 KiB, node 0: 4, free 2, node 1: 2, free 1; \
                    2 are free and not reserved; 4 will be missing";
        assert_eq!(format!("{need}"), said);
        need.given_back = 6;
        assert_eq!(need.missing(), 0);
        assert!(format!("{need}").ends_with("gives back 6; none will be missing"), "{need}");
        need.given_back_to = Some(FreeTo::CommonMemory);
        let said = "gives back 6 to common memory, which needs room for them twice; none will be missing";
        assert!(format!("{need}").ends_with(said), "{need}");
        need.pool = None;
        assert!(format!("{need}").contains("this host has no such pages"), "{need}");
    }
}
