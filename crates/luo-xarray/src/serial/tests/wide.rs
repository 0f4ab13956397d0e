//! All levels give the results of the portable one, on whatever bits and at whatever place in memory.

use alloc::vec::Vec;

use proptest::prelude::*;

use super::Dice;
use crate::serial::wide::{LANES, Portable, Task, Wide, best};

/// Everything that a level does, on slots that lie at `from`.
struct All<'s> {
    slots: &'s [u64],
    positions: &'s [u64],
    from: usize,
    value: u64,
    word: u64,
}

#[derive(Debug, PartialEq, Eq)]
struct Found {
    equal: u64,
    on_line: [u64; 3],
    classes: crate::serial::wide::Classes,
    neighbours: crate::serial::wide::Classes,
    extracted: u64,
    deposited: u64,
    ones: Vec<u32>,
    compressed: Vec<u64>,
}

impl Task for All<'_> {
    type Output = Found;

    fn run<W: Wide>(self, wide: W) -> Found {
        let Self { slots, positions, from, value, word } = self;
        let slots: &[u64; LANES + 1] = slots[from..].first_chunk().unwrap();
        let positions = positions[from..].first_chunk().unwrap();
        let lanes = slots.first_chunk().unwrap();
        let mut compressed = [0; LANES];
        wide.compress(lanes, word, &mut compressed);
        Found {
            equal: wide.equal(lanes, value),
            on_line: [0, 1, u64::MAX].map(|increment| wide.on_line(lanes, value, increment)),
            classes: wide.classes(slots, positions),
            neighbours: wide.neighbours(slots),
            extracted: wide.extract(value, word),
            deposited: wide.deposit(value, word),
            ones: (0..word.count_ones()).map(|n| wide.nth_one(word, n)).collect(),
            compressed: compressed[..word.count_ones() as usize].to_vec(),
        }
    }
}

/// Values that often go on, in any way and from any bit.
fn slots(seed: u64, len: usize) -> Vec<u64> {
    let mut dice = Dice(seed);
    let mut value = dice.next() >> dice.below(64);
    let shift = dice.below(64);
    let mut next = || {
        value = match dice.below(8) {
            0..=2 => value.wrapping_add(1),
            3 | 4 => value.wrapping_sub(1),
            5 => value,
            6 => value ^ 1 << dice.below(64),
            _ => dice.next() >> shift,
        };
        value
    };
    (0..len).map(|_| next()).collect()
}

proptest! {
    #[test]
    fn levels_agree(seed: u64, from in 0..64_usize, word: u64, dense: bool, pick in 0..64_usize) {
        let slots = slots(seed, 130);
        let mut dice = Dice(seed);
        let positions: Vec<u64> = (0..130)
            .scan(0, |at, _| {
                *at += 1 + dice.below(3);
                Some(*at)
            })
            .collect();
        let word = if dense { word | word.rotate_left(7) | word.rotate_left(29) } else { word };
        let value = slots[from + pick];
        let all = || All { slots: &slots, positions: &positions, from, value, word };
        let expected = all().run(Portable);
        prop_assert_eq!(best(all()), all().run(Portable));
        #[cfg(all(target_arch = "x86_64", feature = "std"))]
        {
            use crate::serial::wide::{Avx2, Avx512};

            if let Some(avx2) = Avx2::detect() {
                prop_assert_eq!(&avx2.run(all()), &expected);
            }
            if let Some(avx512) = Avx512::detect() {
                prop_assert_eq!(&avx512.run(all()), &expected);
            }
        }
        let ones = (0..64).filter(|bit| word >> bit & 1 == 1);
        prop_assert!(ones.clone().eq(expected.ones.iter().copied()));
        let kept = ones.clone().map(|bit| slots[from + bit as usize]);
        prop_assert!(kept.eq(expected.compressed.iter().copied()));
        let bits = (0..).zip(ones).fold(0, |bits, (at, one)| bits | (value >> one & 1) << at);
        prop_assert_eq!(expected.extracted, bits);
    }
}
