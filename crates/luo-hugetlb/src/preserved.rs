//! The pages of one size that an update preserves: an object that the files of that size share.
//!
//! A pool is filled when its kernel boots, from memory that nobody uses yet. Pages that come by reference belong to it
//! and are in use already, so it takes fewer; [`boot`] is that arithmetic. The counts are there before any file is
//! looked at.
//!
//! - A [`Share`] is one prepared file's part. Dropping it takes it out of the count.

use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;

use luo_core::{
    FreezeScope, Kind, PrepareScope, Record, Refusal, RetrieveScope, SharedObject, Version, VersionRange,
};

use crate::PageSize;
use crate::abi::{self, counts};
use crate::lock::Mutex;
use crate::pool::{NodeCount, Placement};

/// Counts the pages of one size.
#[derive(Clone, Copy, Debug)]
pub struct CountPages {
    page_size: PageSize,
    nodes: usize,
}

/// Their number, by node.
#[derive(Debug)]
pub struct PreservedPages {
    page_size: PageSize,
    shares: Arc<Mutex<Vec<Part>>>,
    /// What the predecessor counted.
    arrived: Vec<NodeCount>,
}

/// What one file adds.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Part {
    number: u64,
    placement: Placement,
    by_reference: bool,
}

/// One prepared file's part in the count.
#[derive(Debug)]
pub(crate) struct Share {
    number: u64,
    shares: Arc<Mutex<Vec<Part>>>,
}

/// What a pool does at boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeBoot {
    /// The node's number.
    pub node: u32,
    /// Pages to allocate.
    pub allocate: u64,
    /// Preserved pages beyond what the pool was configured to have: it is larger by as many.
    pub surplus: u64,
}

/// The arithmetic of a pool at boot: of what it was configured to have on each node, preserved pages are there already.
pub fn boot(configured: &[(u32, u64)], preserved: &[NodeCount]) -> Vec<NodeBoot> {
    let kept =
        |node: u32| preserved.iter().filter(|count| count.node == node).map(|count| count.kept).sum::<u64>();
    let of_node = |&(node, pages): &(u32, u64)| NodeBoot {
        node,
        allocate: pages.saturating_sub(kept(node)),
        surplus: kept(node).saturating_sub(pages),
    };
    let elsewhere = preserved.iter().filter(|count| configured.iter().all(|(node, _)| *node != count.node));
    let elsewhere = elsewhere.map(|count| NodeBoot { node: count.node, allocate: 0, surplus: count.kept });
    configured.iter().map(of_node).chain(elsewhere).collect()
}

/// The kind of the object for one page size.
pub fn kind(page_size: PageSize) -> Kind {
    let name = format!("hugetlb-{}kB", page_size.bytes() >> 10);
    Kind::new(&name).unwrap_or_else(|_| unreachable!("a number of KiB is short"))
}

impl CountPages {
    /// Of this size, on a host with so many nodes.
    pub const fn new(page_size: PageSize, nodes: usize) -> Self {
        Self { page_size, nodes }
    }
}

impl PreservedPages {
    /// By node, ascending: what the predecessor counted, or what is prepared on this side.
    pub fn counts(&self) -> Vec<NodeCount> {
        let shares = self.shares.lock();
        if shares.is_empty() {
            return self.arrived.clone();
        }
        let of = |by_reference: bool| -> Placement {
            let parts = shares.iter().filter(|part| part.by_reference == by_reference);
            parts.flat_map(|part| part.placement.iter()).collect()
        };
        let (kept, copied) = (of(true), of(false));
        let nodes: Placement = kept.iter().chain(copied.iter()).collect();
        let count = |(node, _): (crate::Node, u64)| NodeCount {
            node: node.0,
            kept: kept.on(node),
            copied: copied.on(node),
        };
        nodes.iter().map(count).collect()
    }

    pub(crate) fn share(&self, placement: &Placement, by_reference: bool) -> Share {
        let mut shares = self.shares.lock();
        let number = shares.last().map_or(0, |last| last.number + 1);
        shares.push(Part { number, placement: placement.clone(), by_reference });
        Share { number, shares: Arc::clone(&self.shares) }
    }
}

impl Share {
    /// Pages have come or gone since.
    pub(crate) fn renew(&mut self, placement: &Placement) {
        if let Some(part) = self.shares.lock().iter_mut().find(|part| part.number == self.number) {
            part.placement = placement.clone();
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.shares.lock().retain(|part| part.number != self.number);
    }
}

impl SharedObject for CountPages {
    type Object = PreservedPages;

    fn kind(&self) -> Kind {
        kind(self.page_size)
    }

    fn reads(&self) -> VersionRange {
        abi::READS
    }

    fn writes(&self) -> Vec<Version> {
        abi::WRITES.to_vec()
    }

    fn preserve(&self) -> Result<PreservedPages, Refusal> {
        Ok(PreservedPages { page_size: self.page_size, shares: Arc::default(), arrived: Vec::new() })
    }

    fn prepare(&self, _: &mut PreservedPages, scope: &mut PrepareScope<'_>) -> Result<(), Refusal> {
        for version in scope.versions().to_vec() {
            scope.reserve(version, counts::most_bytes(self.nodes.saturating_add(1)))?;
        }
        Ok(())
    }

    fn cancel(&self, _: &mut PreservedPages) {}

    fn freeze(&self, pages: &mut PreservedPages, scope: &mut FreezeScope<'_>) -> Result<(), Refusal> {
        let bytes = counts::encode(pages.page_size, &pages.counts());
        for version in scope.versions().to_vec() {
            scope.put(version, &bytes)?;
        }
        Ok(())
    }

    fn unfreeze(&self, _: &mut PreservedPages) {}

    fn depart(&self, _: PreservedPages) {}

    fn retrieve(&self, record: &Record<'_>, _: &mut RetrieveScope<'_>) -> Result<PreservedPages, Refusal> {
        let (page_size, arrived) = counts::decode(record).map_err(Refusal::new)?;
        if page_size != self.page_size {
            return Err(Refusal::because("it counts pages of another size"));
        }
        Ok(PreservedPages { page_size, shares: Arc::default(), arrived })
    }

    fn finish(&self, _: PreservedPages) {}

    fn discard(&self, _: &Record<'_>, _: &mut RetrieveScope<'_>) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Node;

    #[test]
    fn a_pool_takes_fewer_pages_where_some_are_there_already() {
        let kept = |node, kept| NodeCount { node, kept, copied: 9 };
        let booted = boot(&[(0, 8), (1, 2)], &[kept(0, 3), kept(1, 5), kept(7, 1)]);
        let expected = [(0, 5, 0), (1, 0, 3), (7, 0, 1)];
        assert_eq!(booted, expected.map(|(node, allocate, surplus)| NodeBoot { node, allocate, surplus }));
    }

    #[test]
    fn shares_are_counted_as_long_as_they_are_held() {
        let pages = CountPages::new(PageSize::MIB_2, 2).preserve().unwrap();
        let placement = |pages: [u64; 2]| -> Placement { (0..).map(Node).zip(pages).collect() };
        let mut one = pages.share(&placement([1, 2]), true);
        let other = pages.share(&placement([4, 0]), false);
        let count = |node, kept, copied| NodeCount { node, kept, copied };
        assert_eq!(pages.counts(), [count(0, 1, 4), count(1, 2, 0)]);
        one.renew(&placement([0, 1]));
        assert_eq!(pages.counts(), [count(0, 0, 4), count(1, 1, 0)]);
        drop(one);
        let again = pages.share(&placement([2, 0]), true);
        drop(other);
        assert_eq!(pages.counts(), [count(0, 2, 0)]);
        drop(again);
        assert_eq!(pages.counts(), []);
    }
}
