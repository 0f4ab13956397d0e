//! The serialized array in hostile bytes: making checksums right, and reading whatever is there.

use luo_kho::checksum::crc32c;
use luo_xarray::serial::{Builder, Run, SerialView};

/// Bytes in the header, and in the record of a part.
const HEADER: usize = 32;
const RECORD: usize = 32;
/// Of a record's last word the bits that say where its body begins.
const PLACE: u64 = (1 << 44) - 1;
/// More runs than a blob of a few KiB has.
const RUNS_MAX: usize = 1 << 16;

/// Makes all checksums right, as far as the directory can be followed.
pub fn repair(bytes: &mut [u8]) {
    let word = |bytes: &[u8], at: usize| -> Option<u64> {
        Some(u64::from_le_bytes(bytes.get(at..at.checked_add(8)?)?.try_into().ok()?))
    };
    let Some(records) = word(bytes, 16).and_then(|records| usize::try_from(records).ok()) else { return };
    let Some(bodies) = records.checked_mul(RECORD).and_then(|len| len.checked_add(HEADER)) else { return };
    if bodies > bytes.len() {
        return;
    }
    let start =
        |record: usize| word(bytes, HEADER + record * RECORD + 24).map(|place| (place & PLACE) as usize);
    let starts: Vec<usize> = (0..records).filter_map(start).chain([(bytes.len() - bodies) / 8]).collect();
    for pair in starts.windows(2) {
        let (from, to) = (
            bodies.saturating_add(pair[0].saturating_mul(8)),
            bodies.saturating_add(pair[1].saturating_mul(8)),
        );
        if from + 4 <= to && to <= bytes.len() {
            bytes[from..from + 4].fill(0);
            let sum = crc32c(&bytes[from..to]);
            bytes[from..from + 4].copy_from_slice(&sum.to_le_bytes());
        }
    }
    let sum = crc32c(&bytes[HEADER..bodies]);
    bytes[24..28].copy_from_slice(&sum.to_le_bytes());
    let sum = crc32c(&bytes[..28]);
    bytes[28..32].copy_from_slice(&sum.to_le_bytes());
}

/// Reads whatever is there. Nothing panics; what verifies is what its content encodes to, and reads the same in every
/// way.
pub fn probe(bytes: &[u8]) {
    let Ok(view) = SerialView::open(&[bytes]) else { return };
    let runs: Vec<_> = view.runs().take(RUNS_MAX).collect();
    assert!(runs.len() < RUNS_MAX, "the number of runs is bounded by the bytes");
    let mut last = None;
    let mut indices = vec![0, 1, 511, 512, (1 << 18) - 1, 1 << 18, u64::MAX];
    for run in runs.iter().flatten() {
        assert!(last < Some(run.first()), "runs ascend even if nothing was verified");
        last = Some(run.last());
        if indices.len() < 64 {
            indices.extend([run.first(), run.last(), run.last().saturating_add(1)]);
        }
    }
    let found: Vec<_> = indices.iter().map(|index| view.get(*index)).collect();
    if view.verify().is_err() {
        return;
    }
    let runs: Vec<Run> = runs.into_iter().map(|run| run.expect("it was verified")).collect();
    let mut builder = Builder::new();
    for run in &runs {
        builder.add(*run).expect("they ascend");
    }
    assert_eq!(builder.encode().to_vec(), bytes, "verified, so it is the one encoding");
    for (index, found) in indices.into_iter().zip(found) {
        let near = runs.partition_point(|run| run.last() < index);
        assert_eq!(found, Ok(runs.get(near).and_then(|run| run.value_at(index))));
    }
}
