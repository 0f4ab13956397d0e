//! Runs found for 64 entries at a time, against runs that are joined one by one.

use alloc::vec::Vec;

use proptest::prelude::*;

use super::content::{Content, Scratch};
use super::lines::{Along, Lines};
use crate::serial::bits::Alphabet;
use crate::serial::run::{Joiner, Run};
use crate::serial::wide::{Portable, Task, Wide, best};

struct Find<'c>(&'c Content<'c>, Along, u64);

impl Task for Find<'_> {
    type Output = Lines;

    fn run<W: Wide>(self, wide: W) -> Lines {
        Lines::of(wide, self.0, self.1, self.2)
    }
}

/// The entries that begin a run, by rank, and the steps of runs of several entries.
fn joined(entries: &[(u64, u64)], along: Along) -> (Vec<u64>, Alphabet) {
    let mut joiner = if along == Along::Neighbours { Joiner::new() } else { Joiner::across_holes() };
    let mut runs: Vec<Run> = Vec::new();
    for (rank, (position, value)) in (0..).zip(entries) {
        let at = if along == Along::Rank { rank } else { *position };
        runs.extend(joiner.push(Run::single(at, *value)));
    }
    runs.extend(joiner.finish());
    let mut alphabet = Alphabet::default();
    runs.iter().filter(|run| run.distance() > 0).for_each(|run| alphabet.insert(run.step()));
    let rank_of = |first: u64| match along {
        Along::Rank => first,
        _ => entries.iter().position(|(position, _)| *position == first).unwrap() as u64,
    };
    (runs.iter().map(|run| rank_of(run.first())).collect(), alphabet)
}

fn entries() -> impl Strategy<Value = Vec<(u64, u64)>> {
    let change = prop_oneof![8 => -1..=1_i64, 1 => -3..=3_i64, 1 => any::<i64>()];
    let gap = prop_oneof![6 => Just(1_u64), 1 => 2..4_u64];
    let first = prop_oneof![2 => 0..1_u64 << 40, 1 => 0..3_u64, 1 => (u64::MAX - 3)..=u64::MAX];
    (first, any::<bool>(), prop::collection::vec((change, gap), 0..512)).prop_map(|(first, holes, steps)| {
        let mut at = (0, first);
        let mut entries = alloc::vec![at];
        for (change, gap) in steps {
            let gap = if holes { gap } else { 1 };
            // Often as far as the index went, so that lines cross holes.
            let by = if change.abs() == 1 { change * gap.cast_signed() } else { change };
            at = (at.0 + gap, at.1.wrapping_add_signed(by));
            if at.0 > 511 {
                break;
            }
            entries.push(at);
        }
        entries
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn lines_are_the_runs_that_join_one_by_one(entries in entries()) {
        let mut scratch = Scratch::default();
        for (position, value) in &entries {
            scratch.push(&Run::single(*position, *value));
        }
        let content = scratch.content().unwrap();
        let highest = entries.iter().map(|(_, value)| *value).max().unwrap();
        for along in [Along::Index, Along::Rank, Along::Neighbours] {
            let (starts, alphabet) = joined(&entries, along);
            for lines in [Find(&content, along, highest).run(Portable), best(Find(&content, along, highest))] {
                let found: Vec<u64> = lines.starts.members().map(u64::from).collect();
                prop_assert_eq!(&found, &starts, "{:?}", along);
                prop_assert_eq!(lines.runs as usize, starts.len());
                prop_assert_eq!(lines.alphabet.code(), alphabet.code());
            }
        }
    }
}
