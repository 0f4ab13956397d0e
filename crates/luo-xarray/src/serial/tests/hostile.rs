//! Bytes that somebody else wrote.

use alloc::vec;
use alloc::vec::Vec;

use luo_kho::checksum;
use proptest::prelude::*;

use super::patterns::{fragmented, isolated, packed_behind_holes, random, single_holes};
use super::{encode, encode_entries, pieces, run};
use crate::serial::{Run, SerialError, SerialView, Step};

fn moved(runs: &[Run], by: u64) -> Vec<Run> {
    runs.iter().map(|r| run(r.first() + by, r.last() + by, r.value(), r.step())).collect()
}

/// Small blobs that have every kind of part and of leaf.
fn blobs() -> Vec<Vec<u8>> {
    let mut flats: Vec<Run> = (0..40).map(|n| run(n * 12, n * 12 + 8, n * 1000 % 97, Step::Flat)).collect();
    flats.push(run(600, 640, 900, Step::Down));
    flats.extend([run(641, 650, 9, Step::Up), run(1024, 1535, 70_000, Step::Up)]);
    let mut mixed = vec![run(3, 9, 1 << 60, Step::Down)];
    mixed.extend(moved(&fragmented(300, 1), 1 << 18));
    mixed.extend(moved(&isolated(5, 2), 0).iter().filter(|r| r.first() > 1 << 19));
    let own: Vec<Run> = (0..30)
        .map(|n| Run::single(n, n))
        .map(|r| run(r.first(), r.last(), r.value() * 9, Step::Up))
        .chain((0..200).map(|n| Run::single(512 + n, (1 << 50) + n * n)))
        .collect();
    [
        vec![],
        vec![run(5, 1 << 40, 7, Step::Up)],
        isolated(3, 3),
        (0..130).map(|n| Run::single(n << 20, n * n % 251)).collect(),
        flats,
        mixed,
        own,
        single_holes(560, 10, 5),
        packed_behind_holes(600, 6),
        random(60, 1 << 12, 7),
    ]
    .iter()
    .map(|runs| encode(runs).to_vec())
    .collect()
}

fn checked(bytes: &[u8]) -> Result<(), SerialError> {
    SerialView::open(&[bytes])?.verify()
}

#[test]
fn the_blobs_are_good() {
    for bytes in blobs() {
        assert_eq!(checked(&bytes), Ok(()));
    }
}

#[test]
fn every_flipped_bit_is_refused() {
    for bytes in blobs() {
        for bit in 0..bytes.len() * 8 {
            let mut other = bytes.clone();
            other[bit / 8] ^= 1 << (bit % 8);
            assert!(checked(&other).is_err(), "bit {bit} of {} bytes", bytes.len());
        }
    }
}

#[test]
fn every_truncation_and_extension_is_refused() {
    for bytes in blobs() {
        for len in 0..bytes.len() {
            assert!(checked(&bytes[..len]).is_err(), "{len} of {} bytes", bytes.len());
        }
        let mut longer = bytes.clone();
        longer.extend([0; 8]);
        assert!(checked(&longer).is_err());
    }
}

/// Makes all checksums right again. Follows the directory as far as it can be followed.
fn repair(bytes: &mut [u8]) {
    let word = |bytes: &[u8], at: usize| -> Option<u64> {
        Some(u64::from_le_bytes(bytes.get(at * 8..at * 8 + 8)?.try_into().unwrap()))
    };
    let Some(records) = word(bytes, 2).and_then(|records| usize::try_from(records).ok()) else { return };
    let Some(bodies) = records.checked_mul(4).and_then(|len| len.checked_add(4)) else { return };
    if bodies > bytes.len() / 8 {
        return;
    }
    let starts: Vec<usize> = (0..records)
        .filter_map(|record| word(bytes, 4 + record * 4 + 3))
        .map(|place| usize::try_from(place & ((1 << 44) - 1)).unwrap())
        .chain([bytes.len() / 8 - bodies])
        .collect();
    for pair in starts.windows(2) {
        let (from, to) = ((bodies + pair[0]) * 8, (bodies + pair[1]) * 8);
        if from < to && to <= bytes.len() {
            bytes[from..from + 4].fill(0);
            let sum = checksum::crc32c(&bytes[from..to]);
            bytes[from..from + 4].copy_from_slice(&sum.to_le_bytes());
        }
    }
    let sum = checksum::crc32c(&bytes[32..bodies * 8]);
    bytes[24..28].copy_from_slice(&sum.to_le_bytes());
    let sum = checksum::crc32c(&bytes[..28]);
    bytes[28..32].copy_from_slice(&sum.to_le_bytes());
}

/// Reads whatever is there. Nothing panics; what verifies is what its content encodes to, and reads the same in
/// every way. Says whether it verified.
fn probe(bytes: &[u8]) -> bool {
    let Ok(view) = SerialView::open(&[bytes]) else { return false };
    let mut indices = vec![0, 1, 511, 512, 600, 1030, 1 << 18, (1 << 18) + 700, u64::MAX];
    let runs: Vec<_> = view.runs().take(1 << 14).collect();
    assert!(runs.len() < 1 << 14, "the number of runs is bounded by the bytes");
    let mut last = None;
    let some = runs.len().div_ceil(40).max(1);
    for (number, run) in runs.iter().flatten().enumerate() {
        assert!(last < Some(run.first()), "runs ascend even if nothing was verified");
        last = Some(run.last());
        if number % some == 0 {
            indices.extend([run.first(), run.last(), run.last().saturating_add(1)]);
        }
    }
    let cut = pieces(bytes, 24);
    let cut = SerialView::open(&cut).unwrap();
    for index in &indices {
        assert_eq!(view.get(*index), view.get_anywhere(*index), "guessed and searched for");
        assert_eq!(view.get(*index), cut.get(*index), "in one piece and in several");
    }
    let verified = view.verify();
    assert_eq!(verified.is_ok(), cut.verify().is_ok());
    if verified.is_err() {
        return false;
    }
    let runs: Vec<Run> = runs.into_iter().map(Result::unwrap).collect();
    assert_eq!(encode(&runs).to_vec(), bytes, "verified, so it is the one encoding");
    for index in indices {
        let near = runs.partition_point(|run| run.last() < index);
        let expected = runs.get(near).and_then(|run| run.value_at(index));
        assert_eq!(view.get(index), Ok(expected));
    }
    let short: Vec<(u64, u64)> = view.entries().take(100_000).map(Result::unwrap).collect();
    if short.len() < 100_000 {
        assert_eq!(encode_entries(&short).to_vec(), bytes);
    }
    true
}

#[test]
fn lies_under_right_checksums_do_no_harm() {
    let (mut believed, mut refused) = (0, 0);
    for bytes in blobs() {
        // All bits of records and of what describes a body; of the packed values behind them, every fifth.
        for bit in (0..bytes.len() * 8).filter(|bit| *bit < 1600 || bit % 5 == 0) {
            let mut other = bytes.clone();
            other[bit / 8] ^= 1 << (bit % 8);
            repair(&mut other);
            if other == bytes {
                continue;
            }
            if probe(&other) { believed += 1 } else { refused += 1 }
        }
    }
    // A changed value is another content, and its encoding: nobody can tell. A changed structure is refused.
    assert!(believed > 1000 && refused > 1000, "{believed} believed, {refused} refused");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn many_lies_at_once_do_no_harm(
        which in 0..10_usize,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        static BLOBS: std::sync::LazyLock<Vec<Vec<u8>>> = std::sync::LazyLock::new(blobs);
        let mut bytes = BLOBS[which].clone();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Some(cut) = cut {
            let words = cut.index(bytes.len() / 8);
            bytes.truncate(words * 8);
            if bytes.len() >= 32 {
                bytes[8..16].copy_from_slice(&(words as u64).to_le_bytes());
            }
        }
        repair(&mut bytes);
        probe(&bytes);
    }

    #[test]
    fn noise_is_refused(mut bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        if bytes.len() >= 32 {
            let words = bytes.len() / 8;
            bytes.truncate(words * 8);
            bytes[..8].copy_from_slice(&[b'L', b'X', b'A', b'R', 1, 0, 0, 0]);
            bytes[8..16].copy_from_slice(&(words as u64).to_le_bytes());
            bytes[16..24].copy_from_slice(&1_u64.to_le_bytes());
            repair(&mut bytes);
        }
        probe(&bytes);
    }
}

#[test]
fn what_is_wrong_is_named() {
    let bytes = encode(&isolated(3, 3)).to_vec();
    let broken = |at: usize| {
        let mut other = bytes.clone();
        other[at] ^= 1;
        checked(&other).unwrap_err()
    };
    assert!(matches!(broken(0), SerialError::Magic { .. }));
    assert_eq!(broken(4), SerialError::Version { found: 0 });
    let message = |error: SerialError| alloc::string::ToString::to_string(&error);
    assert!(message(broken(8)).starts_with("the header of the serialized map has checksum"));
    assert!(message(broken(40)).starts_with("the directory of the serialized map has checksum"));
    assert!(message(broken(80)).starts_with("part 0 of the serialized map has checksum"));
}
