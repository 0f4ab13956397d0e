//! How many bytes the patterns take. The figures are those that the README states.

use alloc::vec::Vec;

use super::patterns::{
    fragmented, hole_runs, isolated, linear, packed_behind_holes, random, shuffled_blocks, single_holes,
    sparse,
};
use super::{encode, run, view};
use crate::serial::wire::{ChunkWord, LeafOrder};
use crate::serial::{CONSTANT_BYTES, Run, Step};

/// Millionths of a byte per entry.
fn cost(runs: &[Run]) -> u64 {
    let bytes = encode(runs).len().get();
    let entries: u128 = runs.iter().map(Run::entries).sum();
    bytes * 1_000_000 / u64::try_from(entries).unwrap()
}

#[test]
fn one_line_costs_the_same_at_any_length() {
    for pages in [1, 1 << 18, 1 << 28, 1 << 40] {
        assert_eq!(encode(&linear(pages)).len().get(), 64);
        assert_eq!(encode(&[run(5, pages + 4, pages + 9, Step::Down)]).len().get(), 64);
    }
    let all = encode(&[run(0, u64::MAX, 0, Step::Up)]).to_vec();
    assert_eq!(all.len(), 64);
    assert_eq!(view(&all).verify(), Ok(()));
    assert_eq!(view(&all).get(u64::MAX), Ok(Some(u64::MAX)));
    assert_eq!(view(&all).runs().next().unwrap().unwrap().entries(), 1 << 64);
}

#[test]
fn page_frames_cost_what_was_promised() {
    assert!(cost(&shuffled_blocks(2048, 1)) <= 16_000);
    assert!(cost(&fragmented(1 << 19, 2)) <= 420_000);
    assert!(cost(&single_holes(1 << 19, 10, 3)) <= 145_000);
    assert!(cost(&hole_runs(1 << 20, 4)) <= 25_000);
    assert!(cost(&random(1 << 18, 1 << 22, 5)) <= 2_750_000 * 1015 / 1000);
    assert!(cost(&random(1 << 18, 1 << 28, 6)) <= 3_500_000 * 1015 / 1000);
    assert!(cost(&packed_behind_holes(1 << 18, 7)) <= 225_000);
    assert!(cost(&sparse(20_000, 100, 1 << 22, 8)) <= 6_000_000);
}

#[test]
fn lone_entries_stay_within_sixteen_bytes() {
    for gap in [1, 2, 3, 30, 511, 513, 1 << 12, 1 << 17, 1 << 18, 1 << 19, 1 << 30, 1 << 50] {
        let entries = 4000.min(u64::MAX / gap);
        let mut dice = super::Dice(gap);
        let runs: Vec<Run> = (0..entries).map(|n| Run::single(n * gap, dice.next())).collect();
        assert!(encode(&runs).len().get() <= 16 * entries + CONSTANT_BYTES, "gap {gap}");
    }
    for entries in (1..400).chain([10_000]) {
        assert!(encode(&isolated(entries, 11)).len().get() <= 16 * entries + CONSTANT_BYTES);
    }
}

/// What the derivation in `serial/mod.rs` calls the dearest: lists that each span an eighth of all indices, of lone
/// entries and two runs whose steps need two bits.
#[test]
fn the_dearest_lists_stay_within_the_bound() {
    let mut runs = Vec::new();
    let mut dice = super::Dice(1);
    for list in 0..8_u64 {
        let base = list << 61;
        for n in 0..125 {
            runs.push(Run::single(base + (n << 20), dice.next()));
        }
        runs.push(run(base + (126 << 20), base + (126 << 20) + 1, dice.next() >> 1, Step::Flat));
        runs.push(run(base + (127 << 20), base + (127 << 20) + 1, dice.next() | 1, Step::Down));
        runs.push(Run::single(base + ((1 << 61) - 1), dice.next()));
    }
    let entries: u128 = runs.iter().map(Run::entries).sum();
    let bytes = encode(&runs).len().get();
    let bound = 16 * u64::try_from(entries).unwrap() + CONSTANT_BYTES;
    assert!(bytes <= bound && bytes + 200 > bound, "{bytes} of {bound}: dear, and within");
}

#[test]
fn a_single_entry_beside_each_table_is_paid_by_the_table() {
    for dense in [8, 9, 10, 16, 40, 200, 512, 900] {
        let mut runs = Vec::new();
        let mut dice = super::Dice(dense);
        for segment in 0..200_u64 {
            let base = segment << 18;
            let entries = if segment % 2 == 0 { 1 } else { dense };
            runs.extend((0..entries).map(|n| Run::single(base + n * 3, dice.next() >> 20)));
        }
        let entries = 100 * (dense + 1);
        assert!(encode(&runs).len().get() <= 16 * entries + CONSTANT_BYTES, "{dense} beside 1");
    }
}

/// Every form of a chunk occurs in the patterns that the other tests read back.
#[test]
fn every_form_is_used() {
    let mut found = Vec::new();
    let mut flats: Vec<Run> =
        (0..600).map(|n| run(n * 10, n * 10 + 8, n * 1000 % 7919, Step::Flat)).collect();
    flats.extend(
        fragmented(3000, 3).iter().map(|r| run(r.first() + 6000, r.last() + 6000, r.value(), r.step())),
    );
    let mut far = shuffled_blocks(20, 4);
    far.extend(
        random(512, 1 << 10, 5).iter().map(|r| Run::single(r.first() + 20 * 512, r.value() + (1 << 40))),
    );
    let mut steep: Vec<Run> = (0..20).map(|n| Run::single(n * 3, n)).collect();
    steep.push(run(512, 1023, u64::MAX - 600, Step::Up));
    let patterns = [
        shuffled_blocks(512, 1),
        fragmented(1 << 16, 2),
        single_holes(1 << 14, 10, 3),
        random(5_000, 1 << 22, 5),
        packed_behind_holes(1 << 14, 7),
        sparse(2_000, 100, 1 << 22, 8),
        flats,
        far,
        steep,
    ];
    for runs in patterns {
        let bytes = encode(&runs).to_vec();
        assert_eq!(view(&bytes).verify(), Ok(()));
        let words = bytes.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word));
        // Header, one record, the first word of the body; then the chunk words.
        let (first, last) = (runs[0].first() >> 9, runs[runs.len() - 1].last() >> 9);
        for word in words.skip(9).take(usize::try_from(last.min(511) - first + 1).unwrap()) {
            let form = match ChunkWord::decode(word).unwrap() {
                ChunkWord::Absent => (9, false, 0, false),
                ChunkWord::Linear { step, .. } => (8, false, step.code(), false),
                ChunkWord::Leaf { shape, .. } => {
                    let order = match shape.order {
                        LeafOrder::Index => 0,
                        LeafOrder::Rank => 1,
                        LeafOrder::Single => 2,
                    };
                    (order, shape.own_reference, shape.alphabet.code(), shape.entries == 512)
                }
            };
            found.push(form);
        }
    }
    for order in [0, 1, 2, 8] {
        assert!(found.iter().any(|form| form.0 == order), "order {order}");
    }
    for alphabet in [0, 2, 3, 4] {
        assert!(found.iter().any(|form| form.2 == alphabet && form.0 < 8), "alphabet {alphabet}");
    }
    assert!(
        found.iter().any(|form| form.1) && found.iter().any(|form| form.0 < 8 && !form.1),
        "own reference and shared"
    );
    assert!(
        found.iter().any(|form| form.0 == 0 && form.3) && found.iter().any(|form| form.0 == 0 && !form.3),
        "with and without holes"
    );
}
