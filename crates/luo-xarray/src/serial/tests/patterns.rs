//! Contents for tests, and that each is read back as it was written.

use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;

use super::{Dice, encode, encode_entries, entries_of, pieces, run, view};
use crate::serial::{CONSTANT_BYTES, Run, SerialView, Step};

pub(super) fn linear(pages: u64) -> Vec<Run> {
    vec![run(0, pages - 1, 0x10_0000, Step::Up)]
}

/// 2 MiB blocks in random order.
pub(super) fn shuffled_blocks(blocks: u64, seed: u64) -> Vec<Run> {
    let mut order: Vec<u64> = (0..blocks).collect();
    let mut dice = Dice(seed);
    for at in (1..blocks).rev() {
        order.swap(usize::try_from(at).unwrap(), usize::try_from(dice.below(at + 1)).unwrap());
    }
    let block = |(at, block): (u64, u64)| run(at * 512, at * 512 + 511, (block + 2048) * 512, Step::Up);
    (0..).zip(order).map(block).collect()
}

/// Runs as a page allocator gives them: most short, some long, a few downwards; 8.9 pages long in the mean.
pub(super) fn fragmented(pages: u64, seed: u64) -> Vec<Run> {
    let mut dice = Dice(seed);
    let (mut runs, mut at) = (Vec::new(), 0);
    while at < pages {
        let len = match dice.below(8) {
            0..=3 => 1 + dice.below(4),
            4..=6 => 4 + dice.below(9),
            _ => 16 + dice.below(45),
        };
        let last = (at + len).min(pages) - 1;
        let step = if dice.one_in(12) { Step::Down } else { Step::Up };
        runs.push(run(at, last, 0x10_0000 + dice.below(1 << 21), step));
        at = last + 1;
    }
    runs
}

/// One line with single holes: each page is one with the chance `1 / n`.
pub(super) fn single_holes(pages: u64, n: u64, seed: u64) -> Vec<Run> {
    let mut dice = Dice(seed);
    let there = (0..pages).filter(|_| !dice.one_in(n)).collect::<Vec<_>>();
    there.into_iter().map(|page| run(page, page, page + 77_000, Step::Up)).collect()
}

/// One line with holes of about 32 pages, a tenth of all.
pub(super) fn hole_runs(pages: u64, seed: u64) -> Vec<Run> {
    let mut dice = Dice(seed);
    let (mut runs, mut at) = (Vec::new(), 0);
    while at < pages {
        let last = (at + 1 + dice.below(576)).min(pages) - 1;
        runs.push(run(at, last, at + 77_000, Step::Up));
        at = last + 1 + 1 + dice.below(63);
    }
    runs
}

/// Entries everywhere, values anywhere below `values`.
pub(super) fn random(pages: u64, values: u64, seed: u64) -> Vec<Run> {
    let mut dice = Dice(seed);
    (0..pages).map(|page| run(page, page, dice.below(values), Step::Up)).collect()
}

/// Entries about `gap` apart, values below `values`.
pub(super) fn sparse(entries: u64, gap: u64, values: u64, seed: u64) -> Vec<Run> {
    let mut dice = Dice(seed);
    let mut at = 0;
    let mut runs = Vec::new();
    for _ in 0..entries {
        at += 1 + dice.below(2 * gap - 1);
        runs.push(run(at, at, dice.below(values), Step::Up));
    }
    runs
}

/// Anywhere in the range of u64.
pub(super) fn isolated(entries: u64, seed: u64) -> Vec<Run> {
    let mut dice = Dice(seed);
    let map: BTreeMap<u64, u64> = (0..entries).map(|_| (dice.next(), dice.next())).collect();
    map.into_iter().map(|(index, value)| Run::single(index, value)).collect()
}

/// Pages allocated in order of their index, with holes: a leaf by rank.
pub(super) fn packed_behind_holes(pages: u64, seed: u64) -> Vec<Run> {
    let mut dice = Dice(seed);
    let there = (0..pages).filter(|_| !dice.one_in(3)).collect::<Vec<_>>();
    (5000..).zip(there).map(|(value, page)| run(page, page, value, Step::Up)).collect()
}

/// Writes it in several ways, reads it in several ways.
fn check(runs: &[Run]) {
    let entries = entries_of(runs);
    let bytes = encode(runs).to_vec();
    assert_eq!(bytes, encode_entries(&entries).to_vec(), "one content has one encoding");
    let bound = 16 * entries.len() as u64 + CONSTANT_BYTES;
    assert!(bytes.len() as u64 <= bound, "{} bytes for {} entries", bytes.len(), entries.len());

    let whole = view(&bytes);
    whole.verify().unwrap();
    read_back(&whole, &entries);
    let frames = SerialView::open(&pieces(&bytes, 4096)).unwrap();
    frames.verify().unwrap();
    read_back(&frames, &entries);
    if bytes.len() < 4096 {
        let words = SerialView::open(&pieces(&bytes, 8)).unwrap();
        words.verify().unwrap();
        read_back(&words, &entries);
    }
}

fn read_back(view: &SerialView<'_>, entries: &[(u64, u64)]) {
    assert!(view.entries().map(Result::unwrap).eq(entries.iter().copied()), "entries");
    let by_part = view.parts().flat_map(|part| part.entries());
    assert!(by_part.map(Result::unwrap).eq(entries.iter().copied()), "entries of parts");
    let runs: Vec<Run> = view.runs().map(Result::unwrap).collect();
    assert!(entries_of(&runs).iter().eq(entries), "runs");
    for pair in runs.windows(2) {
        let [run, next] = pair else { unreachable!() };
        let grows = run.last() + 1 == next.first()
            && (run.first() == run.last() && run.value().abs_diff(next.value()) <= 1
                || run.step().apply(run.value(), run.entries().try_into().unwrap()) == Some(next.value()));
        assert!(!grows, "{run:?} could go on into {next:?}");
    }
    let some = entries.len().div_ceil(5000).max(1);
    for (at, (index, value)) in entries.iter().enumerate().step_by(some) {
        assert_eq!(view.get(*index), Ok(Some(*value)), "index {index}");
        assert_eq!(view.get_anywhere(*index), Ok(Some(*value)), "index {index}");
        let after = entries.get(at + 1).map_or(u64::MAX, |(next, _)| next - 1);
        if *index < after {
            assert_eq!(view.get(index + 1), Ok(None), "behind index {index}");
            assert_eq!(view.get(after), Ok((entries.last().unwrap().0 == after).then_some(*value)));
        }
    }
    if let Some(before) = entries.first().and_then(|(first, _)| first.checked_sub(1)) {
        assert_eq!(view.get(before), Ok(None));
    }
}

#[test]
fn nothing_and_single_entries() {
    check(&[]);
    for index in [0, 1, 511, 512, 1 << 18, u64::MAX] {
        for value in [0, 1, u64::MAX] {
            check(&[Run::single(index, value)]);
        }
    }
    check(&[Run::single(0, u64::MAX), Run::single(u64::MAX, 0)]);
}

#[test]
fn zero_is_a_value_and_a_hole_is_none() {
    let bytes = encode(&[run(3, 5, 0, Step::Flat)]).to_vec();
    let view = view(&bytes);
    assert_eq!((view.get(2), view.get(4), view.get(6)), (Ok(None), Ok(Some(0)), Ok(None)));
}

#[test]
fn lines_in_every_direction() {
    for step in [Step::Up, Step::Down, Step::Flat] {
        for (first, len) in [(0, 1), (0, 2), (7, 512), (512, 512), (1 << 18, 1 << 18), (100, (1 << 18) + 9)] {
            check(&[run(first, first + len - 1, 1 << 20, step)]);
        }
    }
    check(&[run(0, 2000, 2000, Step::Down)]);
    check(&[run(0, 2000, u64::MAX - 2000, Step::Up)]);
}

#[test]
fn patterns_of_page_frames() {
    check(&shuffled_blocks(700, 1));
    check(&fragmented(140_000, 2));
    check(&single_holes(70_000, 10, 3));
    check(&hole_runs(600_000, 4));
    check(&random(9_000, 1 << 22, 5));
    check(&random(3_000, u64::MAX, 6));
    check(&packed_behind_holes(5_000, 7));
}

#[test]
fn sparse_maps() {
    check(&sparse(3_000, 100, 1 << 22, 1));
    check(&sparse(3_000, 100, u64::MAX, 2));
    check(&sparse(1_000, 1 << 14, u64::MAX, 3));
    check(&sparse(1_000, 1 << 18, u64::MAX, 4));
    check(&sparse(1_000, 1 << 30, u64::MAX, 5));
    for entries in [1, 2, 127, 128, 129, 255, 256, 257, 1000, 5000] {
        check(&isolated(entries, entries));
    }
}

#[test]
fn joins_are_found_across_all_borders() {
    // Each of these is one run, or would be cut elsewhere, if borders of chunks and segments were not looked at.
    let border = 1 << 18;
    for at in [512, border] {
        check(&[run(at - 3, at, 50, Step::Up), run(at + 1, at + 4, 52, Step::Down)]);
        check(&[run(at - 2, at - 1, 50, Step::Up), run(at, at + 4, 51, Step::Down)]);
        check(&[run(at - 2, at - 1, 50, Step::Up), run(at, at + 4, 51, Step::Flat)]);
        check(&[run(at - 1, at - 1, 50, Step::Up), run(at, at + 600, 49, Step::Flat)]);
    }
    // A chunk that is one line of its own, made of the end of one run and most of the next.
    let mut runs = fragmented(border / 4, 9);
    let at = border / 2;
    runs.extend([run(at - 5, at, 7_000, Step::Up), run(at + 1, at + 511, 7_004, Step::Down)]);
    runs.extend(
        fragmented(5_000, 10)
            .iter()
            .map(|r| run(r.first() + at + 600, r.last() + at + 600, r.value(), r.step())),
    );
    check(&runs);
}

#[test]
fn tables_between_lists() {
    let mut runs = Vec::new();
    for segment in 0..12_u64 {
        let base = segment << 18;
        if segment % 3 == 1 {
            let dense = fragmented(3_000, segment);
            runs.extend(dense.iter().map(|r| run(r.first() + base, r.last() + base, r.value(), r.step())));
        } else {
            runs.extend((0..4).map(|n| Run::single(base + n * 50_000, n << 50)));
        }
    }
    check(&runs);
}
