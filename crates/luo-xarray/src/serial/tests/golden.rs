//! The bytes of version 1, which every later build reads, and which a build of version 1 writes.
//!
//! - `lists.bin`: a list with all steps, a run by itself and a slanted list, with tables between them.
//! - `tables.bin`: two tables, whose chunks have every form: absent, linear, and leaves by index, by rank and single,
//!   with and without a reference of their own.
//!
//! If one of these fails, the layout has changed: it needs a new version, and these files stay.

use alloc::vec::Vec;

use super::patterns::{fragmented, packed_behind_holes, single_holes};
use super::{encode, run, view};
use crate::serial::wire::Kind;
use crate::serial::{Run, Step};

fn moved(runs: &[Run], by: u64) -> Vec<Run> {
    runs.iter().map(|r| run(r.first() + by, r.last() + by, r.value(), r.step())).collect()
}

fn lists() -> Vec<Run> {
    let table = |base: u64| (0..40).map(move |n| Run::single(base + n, n * n * 7 % 251));
    let mut runs = alloc::vec![
        run(0, 0, 7, Step::Up),
        run(3, 9, 1 << 20, Step::Up),
        run(10, 12, 500, Step::Down),
        run(1000, 5000, 42, Step::Flat),
        run(1 << 18, (1 << 28) - 1, 1 << 18, Step::Up),
    ];
    runs.extend(table(1 << 30));
    runs.push(run(1 << 35, 1 << 40, u64::MAX, Step::Down));
    runs.extend(table(1 << 50));
    runs.extend((0..5).map(|n| (1 << 60) + n * 1000).map(|at| run(at, at + 900, at - 5, Step::Up)));
    runs
}

fn tables() -> Vec<Run> {
    let mut runs = moved(&single_holes(512, 10, 1), 0);
    runs.extend(moved(&packed_behind_holes(512, 2), 512));
    runs.extend(moved(&fragmented(512, 3), 1024));
    runs.push(run(1536, 2047, 1 << 20, Step::Down));
    runs.extend((0..64).map(|n| Run::single(3072 + n * 3, (1 << 40) + n * n * n % 211)));
    runs.extend((0..40).map(|n| run(4096 + n * 5, 4098 + n * 5, n * 100 % 997, Step::Flat)));
    runs.extend(moved(&fragmented(300, 4), 1 << 18));
    runs
}

#[test]
fn the_lists_have_every_kind_of_part() {
    let bytes = encode(&lists()).to_vec();
    let view = view(&bytes);
    let kinds: Vec<Kind> = (0..view.part_count()).map(|number| view.head(number).unwrap().kind).collect();
    assert_eq!(kinds, [Kind::List(5), Kind::Table, Kind::Run(Step::Down), Kind::Table, Kind::List(5)]);
}

#[test]
fn version_one_writes_these_bytes() {
    for (name, runs) in [("lists", lists()), ("tables", tables())] {
        let path = alloc::format!("{}/../../tests/golden/xarray-v1/{name}.bin", env!("CARGO_MANIFEST_DIR"));
        let golden = std::fs::read(&path).unwrap();
        assert_eq!(encode(&runs).to_vec(), golden, "{name}");
        assert_eq!(view(&golden).verify(), Ok(()), "{name}");
        let read: Vec<Run> = view(&golden).runs().map(Result::unwrap).collect();
        assert_eq!(encode(&read).to_vec(), golden, "{name}");
    }
}
