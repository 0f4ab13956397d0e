//! A **huge page** is neither split nor swapped; this is how many bytes one has.

use core::fmt;

use luo_kho::FRAME_BYTES;

/// A power of two, more bytes than a frame has.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PageSize(u8);

impl PageSize {
    /// 2 MiB.
    pub const MIB_2: Self = Self(21);
    /// 1 GiB.
    pub const GIB_1: Self = Self(30);
    /// The shifts that there are: more than a frame's 12, and less than the 63 bits of a file's size.
    const SHIFTS: core::ops::RangeInclusive<u8> = 13..=62;

    /// `None` unless it is a power of two, more than a frame and less than 2^63.
    pub const fn new(bytes: u64) -> Option<Self> {
        if !bytes.is_power_of_two() {
            return None;
        }
        // At most 63.
        #[expect(clippy::cast_possible_truncation, reason = "a u64 has at most 63 trailing zeros and a one")]
        Self::from_shift(bytes.trailing_zeros() as u8)
    }

    /// The size of 2^`shift` bytes, if there is one.
    pub const fn from_shift(shift: u8) -> Option<Self> {
        if shift < *Self::SHIFTS.start() || shift > *Self::SHIFTS.end() { None } else { Some(Self(shift)) }
    }

    /// The binary logarithm of the bytes.
    pub const fn shift(self) -> u8 {
        self.0
    }

    /// Bytes.
    pub const fn bytes(self) -> u64 {
        1 << self.0
    }

    /// Frames in one.
    pub const fn frames(self) -> u64 {
        self.bytes() / FRAME_BYTES
    }

    /// Pages of this size from the start to the end of a file of `size` bytes.
    pub const fn pages(self, size: u64) -> u64 {
        size.div_ceil(self.bytes())
    }
}

impl fmt::Display for PageSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} KiB", self.bytes() >> 10)
    }
}

impl fmt::Debug for PageSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PageSize({self})")
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use super::*;

    #[test]
    fn sizes_are_powers_of_two_above_a_frame() {
        for not in [0, 1, 4096, 3 << 20, (2 << 20) + 1, 1 << 63] {
            assert_eq!(PageSize::new(not), None, "{not}");
        }
        assert_eq!(PageSize::new(2 << 20), Some(PageSize::MIB_2));
        assert_eq!((PageSize::new(8192).unwrap().frames(), PageSize::GIB_1.frames()), (2, 1 << 18));
        assert_eq!((PageSize::MIB_2.pages(0), PageSize::MIB_2.pages((4 << 20) + 1)), (0, 3));
        assert_eq!(format!("{} {:?}", PageSize::GIB_1, PageSize::MIB_2), "1048576 KiB PageSize(2048 KiB)");
    }
}
