//! Indices come in blocks and in ranges.
//!
//! - An **index** is a `u64`. All 2^64 of them exist, so a stretch of them is told by its first and its *last*.
//! - A [`Block`] of order n is 2^n neighbours of which the first is a multiple of 2^n: the indices of a folio.
//!   Two blocks are disjoint, or one contains the other.
//! - A **range** is any stretch of neighbours, written the way of the language: `3..9`, `3..=9`, `..`.

use core::fmt;
use core::ops::{Bound, RangeBounds};

use super::XArrayError;

/// The order of the block that has all indices.
const ORDER_MAX: u8 = 64;

/// 2^order indices that start at a multiple of their number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Block {
    first: u64,
    order: u8,
}

/// The bits of an index that tell places inside a block apart: the block's size, less one.
const fn mask(order: u8) -> u64 {
    if order >= ORDER_MAX { u64::MAX } else { (1 << order) - 1 }
}

impl Block {
    /// The block of order 64: every index there is.
    pub const ALL: Self = Self { first: 0, order: ORDER_MAX };

    /// The block of `order` that starts at `first`.
    ///
    /// # Errors
    ///
    /// [`XArrayError::OrderTooLarge`] above 64; [`XArrayError::Misaligned`] if `first` is no multiple of 2^order.
    pub const fn new(first: u64, order: u8) -> Result<Self, XArrayError> {
        if order > ORDER_MAX {
            return Err(XArrayError::OrderTooLarge { order });
        }
        if first & mask(order) != 0 {
            return Err(XArrayError::Misaligned { first, order });
        }
        Ok(Self { first, order })
    }

    /// One index.
    pub const fn single(index: u64) -> Self {
        Self { first: index, order: 0 }
    }

    /// The block of `order` that contains `index`; above order 64, all indices.
    #[inline]
    pub const fn around(index: u64, order: u8) -> Self {
        let order = if order > ORDER_MAX { ORDER_MAX } else { order };
        Self { first: index & !mask(order), order }
    }

    /// The fewest blocks that make up `range`, ascending. No range needs more than 126.
    pub fn cover(range: impl RangeBounds<u64>) -> impl Iterator<Item = Self> + Clone + fmt::Debug {
        Cover { rest: bounds(&range) }
    }

    /// The first index.
    pub const fn first(self) -> u64 {
        self.first
    }

    /// The last index.
    #[inline]
    pub const fn last(self) -> u64 {
        self.first | mask(self.order)
    }

    /// The exponent of the number of indices.
    pub const fn order(self) -> u8 {
        self.order
    }

    /// The number of indices; `None` for all 2^64 of them, which a `u64` cannot count.
    #[inline]
    pub const fn size(self) -> Option<u64> {
        mask(self.order).checked_add(1)
    }

    /// Whether `index` lies in it.
    #[inline]
    pub const fn contains(self, index: u64) -> bool {
        self.first <= index && index <= self.last()
    }

    /// Whether all of `other` lies in it.
    #[inline]
    pub const fn covers(self, other: Self) -> bool {
        self.order >= other.order && self.contains(other.first)
    }

    /// The other half of the block of the next order; a block of all indices is its own.
    pub(super) const fn buddy(self) -> Self {
        if self.order >= ORDER_MAX { self } else { Self { first: self.first ^ (1 << self.order), ..self } }
    }

    /// The blocks of `order` that make it up, ascending: itself, if its own order is no larger.
    pub(super) fn pieces(self, order: u8) -> impl Iterator<Item = Self> {
        let piece = Self { order: order.min(self.order), ..self };
        core::iter::successors(Some(piece), move |piece| {
            let next = piece.last().checked_add(1)?;
            (next <= self.last()).then_some(Self { first: next, ..*piece })
        })
    }
}

/// See [`Block::cover`].
#[derive(Clone, Debug)]
struct Cover {
    rest: Option<(u64, u64)>,
}

impl Iterator for Cover {
    type Item = Block;

    fn next(&mut self) -> Option<Block> {
        let (first, last) = self.rest.take()?;
        let by_place = if first == 0 { u32::from(ORDER_MAX) } else { first.trailing_zeros() };
        let by_size = (last - first).checked_add(1).map_or(u32::from(ORDER_MAX), u64::ilog2);
        let order = u8::try_from(by_place.min(by_size)).unwrap_or(ORDER_MAX);
        let block = Block { first, order };
        if block.last() < last {
            self.rest = Some((block.last() + 1, last));
        }
        Some(block)
    }
}

/// The first and the last index of a range; `None` if there are none.
pub(super) fn bounds(range: &impl RangeBounds<u64>) -> Option<(u64, u64)> {
    let first = match range.start_bound() {
        Bound::Included(&first) => first,
        Bound::Excluded(&before) => before.checked_add(1)?,
        Bound::Unbounded => 0,
    };
    let last = match range.end_bound() {
        Bound::Included(&last) => last,
        Bound::Excluded(&end) => end.checked_sub(1)?,
        Bound::Unbounded => u64::MAX,
    };
    (first <= last).then_some((first, last))
}

impl fmt::Debug for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x} order {}", self.first, self.order)
    }
}

impl fmt::Display for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.order == 0 {
            write!(f, "index {:#x}", self.first)
        } else {
            write!(f, "the block of indices {:#x} to {:#x}", self.first, self.last())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn a_block_starts_at_a_multiple_of_its_size() {
        assert_eq!(Block::new(12, 2).map(Block::last), Ok(15));
        assert_eq!(Block::new(12, 3), Err(XArrayError::Misaligned { first: 12, order: 3 }));
        assert_eq!(Block::new(0, 64), Ok(Block::ALL));
        assert_eq!(Block::new(1, 64), Err(XArrayError::Misaligned { first: 1, order: 64 }));
        assert_eq!(Block::new(0, 65), Err(XArrayError::OrderTooLarge { order: 65 }));
        assert_eq!((Block::ALL.last(), Block::ALL.size()), (u64::MAX, None));
        assert_eq!(Block::around(u64::MAX, 63).first(), 1 << 63);
    }

    #[test]
    fn a_range_is_covered_by_the_fewest_blocks() {
        let cover = |first, last| -> Vec<_> {
            Block::cover(first..=last).map(|block| (block.first(), block.order())).collect()
        };
        assert_eq!(cover(3, 16), [(3, 0), (4, 2), (8, 3), (16, 0)]);
        assert_eq!(cover(0, u64::MAX), [(0, 64)]);
        assert_eq!(cover(u64::MAX, u64::MAX), [(u64::MAX, 0)]);
        assert_eq!(cover(1, u64::MAX).len(), 64);
        assert_eq!(cover(1, u64::MAX - 1).len(), 126);
        assert_eq!(Block::cover(7..7).count(), 0);
        assert_eq!(Block::cover((Bound::Excluded(u64::MAX), Bound::Unbounded)).count(), 0);
    }

    #[test]
    fn halves_and_pieces_tile_the_whole() {
        let block = Block::single(6);
        assert_eq!(block.buddy(), Block::single(7));
        assert_eq!(Block::ALL.buddy(), Block::ALL);
        let whole = Block::around(u64::MAX, 4);
        let pieces: Vec<_> = whole.pieces(2).collect();
        assert_eq!(pieces.len(), 4);
        assert!(pieces.iter().all(|piece| whole.covers(*piece) && !piece.covers(whole)));
        assert_eq!(whole.pieces(9).collect::<Vec<_>>(), [whole]);
    }
}
