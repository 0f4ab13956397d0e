//! Changes of the tree: to make a block vacant, to put an entry into it, to tidy up behind.
//!
//! Every change is made of these: [`Tree::enter`] leads a path to where a block belongs; [`Tree::vacate`] leaves
//! nothing in the block, cutting the one entry that may stick out of it; [`Tree::place`] puts an entry into a
//! vacant block; [`Tree::settle`] takes nodes out of the way that have become superfluous. The path remains valid
//! throughout, so that the next change nearby need not come down from the root.

use alloc::vec;

use super::node::{Node, NodeId, level_of};
use super::path::Path;
use super::tree::Tree;
use super::{Block, Marks, Spread};

impl<V> Tree<V> {
    /// Leads `path` to the lowest node into which `block` belongs, or to that which has an entry for its first
    /// index. Nowhere, if even the root does not hold it.
    pub(super) fn enter(&self, path: &mut Path, block: Block) {
        let mut next = self.root();
        while let Some(top) = path.pop() {
            if self.node(top.id).holds(block) {
                next = Some(top.id);
                break;
            }
        }
        while let Some(id) = next {
            let node = self.node(id);
            if !node.holds(block) {
                break;
            }
            let slot = node.slot_of(block.first());
            path.push(id, slot);
            next = if node.level() == level_of(block) { None } else { node.child(slot) };
        }
    }

    /// The entry that covers the first index of `block`, once `path` has entered that.
    pub(super) fn start_on(&self, path: &Path) -> Option<(NodeId, u32)> {
        let top = path.top()?;
        self.node(top.id).start_of(top.slot).map(|start| (top.id, start))
    }

    /// Stores at one index. Returns the value that it had.
    pub(super) fn store<S: Spread<V>>(&mut self, path: &mut Path, index: u64, value: V) -> Option<V> {
        let block = Block::single(index);
        self.enter(path, block);
        let Some((id, start)) = self.start_on(path) else {
            self.put(path, block, value, Marks::NONE);
            return None;
        };
        let node = self.node_mut(id);
        let whole = node.block_at(start);
        if whole == block {
            let old = core::mem::replace(node.value_mut(start), value);
            if node.put_marks(start, Marks::NONE) {
                self.refresh_marks(path);
            }
            return Some(old);
        }
        let old = S::at(node.value(start), index - whole.first());
        self.vacate::<S>(path, block);
        self.place(path, block, value, Marks::NONE);
        Some(old)
    }

    /// Empties one index. Returns the value that it had.
    pub(super) fn erase<S: Spread<V>>(&mut self, path: &mut Path, index: u64) -> Option<V> {
        let block = Block::single(index);
        self.enter(path, block);
        let mut old = None;
        if let Some((id, start)) = self.start_on(path) {
            let node = self.node(id);
            let whole = node.block_at(start);
            if whole == block {
                return self.remove(path).map(|(_, value)| value);
            }
            old = Some(S::at(node.value(start), index - whole.first()));
        }
        self.vacate::<S>(path, block);
        self.settle(path);
        old
    }

    /// Takes out the entry on which `path` stands, whole.
    pub(super) fn remove(&mut self, path: &mut Path) -> Option<(Block, V)> {
        let (id, start) = self.start_on(path)?;
        let node = self.node_mut(id);
        let block = node.block_at(start);
        let (value, _) = node.remove(start);
        self.count_out(1);
        self.settle(path);
        Some((block, value))
    }

    /// Leaves nothing in `block`: entries and reservations inside it are gone, and an entry that is larger keeps
    /// its other indices.
    pub(super) fn vacate<S: Spread<V>>(&mut self, path: &mut Path, block: Block) {
        self.enter(path, block);
        if let Some((id, start)) = self.start_on(path) {
            let whole = self.node(id).block_at(start);
            if whole.order() > block.order() {
                self.cut_out::<S>(path, whole, block);
                return;
            }
        }
        match path.top() {
            Some(top) if self.node(top.id).level() == level_of(block) => {
                let swept = self.node_mut(top.id).sweep(block);
                self.count_out(swept.entries);
                self.give_all(swept.kids);
            }
            Some(top) => {
                if let Some(kid) = self.node(top.id).child(top.slot)
                    && self.node(kid).lies_in(block)
                {
                    self.unlink(path);
                    self.give_all(vec![kid]);
                }
            }
            None => {
                if let Some(root) = self.root()
                    && self.node(root).lies_in(block)
                {
                    self.set_root(None);
                    self.give_all(vec![root]);
                }
            }
        }
        self.refresh_marks(path);
    }

    /// Replaces the entry `whole`, on which `path` stands, by the fewest that leave `hole` empty: one of each
    /// order between the two.
    fn cut_out<S: Spread<V>>(&mut self, path: &mut Path, whole: Block, hole: Block) {
        let orders = (hole.order()..whole.order()).rev();
        self.shatter::<S>(path, whole, orders.map(|order| Block::around(hole.first(), order).buddy()));
    }

    /// Replaces the entry `whole`, on which `path` stands, by entries for some of its parts, with the same marks.
    pub(super) fn shatter<S: Spread<V>>(
        &mut self,
        path: &mut Path,
        whole: Block,
        parts: impl Iterator<Item = Block>,
    ) {
        let Some((id, start)) = self.start_on(path) else { return };
        let (value, marks) = self.node_mut(id).remove(start);
        self.count_out(1);
        for part in parts {
            self.place(path, part, S::at(&value, part.first() - whole.first()), marks);
        }
        // If all parts went into one child, the node has no purpose any more.
        path.pop_to(id);
        self.settle(path);
    }

    /// Puts an entry into a block in which there is nothing.
    pub(super) fn place(&mut self, path: &mut Path, block: Block, value: V, marks: Marks) {
        self.enter(path, block);
        self.put(path, block, value, marks);
    }

    /// The same, once `path` has entered the block.
    fn put(&mut self, path: &mut Path, block: Block, value: V, marks: Marks) {
        let id = self.arrive(path, block);
        self.node_mut(id).insert(block, value, marks);
        self.count_in();
        if !marks.is_empty() {
            self.refresh_marks(path);
        }
    }

    /// Leads `path`, which has entered the vacant `block`, to the node in which an entry for it stands. Makes that
    /// node if there is none.
    pub(super) fn arrive(&mut self, path: &mut Path, block: Block) -> NodeId {
        let level = level_of(block);
        let neighbour = match path.top() {
            Some(top) if self.node(top.id).level() == level => return top.id,
            Some(top) => self.node(top.id).child(top.slot),
            None => self.root(),
        };
        let Some(neighbour) = neighbour else { return self.sprout(path, block, level) };
        // Where the ways part, a node with both of them takes the neighbour's place.
        let fork_level = self.node(neighbour).fork_level(block.first());
        let fork = self.sprout(path, block, fork_level);
        let (at, marks) = (self.node(neighbour).first(), self.node(neighbour).all_marks());
        let node = self.node_mut(fork);
        node.attach(node.slot_of(at), neighbour, marks);
        self.refresh_marks(path);
        if fork_level == level { fork } else { self.sprout(path, block, level) }
    }

    /// Makes a node of `level` for `block` at the end of the path, in place of whatever stood there.
    fn sprout(&mut self, path: &mut Path, block: Block, level: u32) -> NodeId {
        let node = Node::new(block.first(), level);
        let slot = node.slot_of(block.first());
        let id = self.take(node);
        self.link(path, id);
        path.push(id, slot);
        id
    }

    /// Makes `id` the child at the end of the path, or the root.
    fn link(&mut self, path: &Path, id: NodeId) {
        match path.top() {
            Some(top) => {
                let marks = self.node(id).all_marks();
                self.node_mut(top.id).attach(top.slot, id, marks);
            }
            None => self.set_root(Some(id)),
        }
    }

    /// Takes the child at the end of the path away, or the root.
    fn unlink(&mut self, path: &Path) {
        match path.top() {
            Some(top) => {
                self.node_mut(top.id).detach(top.slot);
            }
            None => self.set_root(None),
        }
    }

    /// After something was taken out of the last node: gives back nodes without contents, and a node whose only
    /// content is one child gives its place to that.
    pub(super) fn settle(&mut self, path: &mut Path) {
        while let Some(top) = path.top() {
            let node = self.node(top.id);
            if node.is_empty() {
                path.pop();
                self.unlink(path);
                self.give(top.id);
            } else if let Some(kid) = node.only_child() {
                path.pop();
                self.link(path, kid);
                self.give(top.id);
                break;
            } else {
                break;
            }
        }
        self.refresh_marks(path);
    }

    /// After marks changed in the last node: tells the nodes above, as far up as it makes a difference.
    pub(super) fn refresh_marks(&mut self, path: &Path) {
        for pair in path.frames().windows(2).rev() {
            let [above, below] = pair else { return };
            let marks = self.node(below.id).all_marks();
            if !self.node_mut(above.id).put_marks(above.slot, marks) {
                return;
            }
        }
    }
}
