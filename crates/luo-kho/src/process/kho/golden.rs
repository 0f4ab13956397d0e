//! The bytes of an arena of version 1, which every later build reads, and which a build of version 1 writes.
//!
//! `arena.bin` holds pairs of little-endian words, the address of a word that is not zero and the word: an arena of
//! 4096 frames with a preserved array, two preserved runs, a root, and two segments, sealed by owner 1 in turn 1. If
//! this fails, the layout has changed: it needs a new version, and the file stays.

use alloc::vec::Vec;
use std::fs::File;
use std::os::unix::fs::FileExt as _;

use rustix::fd::{AsFd as _, OwnedFd};

use super::{Carried, ProcessKho};
use crate::process::{attach, memfd};
use crate::{FrameCount, FrameRange, Kho as _, Memory as _, Name, PreservedArray, ownership};

const GOLDEN: &[u8] = include_bytes!("../../../../../tests/golden/process-v1/arena.bin");
const TEXT: &[u8] = b"where each page of the guest is";
/// The word that makes the offer: owner 1, turn 2.
const OFFERED: u64 = 0x0200_0102;

fn count(frames: u64) -> FrameCount {
    FrameCount::new(frames).unwrap()
}

fn run(start: u64, end: u64) -> FrameRange {
    FrameRange::from_bounds(start, end).unwrap()
}

fn guest() -> OwnedFd {
    memfd::create("guest", 0).unwrap()
}

fn words(arena: &File) -> Vec<u8> {
    let mut pairs = Vec::new();
    let mut bytes = alloc::vec![0; usize::try_from(arena.metadata().unwrap().len()).unwrap()];
    arena.read_exact_at(&mut bytes, 0).unwrap();
    for (at, word) in (0u64..).step_by(8).zip(bytes.chunks(8)).filter(|(_, word)| *word != [0; 8]) {
        pairs.extend(at.to_le_bytes());
        pairs.extend(word);
    }
    pairs
}

#[test]
fn version_one_writes_these_bytes() {
    let mut kho = ProcessKho::create(count(4096)).unwrap();
    let owned = ownership::found(&mut kho).unwrap();
    let mut kept = PreservedArray::<u8>::alloc(&mut kho, TEXT.len() as u64).unwrap();
    kept.write(&mut kho, 0, TEXT).unwrap();
    kept.seal(&mut kho).unwrap();
    let range = kho.alloc(count(64)).unwrap();
    let (head, tail) = range.split_at(count(13)).unwrap();
    kho.preserve(head).unwrap();
    kho.preserve(tail.split_at(count(20)).unwrap().1).unwrap();
    kho.publish(Some(kept.name().as_root())).unwrap();
    attach(&mut kho, guest().as_fd(), count(4)).unwrap();
    attach(&mut kho, guest().as_fd(), count(1 << 20)).unwrap();
    let offer = ownership::offer(&mut kho, owned).unwrap();
    assert_eq!(offer.word().to_bits(), OFFERED);
    let arena = File::from(kho.lend().arena.try_clone_to_owned().unwrap());
    assert!(words(&arena) == GOLDEN);
}

#[test]
fn every_build_reads_version_one() {
    let arena = File::from(memfd::create("arena", 256 * 4096).unwrap());
    for pair in GOLDEN.chunks(16) {
        let (at, word) = pair.split_at(8);
        arena.write_all_at(word, u64::from_le_bytes(at.try_into().unwrap())).unwrap();
    }
    let word = File::from(memfd::create("word", 4096).unwrap());
    word.write_all_at(&OFFERED.to_le_bytes(), 0).unwrap();
    let carried = Carried { arena: arena.into(), word: word.into(), segments: [guest(), guest()].into() };
    let mut kho = ProcessKho::open(carried).unwrap();
    assert_eq!(kho.segments(), [run(1 << 18, (1 << 18) + 4), run(2 << 18, (2 << 18) + (1 << 20))]);
    let name = Name::new(kho.root().unwrap().get()).unwrap();
    let kept = PreservedArray::<u8>::restore(&mut kho, name).unwrap();
    let mut text = alloc::vec![0; TEXT.len()];
    kept.read(&kho, 0, &mut text).unwrap();
    assert_eq!(text, TEXT);
    let preserved: u64 = kho.preserved().unwrap().into_iter().map(|run| run.count().get()).sum();
    assert!(preserved > 13 + 31, "and the array's frames");
}
