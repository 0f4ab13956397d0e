//! Ways through the tree that change nothing: the next key that is set, the next that is not, and the runs of all
//! orders side by side.
//!
//! Every step moves on to a higher key, and a table without an entry is passed in one step: the time for a way is
//! bounded by the nodes on it, whatever their bytes say.

use alloc::vec::Vec;

use super::NodeStore;
use super::key::{KeyRun, ORDERS, ROOT_LEVEL, index_end, index_in, keys_below, node_end, node_start};
use super::node::{Node, WORDS};
use crate::{FrameRange, KhoError, Order, Pfn};

/// How many blocks of each order a tree holds, so that orders nobody uses cost nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BlockCounts([u64; ORDERS]);

/// The runs of all orders, ascending by first frame.
///
/// Runs of one order never touch. Those of different orders may touch, and in a tree that nobody has checked they
/// may overlap.
pub(super) struct Runs<'s, S: ?Sized> {
    store: &'s S,
    root: Pfn,
    streams: Vec<Stream>,
}

/// The runs of one order.
struct Stream {
    /// The frames of the first run that was not given out yet.
    front: FrameRange,
    /// The keys behind it.
    rest: KeyRun,
    /// Blocks of this order in `rest`: when there is none left, nothing has to be searched.
    left: u64,
}

impl BlockCounts {
    pub(super) const EMPTY: Self = Self([0; ORDERS]);

    pub(super) fn add(&mut self, order: Order, blocks: u64) {
        if let Some(count) = self.0.get_mut(usize::from(order.get())) {
            *count = count.saturating_add(blocks);
        }
    }

    pub(super) fn sub(&mut self, order: Order, blocks: u64) {
        if let Some(count) = self.0.get_mut(usize::from(order.get())) {
            *count = count.saturating_sub(blocks);
        }
    }

    /// The orders of which there is a block, ascending.
    pub(super) fn orders(&self) -> impl Iterator<Item = Order> + use<'_> {
        self.used().map(|(order, _)| order)
    }

    /// The same, each with the number of its blocks.
    fn used(&self) -> impl Iterator<Item = (Order, u64)> + use<'_> {
        let used = (0..).zip(&self.0).filter(|&(_, &count)| count > 0);
        used.filter_map(|(order, &count)| Some((Order::new(order)?, count)))
    }
}

/// The first set key in `from..end`.
pub(super) fn first_set<S>(store: &S, root: Pfn, from: u64, end: u64) -> Result<Option<u64>, KhoError>
where
    S: NodeStore + ?Sized,
{
    let mut at = from;
    'from_root: while at < end {
        let mut node = Node::read(store, root)?;
        for level in (1..=ROOT_LEVEL).rev() {
            let index = index_in(at, level);
            let Some((found, child)) = node.next_child(index, index_end(at, end, level))? else {
                at = node_end(at, level);
                continue 'from_root;
            };
            if found > index {
                at = node_start(at, level) + found as u64 * keys_below(level - 1);
            }
            node = Node::read(store, child)?;
        }
        if let Some(bit) = node.next_set(index_in(at, 0), index_end(at, end, 0)) {
            return Ok(Some(node_start(at, 0) + bit as u64));
        }
        at = node_end(at, 0);
    }
    Ok(None)
}

/// The first key in `from..end` that is not set; `end` if all are.
pub(super) fn first_clear<S>(store: &S, root: Pfn, from: u64, end: u64) -> Result<u64, KhoError>
where
    S: NodeStore + ?Sized,
{
    let mut at = from;
    while at < end {
        let Some(leaf) = leaf_of(store, root, at)? else { return Ok(at) };
        let leaf = Node::read(store, leaf)?;
        if let Some(bit) = leaf.next_clear(index_in(at, 0), index_end(at, end, 0)) {
            return Ok(node_start(at, 0) + bit as u64);
        }
        at = node_end(at, 0);
    }
    Ok(end)
}

/// The leaf that holds a key's bit; `None` if there is none.
fn leaf_of<S: NodeStore + ?Sized>(store: &S, root: Pfn, key: u64) -> Result<Option<Pfn>, KhoError> {
    let mut node = root;
    for level in (1..=ROOT_LEVEL).rev() {
        let Some(child) = Node::read(store, node)?.child(index_in(key, level))? else { return Ok(None) };
        node = child;
    }
    Ok(Some(node))
}

/// Visits every node below and including `root`. A node that cannot be read is visited; `unreadable` says whether to
/// go on without its children.
pub(super) fn visit_nodes<S: NodeStore + ?Sized>(
    store: &S,
    root: Pfn,
    mut unreadable: impl FnMut(KhoError) -> Result<(), KhoError>,
) -> Result<Vec<Pfn>, KhoError> {
    let mut visited = Vec::new();
    let mut waiting = alloc::vec![(root, ROOT_LEVEL)];
    while let Some((node, level)) = waiting.pop() {
        visited.push(node);
        if level > 0
            && let Err(error) = push_children(store, node, level - 1, &mut waiting)
        {
            unreadable(error)?;
        }
    }
    Ok(visited)
}

fn push_children<S: NodeStore + ?Sized>(
    store: &S,
    node: Pfn,
    level: u32,
    waiting: &mut Vec<(Pfn, u32)>,
) -> Result<(), KhoError> {
    let table = Node::read(store, node)?;
    let mut from = 0;
    while let Some((index, child)) = table.next_child(from, WORDS)? {
        waiting.push((child, level));
        from = index + 1;
    }
    Ok(())
}

impl<'s, S: NodeStore + ?Sized> Runs<'s, S> {
    /// Begins at the first frame.
    ///
    /// # Errors
    ///
    /// The store's.
    pub(super) fn begin(store: &'s S, root: Pfn, blocks: &BlockCounts) -> Result<Self, KhoError> {
        let mut streams = Vec::new();
        for (order, count) in blocks.used() {
            streams.extend(Stream::next(store, root, KeyRun::all(order), count)?);
        }
        Ok(Self { store, root, streams })
    }

    /// The run with the lowest first frame among those not given out yet.
    ///
    /// # Errors
    ///
    /// The store's.
    pub(super) fn next(&mut self) -> Result<Option<FrameRange>, KhoError> {
        let lowest = (0..).zip(&self.streams).min_by_key(|(_, stream)| stream.front.start());
        let Some((index, stream)) = lowest else { return Ok(None) };
        let front = stream.front;
        let next = Stream::next(self.store, self.root, stream.rest, stream.left)?;
        match (next, self.streams.get_mut(index)) {
            (Some(next), Some(stream)) => *stream = next,
            _ => drop(self.streams.swap_remove(index)),
        }
        Ok(Some(front))
    }
}

impl Stream {
    /// The next run of `keys`, among which `left` are set.
    fn next<S>(store: &S, root: Pfn, keys: KeyRun, left: u64) -> Result<Option<Self>, KhoError>
    where
        S: NodeStore + ?Sized,
    {
        if left == 0 {
            return Ok(None);
        }
        let Some(first) = first_set(store, root, keys.first, keys.end)? else { return Ok(None) };
        // A run of all that are left ends where the last of them does.
        let end = first_clear(store, root, first, keys.end.min(first.saturating_add(left)))?;
        let front = KeyRun { order: keys.order, first, end };
        let rest = KeyRun { first: end, ..keys };
        Ok(Some(Self { front: front.frames(), rest, left: left.saturating_sub(front.len()) }))
    }
}
