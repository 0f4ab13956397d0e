//! What the tracker promises: Linux's bytes, the set semantics of a dumb model, no trace of a failure, and no belief
//! in a tree that is none.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::cell::Cell;

use proptest::prelude::*;

use super::*;
use crate::{FrameCount, Order};

/// Where the nodes of the tests lie: out of the way of the frames that the tests preserve.
const NODES: u64 = 0x10_0000;

/// Nodes on the heap. Fails what it is told to.
struct Nodes {
    frames: BTreeMap<Pfn, Box<[u8; FRAME_SIZE]>>,
    /// Calls of `take` left before one fails.
    takes_left: Option<u64>,
    /// Calls of `store` left before one fails.
    stores_left: Option<u64>,
    stores: u64,
    reads: Cell<u64>,
}

impl Nodes {
    fn new() -> Self {
        let (frames, reads) = (BTreeMap::new(), Cell::new(0));
        Self { frames, takes_left: None, stores_left: None, stores: 0, reads }
    }

    fn word(&self, node: u64, index: usize) -> u64 {
        let bytes = &self.frames[&Pfn::new(node).unwrap()][index * 8..][..8];
        u64::from_le_bytes(bytes.try_into().unwrap())
    }

    fn poke(&mut self, node: u64, index: usize, word: u64) {
        let node = self.frames.get_mut(&Pfn::new(node).unwrap()).unwrap();
        node[index * 8..][..8].copy_from_slice(&word.to_le_bytes());
    }

    /// The same nodes at the same places, with the same bytes.
    fn bytes(&self) -> Vec<(Pfn, Vec<u8>)> {
        self.frames.iter().map(|(&pfn, bytes)| (pfn, bytes.to_vec())).collect()
    }
}

fn countdown(left: &mut Option<u64>) -> Result<(), KhoError> {
    match left {
        Some(0) => {
            *left = None;
            Err(KhoError::OutOfFrames { want: FrameCount::ONE })
        }
        Some(more) => {
            *more -= 1;
            Ok(())
        }
        None => Ok(()),
    }
}

impl NodeStore for Nodes {
    fn take(&mut self) -> Result<Pfn, KhoError> {
        countdown(&mut self.takes_left)?;
        let free = (NODES..NODES + 10_000)
            .map(|pfn| Pfn::new(pfn).unwrap())
            .find(|pfn| !self.frames.contains_key(pfn));
        let pfn = free.unwrap();
        self.frames.insert(pfn, Box::new([0; FRAME_SIZE]));
        Ok(pfn)
    }

    fn give(&mut self, node: Pfn) {
        assert!(self.frames.remove(&node).is_some(), "{node} given back twice");
    }

    fn node(&self, node: Pfn) -> Result<&[u8; FRAME_SIZE], KhoError> {
        self.reads.set(self.reads.get() + 1);
        let found = self.frames.get(&node).map(|bytes| &**bytes);
        found.ok_or(KhoError::OutOfRange { range: node.as_range(), span: range(NODES, NODES + 1) })
    }

    fn store(&mut self, at: PhysAddr, word: u64) -> Result<(), KhoError> {
        assert_eq!(at.get() % 8, 0);
        countdown(&mut self.stores_left)?;
        self.stores += 1;
        self.poke(at.frame().get(), at.offset() / 8, word);
        Ok(())
    }
}

fn range(start: u64, end: u64) -> FrameRange {
    FrameRange::from_bounds(start, end).unwrap()
}

fn everything() -> FrameRange {
    range(0, crate::PFN_END)
}

fn fresh() -> (Nodes, Tracker) {
    let mut nodes = Nodes::new();
    let tracker = Tracker::new(&mut nodes).unwrap();
    (nodes, tracker)
}

fn with(ranges: &[(u64, u64)]) -> (Nodes, Tracker) {
    let (mut nodes, mut tracker) = fresh();
    for &(start, end) in ranges {
        tracker.preserve(&mut nodes, range(start, end)).unwrap();
    }
    (nodes, tracker)
}

#[test]
fn the_bytes_are_those_of_linux() {
    let (mut nodes, mut tracker) = fresh();
    let order_0 = FrameRange::block(Pfn::new(0x14_0000).unwrap(), Order::ZERO).unwrap();
    tracker.preserve(&mut nodes, order_0).unwrap();
    // L5=2, L4=0, L3=0, L2=0, L1=40, bit 0.
    let mut at = tracker.root();
    for index in [2, 0, 0, 0, 40] {
        at = PhysAddr::new(nodes.word(at.frame().get(), index));
    }
    assert_eq!(nodes.node(at.frame()).unwrap()[0], 1);

    let (mut nodes, mut tracker) = fresh();
    let order_9 = FrameRange::block(Pfn::new(0x14_0000).unwrap(), Order::new(9).unwrap()).unwrap();
    tracker.preserve(&mut nodes, order_9).unwrap();
    // L5=0, L4=2, L3=0, L2=0, L1=0, bit 2560.
    let mut at = tracker.root();
    for index in [0, 2, 0, 0, 0] {
        at = PhysAddr::new(nodes.word(at.frame().get(), index));
    }
    assert_eq!(nodes.node(at.frame()).unwrap()[2560 / 8], 1);
}

#[test]
fn a_preserved_range_cannot_be_preserved_again_at_any_order() {
    let (mut nodes, mut tracker) = with(&[(0, 64), (100, 101), (104, 108)]);
    for (start, end, with) in [
        (5, 6, None),
        (0, 64, None),
        (60, 70, Some((60, 64))),
        (96, 128, Some((100, 101))),
        (103, 105, Some((104, 105))),
        (0, 128, Some((0, 64))),
    ] {
        let range_ = range(start, end);
        let expected = match with {
            None => KhoError::AlreadyPreserved { range: range_ },
            Some((start, end)) => KhoError::Overlap { range: range_, with: range(start, end) },
        };
        let before = nodes.bytes();
        assert_eq!(tracker.preserve(&mut nodes, range_), Err(expected));
        assert_eq!(nodes.bytes(), before);
    }
    assert_eq!(tracker.first_overlap(&nodes, range(64, 100)), Ok(None));
}

#[test]
fn neighbours_come_out_together() {
    let (mut nodes, mut tracker) = with(&[(0, 4), (4, 8), (8, 9), (12, 13)]);
    assert_eq!(tracker.runs(&nodes).unwrap(), [range(0, 9), range(12, 13)]);
    nodes.takes_left = Some(0);
    tracker.unpreserve(&mut nodes, range(0, 8)).unwrap();
    assert_eq!(tracker.runs(&nodes).unwrap(), [range(8, 9), range(12, 13)]);
}

#[test]
fn what_is_not_all_preserved_cannot_be_removed() {
    let (mut nodes, mut tracker) = with(&[(0, 4), (5, 8)]);
    let before = nodes.bytes();
    for (start, end) in [(0, 8), (4, 5), (7, 9), (1000, 2000)] {
        let range = range(start, end);
        assert_eq!(tracker.unpreserve(&mut nodes, range), Err(KhoError::NotPreserved { range }));
        assert_eq!(nodes.bytes(), before);
    }
}

#[test]
fn the_middle_of_a_block_leaves_its_ends() {
    let (mut nodes, mut tracker) = with(&[(0, 1 << 18)]);
    tracker.unpreserve(&mut nodes, range(1000, 1001)).unwrap();
    assert_eq!(tracker.runs(&nodes).unwrap(), [range(0, 1000), range(1001, 1 << 18)]);
    // As different blocks, the same set.
    let (others, other) = with(&[(1001, 1 << 18), (0, 1000)]);
    assert_eq!(other.runs(&others), tracker.runs(&nodes));
    tracker.unpreserve(&mut nodes, range(0, 1000)).unwrap();
    tracker.unpreserve(&mut nodes, range(1001, 1 << 18)).unwrap();
    assert_eq!(nodes.frames.len(), 1);
}

#[test]
fn a_block_on_the_edge_of_a_leaf_is_split_like_any_other() {
    for order in [1, 9, 36] {
        // The last key of one leaf and the first of the next.
        let edge = (1 << 15) << order;
        let (first, last) = (edge - (1 << order), edge + (1 << order));
        let (mut nodes, mut tracker) = with(&[(first, edge), (edge, last)]);
        assert!(tracker.covers(&nodes, range(first, edge)).unwrap());
        tracker.unpreserve(&mut nodes, range(edge - 1, edge)).unwrap();
        assert_eq!(tracker.runs(&nodes).unwrap(), [range(first, edge - 1), range(edge, last)]);
    }
}

#[test]
fn orders_stay_apart_where_their_keys_are_neighbours() {
    // The key of the last block of order 1 comes before that of the first of order 0.
    let end = crate::PFN_END;
    let (mut nodes, mut tracker) = with(&[(end - 2, end), (0, 1), (1, 2)]);
    assert_eq!(tracker.runs(&nodes).unwrap(), [range(0, 2), range(end - 2, end)]);
    assert_eq!(tracker.first_overlap(&nodes, range(2, end)), Ok(Some(range(end - 2, end))));
    tracker.unpreserve(&mut nodes, range(end - 1, end)).unwrap();
    assert_eq!(tracker.runs(&nodes).unwrap(), [range(0, 2), range(end - 2, end - 1)]);
}

#[test]
fn everything_there_is_fits_in_one_block() {
    let (mut nodes, mut tracker) = fresh();
    tracker.preserve(&mut nodes, everything()).unwrap();
    assert_eq!(nodes.frames.len(), 6);
    assert_eq!(tracker.runs(&nodes).unwrap(), [everything()]);
    assert!(tracker.covers(&nodes, range(crate::PFN_END - 1, crate::PFN_END)).unwrap());
    let last = range(crate::PFN_END - 1, crate::PFN_END);
    assert_eq!(tracker.preserve(&mut nodes, last), Err(KhoError::AlreadyPreserved { range: last }));
    tracker.unpreserve(&mut nodes, range(7, 8)).unwrap();
    assert_eq!(tracker.runs(&nodes).unwrap(), [range(0, 7), range(8, crate::PFN_END)]);
    tracker.unpreserve(&mut nodes, range(0, 7)).unwrap();
    tracker.unpreserve(&mut nodes, range(8, crate::PFN_END)).unwrap();
    assert_eq!((nodes.frames.len(), tracker.runs(&nodes).unwrap().len()), (1, 0));
}

#[test]
fn a_range_costs_words_not_frames() {
    let (mut nodes, mut tracker) = fresh();
    tracker.preserve(&mut nodes, range(1, (1 << 30) - 1)).unwrap();
    // 58 blocks of 29 orders, each a bit and at most five entries.
    assert!(nodes.stores <= 58 * 6, "{} stores", nodes.stores);
    let stores = nodes.stores;
    // Across the edge of a leaf.
    let (start, end) = ((1 << 31) + 30_000, (1 << 31) + 40_000);
    for single in start..end {
        tracker.preserve(&mut nodes, range(single, single + 1)).unwrap();
    }
    let singly = nodes.stores - stores;
    tracker.unpreserve(&mut nodes, range(start, end)).unwrap();
    // Cleared by words: 158 of them, and the entries above.
    assert!(nodes.stores - stores - singly < 158 + 12);
    tracker.unpreserve(&mut nodes, range(1, (1 << 30) - 1)).unwrap();
    assert_eq!(nodes.frames.len(), 1);
}

#[test]
fn orders_that_nobody_uses_are_not_read() {
    for (ranges, orders) in [(&[][..], 0), (&[(4, 8)], 1), (&[(4, 8), (1 << 40, (1 << 40) + 4), (1, 2)], 2)] {
        let (nodes, tracker) = with(ranges);
        nodes.reads.set(0);
        assert_eq!(tracker.first_overlap(&nodes, range(100, 101)), Ok(None));
        // One way down from the root for each order, which ends early where there is nothing below.
        assert!(nodes.reads.get() <= orders * 6, "{} reads", nodes.reads.get());
        nodes.reads.set(0);
        assert_eq!(tracker.covers(&nodes, range(100, 101)), Ok(false));
        assert!(nodes.reads.get() <= orders * 6, "{} reads", nodes.reads.get());
    }
}

#[test]
fn destroying_gives_every_node_back() {
    let (mut nodes, tracker) = with(&[(3, 70_000), (1 << 40, (1 << 40) + 3)]);
    let listed: BTreeSet<_> = tracker.nodes(&nodes).unwrap().into_iter().collect();
    assert!(listed.iter().eq(nodes.frames.keys()));
    tracker.destroy(&mut nodes);
    assert!(nodes.frames.is_empty());
}

/// Runs `change` with the n-th call failing, for every n until none does; the world must be as before each time.
fn sweep(
    set_up: &[(u64, u64)],
    arm: impl Fn(&mut Nodes, u64),
    change: impl Fn(&mut Tracker, &mut Nodes) -> Result<(), KhoError>,
) -> u64 {
    // More calls than any change makes: one that fails whatever happens does not go on for ever.
    for nth in 0..1_000 {
        let (mut nodes, mut tracker) = with(set_up);
        let (before, counts) = (nodes.bytes(), tracker.blocks);
        arm(&mut nodes, nth);
        if change(&mut tracker, &mut nodes).is_ok() {
            return nth;
        }
        assert_eq!((nodes.bytes(), tracker.blocks), (before, counts), "after call {nth} failed");
    }
    panic!("the change still fails when no call does")
}

#[test]
fn a_failing_call_leaves_no_trace() {
    let set_up = [(0, 1 << 20), (1 << 21, (1 << 21) + 77), ((1 << 21) + 77, 1 << 22)];
    let take = |nodes: &mut Nodes, nth| nodes.takes_left = Some(nth);
    let store = |nodes: &mut Nodes, nth| nodes.stores_left = Some(nth);
    let preserve = |t: &mut Tracker, s: &mut Nodes| t.preserve(s, range((1 << 33) + 3, (1 << 35) - 5));
    let split = |t: &mut Tracker, s: &mut Nodes| t.unpreserve(s, range(12_345, 99_999));
    let whole = |t: &mut Tracker, s: &mut Nodes| t.unpreserve(s, range(1 << 21, 1 << 22));
    assert!(sweep(&set_up, take, preserve) > 50);
    assert!(sweep(&set_up, store, preserve) > 100);
    assert!(sweep(&set_up[..1], take, split) > 40);
    assert!(sweep(&set_up[..1], store, split) > 60);
    assert_eq!(sweep(&set_up, take, whole), 0);
    assert!(sweep(&set_up, store, whole) > 20);
}

// ---- trees that somebody else wrote

#[test]
fn a_tree_that_was_written_here_is_believed() {
    let (nodes, tracker) = with(&[(0, 64), (100, 101), (1 << 33, (1 << 34) + 5)]);
    let opened = Tracker::open(&nodes, tracker.root(), everything()).unwrap();
    assert_eq!(opened.runs(&nodes), tracker.runs(&nodes));
    assert_eq!(opened.blocks, tracker.blocks);
}

/// A tree with one block of order 0 at frame 5, and its nodes from the root down to the leaf.
fn line() -> (Nodes, Tracker, Vec<u64>) {
    let (nodes, tracker) = with(&[(5, 6)]);
    let mut path = alloc::vec![tracker.root().frame().get()];
    for index in [2, 0, 0, 0, 0] {
        path.push(PhysAddr::new(nodes.word(*path.last().unwrap(), index)).frame().get());
    }
    (nodes, tracker, path)
}

fn refused(nodes: &Nodes, tracker: &Tracker) -> TrackerError {
    let span = range(0, NODES + 64);
    match Tracker::open(nodes, tracker.root(), span) {
        Err(KhoError::Tracker(error)) => error,
        other => panic!("{other:?}"),
    }
}

fn addr(pfn: u64) -> u64 {
    Pfn::new(pfn).unwrap().addr().get()
}

#[test]
fn cycles_and_diamonds_are_refused() {
    for level in 0..=4 {
        for target in 0..=5 {
            let (mut nodes, tracker, path) = line();
            nodes.poke(path[level], 3, addr(path[target]));
            match refused(&nodes, &tracker) {
                TrackerError::NodeTwice { node, .. } => assert_eq!(node.get(), path[target]),
                // The bit of a leaf that is read as a table comes first.
                TrackerError::UnalignedNode { child, .. } => assert_eq!(child.get(), 1 << 5),
                other => panic!("{other:?}"),
            }
        }
    }
}

#[test]
fn addresses_that_no_node_can_have_are_refused() {
    let (mut nodes, tracker, path) = line();
    nodes.poke(path[3], 9, addr(NODES) + 8);
    let entry = PhysAddr::new(addr(path[3]) + 72);
    let child = PhysAddr::new(addr(NODES) + 8);
    assert_eq!(refused(&nodes, &tracker), TrackerError::UnalignedNode { entry, child });
    nodes.poke(path[3], 9, addr(NODES + 64));
    let node = Pfn::new(NODES + 64).unwrap();
    let span = range(0, NODES + 64);
    assert_eq!(refused(&nodes, &tracker), TrackerError::NodeOutOfSpan { entry, node, span });
    // In the span, but there is no such frame.
    nodes.poke(path[3], 9, addr(NODES + 63));
    assert!(matches!(Tracker::open(&nodes, tracker.root(), span), Err(KhoError::OutOfRange { .. })));
    let crooked = PhysAddr::new(tracker.root().get() + 1);
    assert!(Tracker::open(&nodes, crooked, span).is_err());
    assert!(Tracker::open(&nodes, tracker.root(), range(0, 10)).is_err());
}

#[test]
fn keys_of_no_block_are_refused() {
    let (mut nodes, tracker, path) = line();
    let spare = nodes.take().unwrap().get();
    nodes.poke(path[0], 4, addr(spare));
    let at = PhysAddr::new(addr(path[0]) + 32);
    assert_eq!(refused(&nodes, &tracker), TrackerError::NoSuchKey { at, key: 1 << 53 });
}

#[test]
fn key_0_stands_beside_the_block_of_all_frames_and_is_refused() {
    let (mut nodes, mut tracker) = fresh();
    tracker.preserve(&mut nodes, everything()).unwrap();
    let mut leaf = tracker.root().frame().get();
    for _ in 0..5 {
        leaf = PhysAddr::new(nodes.word(leaf, 0)).frame().get();
    }
    assert_eq!(nodes.word(leaf, 0), 0b10);
    nodes.poke(leaf, 0, 0b01);
    let at = PhysAddr::new(addr(leaf));
    assert_eq!(
        Tracker::open(&nodes, tracker.root(), everything()).unwrap_err(),
        KhoError::Tracker(TrackerError::NoSuchKey { at, key: 0 })
    );
}

#[test]
fn blocks_that_meet_or_leave_the_span_are_refused() {
    // Order 1 at 4..6 over order 0 at 5..6, written as two trees would.
    let (mut nodes, mut tracker, _) = line();
    let mut edit = Edit::begin(&mut nodes, tracker.root, &tracker.blocks);
    edit.set(KeyRun::meeting(range(4, 6), Order::new(1).unwrap())).unwrap();
    tracker.blocks = edit.keep();
    assert_eq!(refused(&nodes, &tracker), TrackerError::FramesTwice { frames: range(5, 6) });

    let (nodes, tracker) = with(&[(NODES + 32, NODES + 128)]);
    assert!(matches!(refused(&nodes, &tracker), TrackerError::OutOfSpan { .. }));

    let (nodes, tracker) = with(&[(NODES, NODES + 64)]);
    assert!(matches!(refused(&nodes, &tracker), TrackerError::NodeInSet { .. }));
}

#[test]
fn empty_nodes_of_linux_are_tolerated_and_go_when_their_path_empties() {
    let (mut nodes, tracker, path) = line();
    nodes.poke(path[5], 0, 0);
    let mut opened = Tracker::open(&nodes, tracker.root(), range(0, NODES + 64)).unwrap();
    assert_eq!(opened.runs(&nodes).unwrap(), []);
    opened.preserve(&mut nodes, range(9, 10)).unwrap();
    opened.unpreserve(&mut nodes, range(9, 10)).unwrap();
    assert_eq!(nodes.frames.len(), 1);
}

// ---- against a dumb model

#[derive(Clone, Debug)]
enum Op {
    Preserve(u64, u64),
    Unpreserve(u64, u64),
}

fn op() -> impl Strategy<Value = Op> {
    // Few frames, so that ranges meet; across a leaf's edge, at 32,768 and its multiples.
    let bounds = (0..700u64, prop_oneof![1..4u64, 1..70u64, 1..700u64])
        .prop_map(|(start, len)| (32_400 + start, 32_400 + start + len));
    (bounds, any::<bool>()).prop_map(|((start, end), preserve)| {
        if preserve { Op::Preserve(start, end) } else { Op::Unpreserve(start, end) }
    })
}

fn runs_of(model: &BTreeSet<u64>) -> Vec<FrameRange> {
    let mut runs: Vec<(u64, u64)> = Vec::new();
    for &frame in model {
        match runs.last_mut() {
            Some(last) if last.1 == frame => last.1 += 1,
            _ => runs.push((frame, frame + 1)),
        }
    }
    runs.into_iter().map(|(start, end)| range(start, end)).collect()
}

fn expected(model: &BTreeSet<u64>, op: &Op) -> Result<BTreeSet<u64>, KhoError> {
    let mut after = model.clone();
    match *op {
        Op::Preserve(start, end) => {
            let range_ = range(start, end);
            let mut met = runs_of(&model.range(start..end).copied().collect());
            match met.drain(..).next() {
                Some(with) if with == range_ => return Err(KhoError::AlreadyPreserved { range: range_ }),
                Some(with) => return Err(KhoError::Overlap { range: range_, with }),
                None => after.extend(start..end),
            }
        }
        Op::Unpreserve(start, end) => {
            if model.range(start..end).count() as u64 != end - start {
                return Err(KhoError::NotPreserved { range: range(start, end) });
            }
            after.retain(|frame| !(start..end).contains(frame));
        }
    }
    Ok(after)
}

fn apply(tracker: &mut Tracker, nodes: &mut Nodes, op: &Op) -> Result<(), KhoError> {
    match *op {
        Op::Preserve(start, end) => tracker.preserve(nodes, range(start, end)),
        Op::Unpreserve(start, end) => tracker.unpreserve(nodes, range(start, end)),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn agrees_with_a_set_of_frames(ops in prop::collection::vec((op(), prop::option::of(0..12u64)), 1..60)) {
        let (mut nodes, mut tracker) = fresh();
        let mut model = BTreeSet::new();
        for (op, fail) in ops {
            let before = nodes.bytes();
            nodes.takes_left = fail;
            let result = apply(&mut tracker, &mut nodes, &op);
            nodes.takes_left = None;
            match (result, expected(&model, &op)) {
                (Ok(()), Ok(after)) => model = after,
                (Err(KhoError::OutOfFrames { .. }), Ok(_)) => prop_assert_eq!(nodes.bytes(), before),
                (Err(error), Err(expected)) => {
                    prop_assert_eq!(error, expected);
                    prop_assert_eq!(nodes.bytes(), before);
                }
                (result, expected) => prop_assert!(false, "{:?} but {:?}", result, expected),
            }
            prop_assert_eq!(tracker.runs(&nodes).unwrap(), runs_of(&model));
        }
        prop_assert_eq!(tracker.nodes(&nodes).unwrap().len(), nodes.frames.len());
        let opened = Tracker::open(&nodes, tracker.root(), everything()).unwrap();
        prop_assert_eq!(opened.blocks, tracker.blocks);
        for run in runs_of(&model) {
            prop_assert!(tracker.covers(&nodes, run).unwrap());
            nodes.takes_left = Some(0);
            tracker.unpreserve(&mut nodes, run).unwrap();
        }
        prop_assert_eq!(nodes.frames.len(), 1);
    }

    #[test]
    fn hostile_words_never_panic(pokes in prop::collection::vec((0..40usize, 0..512usize, any::<u64>(), 0..4u8), 1..6)) {
        let (mut nodes, tracker) = with(&[(3, 70_000), (1 << 19, (1 << 19) + 9)]);
        let frames: Vec<_> = nodes.frames.keys().copied().collect();
        for (node, index, word, kind) in pokes {
            let node = frames[node % frames.len()].get();
            let word = match kind {
                0 => word,
                1 => frames[usize::from(word.to_le_bytes()[0]) % frames.len()].addr().get(),
                2 => 0,
                _ => word & 0xFFFF_FFF0_0000,
            };
            nodes.poke(node, index % if kind == 1 { 8 } else { 512 }, word);
        }
        if let Ok(opened) = Tracker::open(&nodes, tracker.root(), range(0, NODES + 64)) {
            let runs = opened.runs(&nodes).unwrap();
            for pair in runs.windows(2) {
                prop_assert!(pair[0].end() < pair[1].start().get());
            }
        }
    }
}
