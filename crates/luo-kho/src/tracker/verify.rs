//! Reading a tree that somebody else wrote.
//!
//! Each node is visited once: a frame that turns up a second time, as in a cycle or below two parents, is an error.
//! So time and memory are bounded by the frames that the tree really takes. Tables and leaves without an entry are
//! tolerated below the root, because Linux leaves them behind; nothing here makes them.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use super::key::{KEY_END, KeyRun, ROOT_LEVEL, keys_below};
use super::node::{LEAF_BITS, Node, WORDS, word_addr};
use super::walk::{BlockCounts, Runs};
use super::{NodeStore, TrackerError};
use crate::{FrameRange, KhoError, Pfn, PhysAddr};

struct Visit<'s, S: ?Sized> {
    store: &'s S,
    span: FrameRange,
    seen: BTreeSet<Pfn>,
    waiting: Vec<Waiting>,
    blocks: BlockCounts,
}

/// A node that was named and not yet read.
struct Waiting {
    node: Pfn,
    level: u32,
    first_key: u64,
}

/// Checks everything there is to check and counts the blocks.
///
/// # Errors
///
/// [`KhoError::Tracker`], or the store's.
pub(super) fn verify<S>(store: &S, root: Pfn, span: FrameRange) -> Result<BlockCounts, KhoError>
where
    S: NodeStore + ?Sized,
{
    let mut visit =
        Visit { store, span, seen: BTreeSet::new(), waiting: Vec::new(), blocks: BlockCounts::EMPTY };
    visit.expect(root, ROOT_LEVEL, 0, root.addr())?;
    while let Some(waiting) = visit.waiting.pop() {
        if waiting.level == 0 { visit.leaf(&waiting)? } else { visit.table(&waiting)? }
    }
    visit.disjoint(root)?;
    Ok(visit.blocks)
}

impl<S: NodeStore + ?Sized> Visit<'_, S> {
    fn expect(&mut self, node: Pfn, level: u32, first_key: u64, entry: PhysAddr) -> Result<(), TrackerError> {
        if !self.span.contains(node) {
            return Err(TrackerError::NodeOutOfSpan { entry, node, span: self.span });
        }
        if !self.seen.insert(node) {
            return Err(TrackerError::NodeTwice { entry, node });
        }
        self.waiting.push(Waiting { node, level, first_key });
        Ok(())
    }

    fn table(&mut self, at: &Waiting) -> Result<(), KhoError> {
        let table = Node::read(self.store, at.node)?;
        let mut from = 0;
        while let Some((index, child)) = table.next_child(from, WORDS)? {
            let entry = word_addr(at.node, index);
            let first_key = at.first_key + index as u64 * keys_below(at.level - 1);
            if first_key >= KEY_END {
                return Err(TrackerError::NoSuchKey { at: entry, key: first_key }.into());
            }
            self.expect(child, at.level - 1, first_key, entry)?;
            from = index + 1;
        }
        Ok(())
    }

    fn leaf(&mut self, at: &Waiting) -> Result<(), KhoError> {
        let leaf = Node::read(self.store, at.node)?;
        let end = at.first_key + keys_below(0);
        let mut from = 0;
        while let Some(bit) = leaf.next_set(from, LEAF_BITS) {
            let clear = leaf.next_clear(bit, LEAF_BITS);
            let mut first = at.first_key + bit as u64;
            let end = clear.map_or(end, |clear| at.first_key + clear as u64);
            // A run may go on from the keys of one order to those of the next.
            while first < end {
                let Some(keys) = KeyRun::leading(first, end) else {
                    return Err(TrackerError::NoSuchKey { at: at.node.addr(), key: first }.into());
                };
                self.run(keys)?;
                first = keys.end;
            }
            let Some(clear) = clear else { break };
            from = clear;
        }
        Ok(())
    }

    fn run(&mut self, keys: KeyRun) -> Result<(), TrackerError> {
        let frames = keys.frames();
        if !self.span.covers(frames) {
            return Err(TrackerError::OutOfSpan { frames, span: self.span });
        }
        self.blocks.add(keys.order, keys.len());
        Ok(())
    }

    /// No frame lies in two blocks, and no node in any.
    fn disjoint(&self, root: Pfn) -> Result<(), KhoError> {
        let mut runs = Runs::begin(self.store, root, &self.blocks)?;
        let mut before: Option<FrameRange> = None;
        while let Some(run) = runs.next()? {
            if let Some(twice) = before.and_then(|before| before.intersection(run)) {
                return Err(TrackerError::FramesTwice { frames: twice }.into());
            }
            if let Some(&node) = self.seen.range(run.start()..).next()
                && run.contains(node)
            {
                return Err(TrackerError::NodeInSet { node }.into());
            }
            before = Some(run);
        }
        Ok(())
    }
}
