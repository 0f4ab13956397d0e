//! Bytes that somebody else wrote.

use alloc::vec::Vec;

use luo_kho::checksum;

use super::{CLEAN, both, encode, extent, order};
use crate::page_map::{Extent, PageMapError, PageMapView};
use crate::serial::{Builder, Encoded, Step};

fn checked(bytes: &[u8]) -> Result<(), PageMapError> {
    PageMapView::open(&[bytes])?.verify()
}

fn small() -> Vec<u8> {
    let extents: Vec<Extent> = (0..20)
        .map(|n| extent(n * 3, 1000 + n * n, 1, 0, if n % 4 == 1 { both() } else { CLEAN }))
        .chain([extent(512, 512, 512, 9, CLEAN)])
        .collect();
    encode(0, &extents)
}

#[test]
fn every_flipped_bit_and_every_truncation_is_refused() {
    let bytes = small();
    assert_eq!(checked(&bytes), Ok(()));
    for bit in 0..bytes.len() * 8 {
        let mut other = bytes.clone();
        other[bit / 8] ^= 1 << (bit % 8);
        assert!(checked(&other).is_err(), "bit {bit} of {} bytes", bytes.len());
    }
    for len in 0..bytes.len() {
        assert!(checked(&bytes[..len]).is_err(), "{len} of {} bytes", bytes.len());
    }
}

/// A page map of any header and any two maps, with right checksums.
fn forge(granule: u8, default: u32, frames: &Encoded, attributes: &Encoded) -> Vec<u8> {
    forge_bytes(granule, default, &frames.to_vec(), &attributes.to_vec())
}

fn forge_bytes(granule: u8, default: u32, frames: &[u8], attributes: &[u8]) -> Vec<u8> {
    let mut bytes = [b'L', b'X', b'P', b'M', 1, 0, granule, 0].to_vec();
    bytes.extend((frames.len() as u64 / 8).to_le_bytes());
    bytes.extend((attributes.len() as u64 / 8).to_le_bytes());
    bytes.extend(default.to_le_bytes());
    bytes.extend(checksum::crc32c(&bytes).to_le_bytes());
    bytes.extend(frames.iter().chain(attributes));
    bytes
}

fn map(runs: &[(u64, u64, u64, Step)]) -> Encoded {
    let mut builder = Builder::new();
    for (first, last, value, step) in runs {
        builder.push_run(*first..=*last, *value, *step).unwrap();
    }
    builder.encode()
}

const DEFAULT: u32 = 2 << 8;
/// What [`both`] and order 0 are as a number.
const OTHER: u64 = 3 << 8;

#[test]
fn a_forged_map_that_is_true_is_believed() {
    let frames = map(&[(0, 9, 100, Step::Up), (20, 29, 200, Step::Down)]);
    assert_eq!(checked(&forge(0, DEFAULT, &frames, &map(&[(4, 5, OTHER, Step::Flat)]))), Ok(()));
    assert_eq!(checked(&forge(0, DEFAULT, &frames, &map(&[(5, 20, OTHER, Step::Flat)]))), Ok(()));
}

#[test]
fn lies_under_right_checksums_are_refused() {
    let none = map(&[]);
    let pages = map(&[(0, 9, 100, Step::Up), (20, 29, 200, Step::Up)]);
    let end = 1 << 52;
    let lies = [
        ("frames past the end", 0, DEFAULT, map(&[(0, 1, end - 1, Step::Up)]), none.clone()),
        (
            "a frame past the end in a run downwards",
            0,
            DEFAULT,
            map(&[(0, 1, end, Step::Down)]),
            none.clone(),
        ),
        ("frames past the end by granule", 9, 9, map(&[(0, 0, end >> 9, Step::Up)]), none.clone()),
        ("a number that the granule shifts out", 9, 9, map(&[(0, 0, 1 << 60, Step::Up)]), none.clone()),
        ("a page past the end", 0, DEFAULT, map(&[(end, end, 5, Step::Up)]), none.clone()),
        ("all pages there are", 0, DEFAULT, map(&[(0, u64::MAX, 0, Step::Up)]), none.clone()),
        ("one frame twice", 0, DEFAULT, map(&[(0, 1, 5, Step::Flat)]), none.clone()),
        ("misaligned folios", 0, DEFAULT | 9, map(&[(0, 511, 100, Step::Up)]), none.clone()),
        ("half a folio", 0, DEFAULT | 3, map(&[(0, 3, 8, Step::Up)]), none.clone()),
        ("folios of pages downwards", 0, DEFAULT | 1, map(&[(0, 1, 9, Step::Down)]), none.clone()),
        ("an order below the granule", 9, 0, map(&[(0, 0, 8, Step::Up)]), none.clone()),
        ("a granule that cannot be", 53, 53, none.clone(), none.clone()),
        ("a default order that cannot be", 0, 53, pages.clone(), none.clone()),
        ("a default flag that cannot be", 0, 1 << 20, pages.clone(), none.clone()),
        ("a default without pages", 0, DEFAULT, none.clone(), none.clone()),
        ("attributes in a hole", 0, DEFAULT, pages.clone(), map(&[(12, 12, OTHER, Step::Flat)])),
        ("attributes that begin in a hole", 0, DEFAULT, pages.clone(), map(&[(15, 22, OTHER, Step::Flat)])),
        ("attributes that end in a hole", 0, DEFAULT, pages.clone(), map(&[(9, 10, OTHER, Step::Flat)])),
        ("attributes behind all pages", 0, DEFAULT, pages.clone(), map(&[(90, 91, OTHER, Step::Flat)])),
        ("attributes that say the default", 0, DEFAULT, pages.clone(), map(&[(2, 3, 2 << 8, Step::Flat)])),
        (
            "a default that the first page has not",
            0,
            DEFAULT,
            pages.clone(),
            map(&[(0, 3, OTHER, Step::Flat)]),
        ),
        (
            "one span in two",
            0,
            DEFAULT,
            pages.clone(),
            map(&[(9, 9, OTHER, Step::Flat), (20, 20, OTHER, Step::Flat)]),
        ),
        ("an unknown attribute", 0, DEFAULT, pages.clone(), map(&[(9, 9, 1 << 20, Step::Flat)])),
        (
            "an endless count of attributes",
            0,
            DEFAULT,
            map(&[(0, 1 << 51, 0, Step::Up)]),
            map(&[(1, 1 << 50, OTHER, Step::Up)]),
        ),
    ];
    for (what, granule, default, frames, attributes) in lies {
        let bytes = forge(granule, default, &frames, &attributes);
        let found = checked(&bytes);
        assert!(found.is_err(), "{what}");
        // Reading it without verifying gives something or an error, and ends.
        if let Ok(view) = PageMapView::open(&[&bytes]) {
            assert!(view.extents().take(1000).count() <= 1000);
            for page in [0, 1, 9, 10, 12, 20, 511, 1 << 51, u64::MAX] {
                let _ = view.get(page);
            }
        }
    }
}

#[test]
fn a_long_way_down_is_verified_at_once() {
    let frames = map(&[(0, (1 << 51) - 1, (1 << 51) + 5, Step::Down)]);
    let bytes = forge(0, DEFAULT, &frames, &map(&[]));
    assert_eq!(checked(&bytes), Ok(()));
    let view = PageMapView::open(&[&bytes]).unwrap();
    assert_eq!(view.granule(), order(0));
    assert_eq!(view.extents().nth(1), Some(Ok(extent(1, (1 << 51) + 4, 1, 0, CLEAN))));
}

#[test]
fn every_lie_of_one_bit_under_right_checksums_ends() {
    let frames = map(&[(0, 9, 100, Step::Up), (20, 29, 200, Step::Down), (64, 127, 512, Step::Up)]).to_vec();
    let attributes = map(&[(4, 5, OTHER, Step::Flat), (64, 64, OTHER | 3, Step::Flat)]).to_vec();
    for bit in 256..frames.len() * 8 {
        probe(&lie(&frames, bit), &attributes);
    }
    for bit in 256..attributes.len() * 8 {
        probe(&frames, &lie(&attributes, bit));
    }
}

fn lie(map: &[u8], bit: usize) -> Vec<u8> {
    let mut other = map.to_vec();
    other[bit / 8] ^= 1 << (bit % 8);
    repair_directory(&mut other);
    other
}

/// Reads whatever is there, in every way.
fn probe(frames: &[u8], attributes: &[u8]) {
    let bytes = forge_bytes(0, DEFAULT, frames, attributes);
    let Ok(view) = PageMapView::open(&[&bytes]) else { return };
    let verified = view.verify().is_ok();
    for found in view.extents().take(2000) {
        assert!(found.is_ok() || !verified, "what was verified is read without errors");
        let Ok(found) = found else { break };
        let at = view.get(found.page);
        assert!(!verified || at.unwrap().unwrap().frame == found.frames.start());
    }
}

/// Right checksums for a map of one list.
fn repair_directory(bytes: &mut [u8]) {
    bytes[64..68].fill(0);
    let sum = checksum::crc32c(&bytes[64..]);
    bytes[64..68].copy_from_slice(&sum.to_le_bytes());
    let sum = checksum::crc32c(&bytes[32..64]);
    bytes[24..28].copy_from_slice(&sum.to_le_bytes());
    let sum = checksum::crc32c(&bytes[..28]);
    bytes[28..32].copy_from_slice(&sum.to_le_bytes());
}
