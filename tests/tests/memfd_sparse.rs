//! Promise: a sparse memfd of 64 GiB, of which 1 % is populated, crosses with memory in proportion to the
//! 1 %. Times are printed.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "what goes wrong in a test panics")]

use std::ops::Range;

use luo_memfd::{Linux, Memfd, Port};
use luo_tests::memfd::{Crossed, Way, update};
use rustix::io::pwrite;

const PAGE: u64 = 4096;
const GIB: u64 = 1 << 30;
/// One page in so many is populated.
const ONE_IN: u64 = 100;

/// Where page number `nth` of the populated ones lies: anywhere in its hundred, so that no two are neighbours for long.
fn place(nth: u64) -> u64 {
    let scattered = nth.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40;
    nth * ONE_IN + scattered % ONE_IN
}

/// Bytes that a new program could have. None if the kernel does not say.
fn available() -> Option<u64> {
    let said = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = said.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
}

/// 64 GiB; 16 where memory is short: the file, its copy in the arena and the new file exist at the same time.
fn size() -> u64 {
    let short = available().is_none_or(|bytes| bytes < 64 * GIB / ONE_IN * 6);
    if short {
        println!("memory is short: done with 16 GiB in place of 64");
        return 16 * GIB;
    }
    64 * GIB
}

fn sparse(size: u64) -> Memfd {
    let file = Memfd::create("sparse guest", size).unwrap();
    for nth in 0..size / PAGE / ONE_IN {
        pwrite(&file, &place(nth).to_le_bytes(), place(nth) * PAGE).unwrap();
    }
    file
}

/// Panics unless the file is what [`sparse`] made.
fn is_sparse(file: &Memfd, size: u64) {
    let port = Linux::new();
    let reader = port.open(file).unwrap();
    let (mut nth, mut from) = (0, 0);
    while let Some(Range { start, end }) = port.next_data(&reader, from).unwrap() {
        for page in start / PAGE..end / PAGE {
            let mut bytes = [0xFF; 16];
            port.read(&reader, page * PAGE, &mut bytes).unwrap();
            assert_eq!((page, u128::from_le_bytes(bytes)), (place(nth), u128::from(page)));
            nth += 1;
        }
        from = end;
    }
    assert_eq!(nth, size / PAGE / ONE_IN);
}

/// One test: the two ways take turns, so that the memory of one is free before the other begins.
#[test]
fn a_sparse_file_of_64_gib_costs_what_is_in_it() {
    let size = size();
    let populated = size / PAGE / ONE_IN * PAGE;
    for way in Way::ALL {
        let file = sparse(size);
        let kept = Linux::new().look(&file).unwrap().pages_kept() * PAGE;
        let Crossed { files, cost, .. } = update(way).cross(std::slice::from_ref(&file), || ()).unwrap();
        let after = &files[0];
        is_sparse(after, size);
        let made = Linux::new().look(after).unwrap().pages_kept() * PAGE;
        println!(
            "{way:?}: {} GiB, {} MiB populated: arena {} KiB, file {} MiB; prepare {:?}, freeze {:?}, hand over {:?}",
            size / GIB,
            populated >> 20,
            cost.arena >> 10,
            made >> 20,
            cost.prepare,
            cost.freeze,
            cost.hand_over
        );
        assert_eq!((kept, made), (populated, populated));
        match way {
            // Neither pages nor their places are written down.
            Way::Reference => assert!(cost.arena <= 4 << 20, "{}", cost.arena),
            // The pages and their head room, a sixteenth; 16 bytes at most for the place of each; the frames' own
            // records.
            Way::Copy => {
                let reserved = populated + populated / 16;
                let most = reserved + reserved / 256 + reserved / 1000 + (4 << 20);
                assert!((populated..=most).contains(&cost.arena), "{} of {most}", cost.arena);
            }
        }
    }
}
