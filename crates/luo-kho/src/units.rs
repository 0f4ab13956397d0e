//! The units of physical memory.
//!
//! - A **frame** is one page of physical memory: 4 KiB, aligned to its size.
//! - A [`Pfn`] counts frames from physical address 0; a [`PhysAddr`] counts bytes. Linux once shipped the one
//!   where the other was wanted; here that does not compile.
//! - An [`Order`] is a power of two of frames. A [`FrameCount`] counts frames, a [`ByteLen`] counts bytes.
//! - A [`FrameRange`] is a non-empty run of neighbouring frames. It is the primitive of everything above.
//!
//! Conversions that can lose or overflow are checked and return an `Option`. Nothing else converts.

use core::fmt;

/// Bits of an address that lie inside one frame.
pub const FRAME_SHIFT: u32 = 12;
/// Bytes in one frame.
pub const FRAME_BYTES: u64 = 1 << FRAME_SHIFT;
/// [`FRAME_BYTES`] as an index type. The crate refuses targets whose `usize` is not 64 bits.
pub const FRAME_SIZE: usize = 1 << FRAME_SHIFT;
/// The first frame number that does not exist: addresses have 64 bits, so frame numbers have 52.
pub const PFN_END: u64 = 1 << (64 - FRAME_SHIFT);
/// The largest order: one block of this order is all frames there can be.
pub const ORDER_MAX: u8 = 52;
const _: () = assert!(ORDER_MAX as u32 == 64 - FRAME_SHIFT);

/// Page frame number: counts frames, always below [`PFN_END`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pfn(u64);

/// Physical address: counts bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PhysAddr(u64);

/// A power of two of frames: `1 << order`. At most [`ORDER_MAX`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Order(u8);

/// A number of frames, at most [`PFN_END`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FrameCount(u64);

/// A number of bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteLen(u64);

/// A non-empty run of neighbouring frames that ends at or below [`PFN_END`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FrameRange {
    start: Pfn,
    count: FrameCount,
}

impl Pfn {
    /// The frame at physical address 0.
    pub const ZERO: Self = Self(0);

    /// `None` if `number` is not below [`PFN_END`].
    pub const fn new(number: u64) -> Option<Self> {
        if number < PFN_END { Some(Self(number)) } else { None }
    }

    /// The frame number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The address of the frame's first byte.
    pub const fn addr(self) -> PhysAddr {
        PhysAddr(self.0 << FRAME_SHIFT)
    }

    /// The frame `count` further up; `None` past the last frame.
    pub const fn checked_add(self, count: FrameCount) -> Option<Self> {
        // Both are at most 2^52: the sum cannot wrap.
        Self::new(self.0 + count.0)
    }

    /// This one frame as a range.
    pub const fn as_range(self) -> FrameRange {
        FrameRange { start: self, count: FrameCount::ONE }
    }

    /// Whether a block of `order` may start here.
    pub const fn is_aligned(self, order: Order) -> bool {
        self.0.trailing_zeros() >= order.0 as u32
    }
}

impl PhysAddr {
    /// The address `bytes` above physical address 0.
    pub const fn new(bytes: u64) -> Self {
        Self(bytes)
    }

    /// The address in bytes.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The frame that holds this byte.
    pub const fn frame(self) -> Pfn {
        Pfn(self.0 >> FRAME_SHIFT)
    }

    /// The frame that starts here; `None` if the address lies inside a frame.
    pub const fn exact_frame(self) -> Option<Pfn> {
        if self.offset() == 0 { Some(self.frame()) } else { None }
    }

    /// Bytes from the start of the frame, below [`FRAME_SIZE`].
    pub const fn offset(self) -> usize {
        (self.0 & (FRAME_BYTES - 1)) as usize
    }

    /// The address `len` further up; `None` if it does not exist.
    pub const fn checked_add(self, len: ByteLen) -> Option<Self> {
        match self.0.checked_add(len.0) {
            Some(sum) => Some(Self(sum)),
            None => None,
        }
    }
}

impl Order {
    /// One frame.
    pub const ZERO: Self = Self(0);

    /// `None` above [`ORDER_MAX`].
    pub const fn new(order: u8) -> Option<Self> {
        if order <= ORDER_MAX { Some(Self(order)) } else { None }
    }

    /// The exponent.
    pub const fn get(self) -> u8 {
        self.0
    }

    /// Frames in a block of this order.
    pub const fn frames(self) -> FrameCount {
        FrameCount(1 << self.0)
    }
}

impl FrameCount {
    /// No frame.
    pub const ZERO: Self = Self(0);
    /// One frame.
    pub const ONE: Self = Self(1);

    /// `None` above [`PFN_END`].
    pub const fn new(count: u64) -> Option<Self> {
        if count <= PFN_END { Some(Self(count)) } else { None }
    }

    /// The number of frames.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The bytes in so many frames; `None` for all 2^52 of them, whose bytes a u64 cannot count.
    pub const fn bytes(self) -> Option<ByteLen> {
        match self.0.checked_mul(FRAME_BYTES) {
            Some(bytes) => Some(ByteLen(bytes)),
            None => None,
        }
    }

    /// The sum; `None` above [`PFN_END`].
    pub const fn checked_add(self, other: Self) -> Option<Self> {
        Self::new(self.0 + other.0)
    }

    /// The difference; `None` if `other` is larger.
    pub const fn checked_sub(self, other: Self) -> Option<Self> {
        match self.0.checked_sub(other.0) {
            Some(difference) => Some(Self(difference)),
            None => None,
        }
    }
}

impl ByteLen {
    /// No bytes.
    pub const ZERO: Self = Self(0);

    /// So many bytes.
    pub const fn new(bytes: u64) -> Self {
        Self(bytes)
    }

    /// The length of something in this address space. Lossless: `usize` has 64 bits here.
    pub const fn of(len: usize) -> Self {
        Self(len as u64)
    }

    /// The number of bytes.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The number of bytes as an index. Lossless: `usize` has 64 bits here.
    #[expect(clippy::cast_possible_truncation, reason = "lib.rs refuses targets whose usize is not 64 bits")]
    pub const fn as_usize(self) -> usize {
        self.0 as usize
    }

    /// Frames needed to hold so many bytes.
    pub const fn frames(self) -> FrameCount {
        FrameCount(self.0.div_ceil(FRAME_BYTES))
    }
}

impl FrameRange {
    /// `None` if `count` is zero or the range would end above [`PFN_END`].
    pub const fn new(start: Pfn, count: FrameCount) -> Option<Self> {
        if count.0 > 0 && start.0 + count.0 <= PFN_END { Some(Self { start, count }) } else { None }
    }

    /// The frames `start..end`, by number; `None` if that is empty or ends above [`PFN_END`].
    pub const fn from_bounds(start: u64, end: u64) -> Option<Self> {
        if start < end && end <= PFN_END {
            Some(Self { start: Pfn(start), count: FrameCount(end - start) })
        } else {
            None
        }
    }

    /// The block of `order` at `start`; `None` if `start` is not aligned to it.
    pub const fn block(start: Pfn, order: Order) -> Option<Self> {
        if start.is_aligned(order) { Self::new(start, order.frames()) } else { None }
    }

    /// The first frame.
    pub const fn start(self) -> Pfn {
        self.start
    }

    /// How many frames; never zero.
    pub const fn count(self) -> FrameCount {
        self.count
    }

    /// The number of the first frame past the range; [`PFN_END`] where the range is the last there is.
    pub const fn end(self) -> u64 {
        self.start.0 + self.count.0
    }

    /// The address of the first byte.
    pub const fn addr(self) -> PhysAddr {
        self.start.addr()
    }

    /// The bytes in it; `None` for the range of all frames.
    pub const fn bytes(self) -> Option<ByteLen> {
        self.count.bytes()
    }

    /// Whether `pfn` lies in it.
    pub const fn contains(self, pfn: Pfn) -> bool {
        self.start.0 <= pfn.0 && pfn.0 < self.end()
    }

    /// Whether all of `other` lies in it.
    pub const fn covers(self, other: Self) -> bool {
        self.start.0 <= other.start.0 && other.end() <= self.end()
    }

    /// The frames in both; `None` if there are none.
    pub const fn intersection(self, other: Self) -> Option<Self> {
        let start = if self.start.0 > other.start.0 { self.start.0 } else { other.start.0 };
        let end = if self.end() < other.end() { self.end() } else { other.end() };
        Self::from_bounds(start, end)
    }

    /// The first `count` frames and the rest; `None` unless both would be non-empty.
    pub const fn split_at(self, count: FrameCount) -> Option<(Self, Self)> {
        if count.0 == 0 || count.0 >= self.count.0 {
            return None;
        }
        let middle = self.start.0 + count.0;
        match (Self::from_bounds(self.start.0, middle), Self::from_bounds(middle, self.end())) {
            (Some(head), Some(tail)) => Some((head, tail)),
            _ => None,
        }
    }

    /// Each frame, ascending.
    pub fn frames(self) -> impl ExactSizeIterator<Item = Pfn> + DoubleEndedIterator + Clone {
        // `ExactSizeIterator` exists for ranges of u32 and usize only; usize has 64 bits here.
        let (start, end) = (ByteLen(self.start.0).as_usize(), ByteLen(self.end()).as_usize());
        (start..end).map(|number| Pfn(number as u64))
    }

    /// The fewest blocks, each a power of two and aligned to its size, that make up the range; ascending.
    pub fn blocks(self) -> impl Iterator<Item = (Pfn, Order)> + Clone {
        let mut at = self.start.0;
        let end = self.end();
        core::iter::from_fn(move || {
            if at >= end {
                return None;
            }
            let by_alignment = if at == 0 { u32::from(ORDER_MAX) } else { at.trailing_zeros() };
            let order = by_alignment.min((end - at).ilog2());
            let block = (Pfn(at), Order(u8::try_from(order).unwrap_or(ORDER_MAX)));
            at += 1 << order;
            Some(block)
        })
    }
}

impl fmt::Debug for Pfn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pfn {:#x}", self.0)
    }
}

impl fmt::Display for Pfn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "frame {:#x}", self.0)
    }
}

impl fmt::Debug for PhysAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "phys {:#x}", self.0)
    }
}

impl fmt::Display for PhysAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "address {:#x}", self.0)
    }
}

impl fmt::Debug for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "order {}", self.0)
    }
}

impl fmt::Debug for FrameCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} frames", self.0)
    }
}

impl fmt::Display for FrameCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} frames", self.0)
    }
}

impl fmt::Debug for ByteLen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0)
    }
}

impl fmt::Display for ByteLen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0)
    }
}

impl fmt::Debug for FrameRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "frames {:#x}..{:#x}", self.start.0, self.end())
    }
}

impl fmt::Display for FrameRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "frames {:#x}..{:#x}", self.start.0, self.end())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn range(start: u64, end: u64) -> FrameRange {
        FrameRange::from_bounds(start, end).unwrap()
    }

    #[test]
    fn frame_numbers_and_addresses_differ_by_the_frame_size() {
        let pfn = Pfn::new(0x140_000).unwrap();
        assert_eq!(pfn.addr(), PhysAddr::new(0x1_4000_0000));
        assert_eq!(pfn.addr().exact_frame(), Some(pfn));
        assert_eq!(PhysAddr::new(0x1_4000_0001).exact_frame(), None);
        assert_eq!(PhysAddr::new(u64::MAX).frame().get(), PFN_END - 1);
    }

    #[test]
    fn nothing_exists_past_the_last_frame() {
        assert_eq!(Pfn::new(PFN_END), None);
        let last = Pfn::new(PFN_END - 1).unwrap();
        assert_eq!(last.checked_add(FrameCount::ONE), None);
        assert_eq!(FrameRange::new(last, FrameCount::new(2).unwrap()), None);
        assert_eq!(range(0, PFN_END).bytes(), None);
        assert_eq!(FrameRange::new(Pfn::ZERO, FrameCount::ZERO), None);
        assert_eq!(FrameRange::from_bounds(7, 3), None);
    }

    #[test]
    fn blocks_are_the_fewest_aligned_powers_of_two() {
        let blocks: Vec<_> = range(3, 17).blocks().map(|(pfn, order)| (pfn.get(), order.get())).collect();
        assert_eq!(blocks, [(3, 0), (4, 2), (8, 3), (16, 0)]);
        let all: Vec<_> = range(0, PFN_END).blocks().map(|(pfn, order)| (pfn.get(), order.get())).collect();
        assert_eq!(all, [(0, ORDER_MAX)]);
    }

    #[test]
    fn intersection_and_split_agree_with_membership() {
        for (a, b) in [((0, 4), (2, 6)), ((0, 4), (4, 6)), ((1, 9), (3, 5))] {
            let (a, b) = (range(a.0, a.1), range(b.0, b.1));
            let both: Vec<_> = a.frames().filter(|pfn| b.contains(*pfn)).collect();
            let meet: Vec<_> = a.intersection(b).into_iter().flat_map(FrameRange::frames).collect();
            assert_eq!(both, meet);
        }
        let (head, tail) = range(4, 9).split_at(FrameCount::new(2).unwrap()).unwrap();
        assert_eq!((head, tail), (range(4, 6), range(6, 9)));
        assert_eq!(range(4, 9).split_at(FrameCount::ZERO), None);
    }
}
