//! Rounds and threads leave no trace in the bytes; parts can be read side by side.

use alloc::vec::Vec;

use super::patterns::fragmented;
use super::{encode, run, view};
use crate::serial::{BuildError, Builder, Run, Step};

#[test]
fn many_rounds_give_the_bytes_of_one_segment_each() {
    // More runs than one round holds.
    let runs = fragmented(3 << 18, 1);
    let mut more: Vec<Run> = Vec::new();
    for copy in 0..4_u64 {
        let base = copy * (4 << 18);
        more.extend(runs.iter().map(|r| run(r.first() + base, r.last() + base, r.value(), r.step())));
    }
    assert!(more.len() > 1 << 18, "{} runs", more.len());
    let bytes = encode(&more).to_vec();
    assert_eq!(view(&bytes).verify(), Ok(()));
    let read: Vec<Run> = view(&bytes).runs().map(Result::unwrap).collect();
    assert_eq!(encode(&read).to_vec(), bytes);

    // Verification encodes each table by itself, on whatever thread: it agreed. The same number of parts:
    assert_eq!(view(&bytes).parts().len(), 12);
}

#[cfg(feature = "std")]
#[test]
fn parts_read_side_by_side_make_up_the_map() {
    use super::entries_of;
    use super::patterns::shuffled_blocks;
    use rayon::iter::ParallelIterator;

    let runs = shuffled_blocks(2000, 3);
    let bytes = encode(&runs).to_vec();
    let view = view(&bytes);
    let parts: Vec<Vec<(u64, u64)>> =
        view.par_parts().map(|part| part.entries().map(Result::unwrap).collect()).collect();
    assert_eq!(parts.concat(), entries_of(&runs));
}

#[test]
fn what_does_not_ascend_is_refused_and_changes_nothing() {
    let mut builder = Builder::new();
    builder.push_run(10..=20, 5, Step::Up).unwrap();
    assert_eq!(builder.push(20, 1), Err(BuildError::NotAscending { index: 20, last: 20 }));
    assert_eq!(builder.push(3, 1), Err(BuildError::NotAscending { index: 3, last: 20 }));
    let backwards = core::ops::RangeInclusive::new(30, 25);
    assert!(matches!(builder.push_run(backwards, 1, Step::Up), Err(BuildError::NotARun { .. })));
    assert!(matches!(builder.push_run(30..=40, 9, Step::Down), Err(BuildError::NotARun { .. })));
    assert!(matches!(builder.push_run(30..=40, u64::MAX, Step::Up), Err(BuildError::NotARun { .. })));
    assert_eq!(builder.encode(), encode(&[run(10, 20, 5, Step::Up)]));
}
