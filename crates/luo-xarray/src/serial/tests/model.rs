//! Generated contents against a `BTreeMap`, written by different calls.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::{encode_entries, pieces, view};
use crate::serial::{Builder, CONSTANT_BYTES, Run, SerialView, Step};

/// A stretch of entries: how far behind the one before, how many, and how their values go.
#[derive(Clone, Debug)]
struct Stretch {
    gap: u64,
    len: u64,
    value: u64,
    /// 0 up, 1 down, 2 flat, 3 any, 4 up with holes, 5 up by rank with holes, 6 any of three.
    kind: u8,
    salt: u64,
}

fn gap() -> impl Strategy<Value = u64> {
    prop_oneof![
        4 => 0..4_u64,
        2 => 0..600_u64,
        2 => (1 << 17)..(1_u64 << 20),
        2 => Just(1_u64 << 30),
        1 => any::<u64>().prop_map(|gap| gap >> 6),
    ]
}

fn value() -> impl Strategy<Value = u64> {
    prop_oneof![3 => 0..1_u64 << 22, 1 => any::<u64>(), 1 => Just(0), 1 => (u64::MAX - 5)..=u64::MAX]
}

fn stretch() -> impl Strategy<Value = Stretch> {
    let len = prop_oneof![3 => 1..5_u64, 3 => 1..80_u64, 2 => 1..1500_u64, 1 => Just(512_u64)];
    (gap(), len, value(), 0..7_u8, any::<u64>()).prop_map(|(gap, len, value, kind, salt)| Stretch {
        gap,
        len,
        value,
        kind,
        salt,
    })
}

fn content(stretches: &[Stretch]) -> BTreeMap<u64, u64> {
    let mut map = BTreeMap::new();
    let mut next = Some(0_u64);
    for Stretch { gap, len, value, kind, salt } in stretches.iter().cloned() {
        let mut dice = super::Dice(salt);
        let mut rank = 0;
        for at in 0..len {
            let Some(index) =
                next.and_then(|next| next.checked_add(gap)).and_then(|base| base.checked_add(at))
            else {
                break;
            };
            let noise = dice.next();
            if (kind == 4 || kind == 5) && noise.is_multiple_of(5) {
                continue;
            }
            let value = match kind {
                0 | 4 => value.wrapping_add(at),
                1 => value.wrapping_sub(at),
                2 => value,
                5 => value.wrapping_add(rank),
                6 => value.wrapping_add(noise % 3),
                _ => noise >> (salt % 64),
            };
            rank += 1;
            map.insert(index, value);
        }
        next = map.last_key_value().and_then(|(last, _)| last.checked_add(1));
        next = if map.is_empty() { Some(0) } else { next };
        if next.is_none() {
            break;
        }
    }
    map
}

/// Cuts a map into runs at places that `seed` chooses.
fn runs_cut(map: &BTreeMap<u64, u64>, seed: u64) -> Vec<Run> {
    let mut dice = super::Dice(seed);
    let mut runs: Vec<Run> = Vec::new();
    for (index, value) in map {
        let grown = runs.last().filter(|_| !dice.one_in(3)).and_then(|run| {
            let step = [Step::Up, Step::Down, Step::Flat]
                .into_iter()
                .find(|step| step.apply(run.value(), index - run.first()) == Some(*value))?;
            let fits = run.last() + 1 == *index && (run.first() == run.last() || run.step() == step);
            Run::new(run.first()..=*index, run.value(), step).filter(|_| fits)
        });
        match grown {
            Some(grown) => *runs.last_mut().unwrap() = grown,
            None => runs.push(Run::single(*index, *value)),
        }
    }
    runs
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn agrees_with_a_btree_map(stretches in prop::collection::vec(stretch(), 0..40), seed: u64) {
        let map = content(&stretches);
        let entries: Vec<(u64, u64)> = map.iter().map(|(index, value)| (*index, *value)).collect();
        let bytes = encode_entries(&entries).to_vec();
        let mut builder = Builder::new();
        for run in runs_cut(&map, seed) {
            builder.push_run(run.indices(), run.value(), run.step()).unwrap();
        }
        prop_assert_eq!(&bytes, &builder.encode().to_vec());
        prop_assert!(bytes.len() as u64 <= 16 * entries.len() as u64 + CONSTANT_BYTES);

        let whole = view(&bytes);
        prop_assert_eq!(whole.verify(), Ok(()));
        let read: Result<Vec<_>, _> = whole.entries().collect();
        prop_assert_eq!(read.as_ref(), Ok(&entries));
        let cut = SerialView::open(&pieces(&bytes, 8 * (1 + usize::try_from(seed % 90).unwrap()))).unwrap();
        prop_assert_eq!(cut.verify(), Ok(()));
        let mut dice = super::Dice(seed);
        let some = entries.len().div_ceil(400).max(1);
        for (index, _) in entries.iter().step_by(some) {
            for near in [index.saturating_sub(1), *index, index.saturating_add(1), dice.next()] {
                let expected = map.get(&near).copied();
                prop_assert_eq!(whole.get(near), Ok(expected));
                prop_assert_eq!(whole.get_anywhere(near), Ok(expected));
                prop_assert_eq!(cut.get(near), Ok(expected));
            }
        }
    }

    #[test]
    fn no_sparsity_takes_more_than_sixteen_bytes_per_entry(
        shift in 0..60_u32, entries in 1..1500_u64, burst in 1..20_u64, seed: u64, narrow in 0..64_u32,
    ) {
        let mut dice = super::Dice(seed);
        let mut map = BTreeMap::new();
        let mut at = 0_u64;
        for _ in 0..entries {
            let Some(next) = at.checked_add(dice.below((1 << shift) * 2)) else { break };
            at = next;
            let value = dice.next() >> narrow;
            for n in 0..=dice.below(burst) {
                map.insert(at.saturating_add(n), if n % 7 == 3 { dice.next() } else { value.wrapping_sub(n) });
            }
        }
        let entries: Vec<(u64, u64)> = map.iter().map(|(index, value)| (*index, *value)).collect();
        let bytes = encode_entries(&entries).to_vec();
        prop_assert!(bytes.len() as u64 <= 16 * entries.len() as u64 + CONSTANT_BYTES);
        prop_assert_eq!(view(&bytes).verify(), Ok(()));
    }
}
