//! Keys: blocks of frames as numbers, and where in the tree a number stands.
//!
//! - A **block** is a power of two of frames, aligned to its size. Its **key** is a number below 2^53: a marker bit
//!   that tells the order, and below it the frame number without the bits that the alignment makes zero.
//!   `key = 1 << (52 - order) | pfn >> order`. The keys of one order are neighbours, and follow the order of frames.
//! - The tree has six **levels** of nodes, each one frame. Levels 5 to 1 are tables of 512 addresses, level 0 is a
//!   **leaf** of 32,768 bits. A key's bits 14..0 choose the bit in the leaf, each table takes nine bits more.
//!
//! The layout is that of Linux's `kho-v4` (7.3), which maps a whole 64-bit address
//! space with one tree: the marker makes it impossible that blocks of two orders share a key.

use crate::{FrameRange, ORDER_MAX, Order, PFN_END, Pfn};

/// Orders there are: 0 to [`ORDER_MAX`].
pub(super) const ORDERS: usize = ORDER_MAX as usize + 1;
/// The first number that is no key.
pub(super) const KEY_END: u64 = 1 << (ORDER_MAX + 1);
/// The level of the root.
pub(super) const ROOT_LEVEL: u32 = 5;
/// Bits of a key that choose the bit in a leaf: 4,096 bytes have 32,768 bits.
const LEAF_SHIFT: u32 = 15;
/// Bits of a key that choose the entry in a table: 4,096 bytes have 512 addresses.
const TABLE_SHIFT: u32 = 9;

/// Neighbouring keys of one order. Never empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct KeyRun {
    pub(super) order: Order,
    pub(super) first: u64,
    pub(super) end: u64,
}

/// The key of the block of `order` that holds `frame`.
pub(super) fn key(frame: Pfn, order: Order) -> u64 {
    marker(order) | (frame.get() >> order.get())
}

fn marker(order: Order) -> u64 {
    1 << (ORDER_MAX - order.get())
}

/// The order that a key belongs to; `None` if no block has this key.
pub(super) fn order_of(key: u64) -> Option<Order> {
    let marker_bit = u8::try_from(key.checked_ilog2()?).ok()?;
    Order::new(ORDER_MAX.checked_sub(marker_bit)?)
}

/// How many keys stand below one node of `level`.
pub(super) const fn keys_below(level: u32) -> u64 {
    1 << (LEAF_SHIFT + TABLE_SHIFT * level)
}

/// Where in the node of `level` on its path a key stands: the entry of a table, the bit of a leaf.
pub(super) fn index_in(key: u64, level: u32) -> usize {
    let within = key & (keys_below(level) - 1);
    let index = if level == 0 { within } else { within / keys_below(level - 1) };
    usize::from(u16::try_from(index).unwrap_or(0)) // below 32,768 by the mask above
}

/// Where in the node of `level` on the path of `key` the keys below `end` stop: one past the last entry or bit.
pub(super) fn index_end(key: u64, end: u64, level: u32) -> usize {
    index_in(node_end(key, level).min(end) - 1, level) + 1
}

/// The first key below the node of `level` on this key's path.
pub(super) fn node_start(key: u64, level: u32) -> u64 {
    key & !(keys_below(level) - 1)
}

/// The first key past the node of `level` on this key's path.
pub(super) fn node_end(key: u64, level: u32) -> u64 {
    node_start(key, level) + keys_below(level)
}

impl KeyRun {
    /// All keys of `order`.
    pub(super) fn all(order: Order) -> Self {
        Self { order, first: marker(order), end: marker(order) << 1 }
    }

    /// The keys of the blocks of `order` that hold at least one frame of `range`.
    pub(super) fn meeting(range: FrameRange, order: Order) -> Self {
        let last = (range.end() - 1) >> order.get();
        Self { order, first: key(range.start(), order), end: (marker(order) | last) + 1 }
    }

    /// The keys of the fewest blocks that make up `range`, neighbours taken together; ascending by frame.
    pub(super) fn of(range: FrameRange) -> impl Iterator<Item = Self> {
        let mut blocks = range.blocks().peekable();
        core::iter::from_fn(move || {
            let (start, order) = blocks.next()?;
            let first = key(start, order);
            let mut end = first + 1;
            // The key behind the last of one order is that of frame 0, which no block behind another one holds.
            while blocks.next_if(|&(start, next)| key(start, next) == end).is_some() {
                end += 1;
            }
            Some(Self { order, first, end })
        })
    }

    /// The first run of one order in `first..end`; `None` if `first` is no key, or there is nothing.
    pub(super) fn leading(first: u64, end: u64) -> Option<Self> {
        let order = order_of(first)?;
        (first < end).then(|| Self { order, first, end: end.min(Self::all(order).end) })
    }

    /// How many keys.
    pub(super) fn len(self) -> u64 {
        self.end - self.first
    }

    /// The frames of all blocks together.
    pub(super) fn frames(self) -> FrameRange {
        let mask = marker(self.order) - 1;
        let start = (self.first & mask) << self.order.get();
        let end = (((self.end - 1) & mask) + 1) << self.order.get();
        let Some(frames) = FrameRange::from_bounds(start, end.min(PFN_END)) else {
            unreachable!("a run of keys is not empty, and its order has no key past the last frame")
        };
        frames
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PhysAddr;
    use alloc::vec::Vec;

    /// Section "radix tree" of the Linux reference: address, order, key, the path from the root to the bit.
    const VECTORS: [(u64, u8, u64, [usize; 6]); 3] = [
        (0x1_4000_0000, 0, 0x0010_0000_0014_0000, [2, 0, 0, 0, 40, 0]),
        (0x1_4000_0000, 9, 0x0000_0800_0000_0a00, [0, 2, 0, 0, 0, 2560]),
        (0x1_4000_0000, 18, 0x0000_0004_0000_0005, [0, 0, 2, 0, 0, 5]),
    ];

    #[test]
    fn vectors_of_linux() {
        for (addr, order, expected, path) in VECTORS {
            let (frame, order) = (PhysAddr::new(addr).exact_frame().unwrap(), Order::new(order).unwrap());
            assert_eq!(key(frame, order), expected);
            let indexes: Vec<_> = (0..=ROOT_LEVEL).rev().map(|level| index_in(expected, level)).collect();
            assert_eq!(indexes, path, "{expected:#x}");
            let run = KeyRun::leading(expected, expected + 1).unwrap();
            assert_eq!(run.frames(), FrameRange::block(frame, order).unwrap());
        }
    }

    #[test]
    fn every_order_has_keys_of_its_own_and_together_they_are_all() {
        let mut next = 1;
        for order in (0..=ORDER_MAX).rev().map(|order| Order::new(order).unwrap()) {
            let all = KeyRun::all(order);
            assert_eq!(all.first, next);
            assert_eq!((order_of(all.first), order_of(all.end - 1)), (Some(order), Some(order)));
            assert_eq!(all.frames(), FrameRange::from_bounds(0, PFN_END).unwrap());
            assert_eq!(all.len(), PFN_END >> order.get());
            next = all.end;
        }
        assert_eq!(next, KEY_END);
        assert_eq!((order_of(0), order_of(KEY_END), order_of(u64::MAX)), (None, None, None));
    }

    #[test]
    fn a_run_is_never_empty_and_ends_with_its_order() {
        let order_1 = KeyRun::all(Order::new(1).unwrap());
        assert_eq!(KeyRun::leading(order_1.first, order_1.first), None);
        assert_eq!(KeyRun::leading(order_1.first, KEY_END), Some(order_1));
        let last = KeyRun { first: order_1.end - 1, ..order_1 };
        assert_eq!(KeyRun::leading(last.first, KEY_END), Some(last));
        assert_eq!((KeyRun::leading(0, 1), KeyRun::leading(KEY_END, u64::MAX)), (None, None));
    }

    #[test]
    fn runs_of_keys_join_neighbours_of_one_order() {
        let runs: Vec<_> = KeyRun::of(FrameRange::from_bounds(4, 13).unwrap())
            .map(|run| (run.order.get(), run.len(), run.frames()))
            .collect();
        let range = |start, end| FrameRange::from_bounds(start, end).unwrap();
        assert_eq!(runs, [(2, 2, range(4, 12)), (0, 1, range(12, 13))]);
    }
}
