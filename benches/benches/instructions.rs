//! Instructions per page, counted by callgrind: the same on every run, and so fit for a gate. Without the instructions
//! of processors that valgrind does not know, AVX-512 among them.

#![expect(
    missing_docs,
    unused_qualifications,
    reason = "the macros of the harness write items without documentation"
)]

#[expect(dead_code, reason = "the other bench prints names too")]
#[path = "xarray/corpus.rs"]
mod corpus;

use std::cell::RefCell;
use std::hint::black_box;

use gungraun::{library_benchmark, library_benchmark_group, main};
use luo_xarray::serial::{Builder, SerialView};

use self::corpus::{Dice, HOLE, Pattern};

/// Pages of each map.
const PAGES: usize = 1 << 18;
/// Look-ups in each.
const LOOKUPS: usize = 1 << 12;

struct Map {
    slots: Vec<u64>,
    bytes: Vec<u8>,
    room: RefCell<Vec<u64>>,
    indices: Vec<u64>,
}

fn map(pattern: Pattern) -> Map {
    let slots = pattern.slots(PAGES).unwrap_or_default();
    let bytes = write(&slots);
    let mut dice = Dice(11);
    let indices = (0..LOOKUPS).map(|_| dice.below(PAGES as u64)).collect();
    Map { slots, bytes, room: RefCell::new(vec![HOLE; PAGES]), indices }
}

fn write(slots: &[u64]) -> Vec<u8> {
    let mut builder = Builder::new();
    let pushed = builder.push_slots(0, slots, Some(HOLE));
    assert!(pushed.is_ok(), "nothing was pushed before");
    builder.encode().to_vec()
}

fn view(map: &Map) -> SerialView<'_> {
    SerialView::open(&[&map.bytes]).unwrap_or_else(|error| unreachable!("{error}"))
}

macro_rules! on_patterns {
    ($name:ident, $body:expr) => {
        #[library_benchmark]
        #[bench::contiguous(map(Pattern::Contiguous))]
        #[bench::blocks(map(Pattern::Blocks))]
        #[bench::real_8(map(Pattern::Real8))]
        #[bench::real_15(map(Pattern::Real15))]
        #[bench::holes(map(Pattern::Holes))]
        #[bench::hole_runs(map(Pattern::HoleRuns))]
        #[bench::random(map(Pattern::Random))]
        #[bench::sparse(map(Pattern::Sparse))]
        fn $name(map: Map) -> Map {
            let work: fn(&Map) -> u64 = $body;
            black_box(work(&map));
            map
        }
    };
}

on_patterns!(build, |map| write(&map.slots).len() as u64);
on_patterns!(verify, |map| view(map).verify().is_ok().into());
on_patterns!(restore, |map| view(map).fill(0, &mut map.room.borrow_mut(), HOLE).is_ok().into());
on_patterns!(look_up, |map| {
    let view = view(map);
    let values = map.indices.iter().map(|index| view.get(*index).ok().flatten().unwrap_or(1));
    values.fold(0, u64::wrapping_add)
});
on_patterns!(runs, |map| view(map).runs().flatten().count() as u64);

library_benchmark_group!(name = serial, benchmarks = [build, verify, restore, look_up, runs]);
main!(library_benchmark_groups = serial);
