//! The level that every target has.

use super::{Classes, LANES, Wide};
use crate::serial::bits::mask;

#[derive(Clone, Copy, Debug)]
pub(in crate::serial) struct Portable;

impl Wide for Portable {
    #[inline]
    fn equal(self, slots: &[u64; LANES], value: u64) -> u64 {
        (0..).zip(slots).fold(0, |equal, (at, slot)| equal | u64::from(*slot == value) << at)
    }

    #[inline]
    fn on_line(self, slots: &[u64; LANES], first: u64, increment: u64) -> u64 {
        let line = (0_u64..).map(|at| first.wrapping_add(at.wrapping_mul(increment)));
        (0..)
            .zip(slots.iter().zip(line))
            .fold(0, |on, (at, (slot, value))| on | u64::from(*slot == value) << at)
    }

    #[inline]
    fn classes(self, values: &[u64; LANES + 1], positions: &[u64; LANES + 1]) -> Classes {
        let (_, next_values) = values.split_at(1);
        let (_, next_positions) = positions.split_at(1);
        let pairs = values.iter().zip(next_values).zip(positions.iter().zip(next_positions));
        let mut classes = Classes::default();
        for (at, ((from, to), (before, here))) in (0..).zip(pairs) {
            let (change, distance) = (to.wrapping_sub(*from), here.wrapping_sub(*before));
            classes.up |= u64::from(change == distance) << at;
            classes.down |= u64::from(change.wrapping_add(distance) == 0) << at;
            classes.flat |= u64::from(change == 0) << at;
        }
        classes
    }

    #[inline]
    fn neighbours(self, values: &[u64; LANES + 1]) -> Classes {
        let mut classes = Classes::default();
        for (at, (from, to)) in (0..).zip(values.iter().zip(values.split_at(1).1)) {
            let change = to.wrapping_sub(*from);
            classes.up |= u64::from(change == 1) << at;
            classes.down |= u64::from(change == u64::MAX) << at;
            classes.flat |= u64::from(change == 0) << at;
        }
        classes
    }

    #[inline]
    fn extract(self, word: u64, mut mask: u64) -> u64 {
        let (mut extracted, mut at) = (0, 0);
        while mask != 0 {
            extracted |= (word >> mask.trailing_zeros() & 1) << at;
            mask &= mask - 1;
            at += 1;
        }
        extracted
    }

    #[inline]
    fn deposit(self, mut word: u64, mut mask: u64) -> u64 {
        let mut deposited = 0;
        while mask != 0 {
            deposited |= (word & 1) << mask.trailing_zeros();
            mask &= mask - 1;
            word >>= 1;
        }
        deposited
    }

    #[inline]
    fn nth_one(self, mut word: u64, mut n: u32) -> u32 {
        let mut at = 0;
        for half in [32, 16, 8, 4, 2, 1] {
            let ones = (word & mask(half)).count_ones();
            if n >= ones {
                n -= ones;
                word >>= half;
                at += half;
            }
        }
        at
    }

    #[inline]
    fn compress(self, slots: &[u64; LANES], present: u64, into: &mut [u64; LANES]) {
        let mut rank = 0;
        for (at, slot) in slots.iter().enumerate() {
            // Written whether present or not: the next one writes over it.
            if let Some(place) = into.get_mut(rank) {
                *place = *slot;
            }
            rank += usize::from(present >> at & 1 == 1);
        }
    }
}
