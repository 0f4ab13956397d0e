//! The array against the plainest map there is: index to value.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use proptest::prelude::*;

use super::XArray;
use crate::{Ascending, Spread, Uniform};

const END: u64 = 300;

/// From, to, and what is stored there; `None` erases.
type Step = (u64, u64, Option<u64>);

fn every_index_agrees<S: Spread<u64>>(steps: &[Step]) {
    let mut array = XArray::<u64, S>::default();
    let mut map = BTreeMap::new();
    for (at, len, value) in steps {
        let range = *at..(at + len).min(END);
        if let Some(value) = value {
            array.store_range(range.clone(), *value).unwrap();
            let grown = |offset| if S::ASCENDS { value + offset } else { *value };
            map.extend(range.map(|index| (index, grown(index - at))));
        } else {
            array.erase_range(range.clone());
            map.retain(|index, _| !range.contains(index));
        }
    }
    for index in 0..END {
        assert_eq!(array.value_at(index), map.get(&index).copied(), "at {index}");
    }
    let covered: u64 = array.iter().filter_map(|entry| entry.block.size()).sum();
    assert_eq!(covered, map.len() as u64);
}

proptest! {
    #[test]
    fn every_index_has_what_was_stored_there_last(
        steps in prop::collection::vec((0..END, 0..END, prop::option::weighted(0.7, 0_u64..1_000)), 1..30),
    ) {
        every_index_agrees::<Uniform>(&steps);
        every_index_agrees::<Ascending>(&steps);
    }
}

/// Long enough for nodes to come, to go, and to be packed while a cursor stands on them.
#[test]
fn fill_and_drain() {
    let mut array = XArray::<u64>::new();
    let mut map = BTreeMap::new();
    let mut seed = 7_u64;
    let mut cursor = array.cursor_mut();
    for turn in 0..40_000 {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        // Mostly neighbours, sometimes a leap; places between 2^10 and 2^40 apart from each other.
        let index = if seed >> 60 == 0 { seed >> 24 } else { (seed >> 40) % 300 * 64 + turn % 7 };
        let filling = turn / 5_000 % 2 == 0;
        if filling == (seed >> 32 & 7 != 0) {
            assert_eq!(cursor.store(index, turn), map.insert(index, turn), "store at {index:#x}");
        } else {
            assert_eq!(cursor.erase(index), map.remove(&index), "erase at {index:#x}");
        }
    }
    let rest: Vec<_> = map.keys().copied().collect();
    for (nth, index) in rest.iter().enumerate() {
        assert_eq!(cursor.erase(*index), map.remove(index));
        let next = cursor.at_or_after(0).map(|entry| entry.block.first());
        assert_eq!(next, rest.get(nth + 1).copied());
    }
    assert_eq!((array.check(), array.len()), (0, 0));
}
