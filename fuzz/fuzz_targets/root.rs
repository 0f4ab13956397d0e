//! The root and the image, with right checksums whatever they say: nothing panics, and nobody gets more than is there.
//! What is fuzzed are the bytes of both, in edits.
#![no_main]

use libfuzzer_sys::fuzz_target;
use luo_fuzz::offer;
use luo_tests::hostile::{BLOCK_HEADER, block_len, forge_block, take_believing};

fuzz_target!(|input: ([u8; 32], Vec<(u16, u8)>, bool)| {
    let (root, edits, keep_root) = input;
    let offered = offer();
    let mut image = offered.records.image_bytes.clone();
    for (at, byte) in edits.iter().take(64) {
        let at = usize::from(*at) % image.len();
        image[at] = *byte;
    }
    let mut at = 0;
    while at + BLOCK_HEADER <= image.len() {
        let len = block_len(&image, at).min(image.len() - at - BLOCK_HEADER);
        forge_block(&mut image, at, len);
        at += BLOCK_HEADER + len;
    }
    let fork = offered.records.forge_root(&offered.host, |bytes| {
        if !keep_root {
            bytes[16..].iter_mut().zip(&root).for_each(|(byte, change)| *byte ^= change);
        }
    });
    assert!(fork.machine.tamper(offered.records.image, &image));
    let _ = take_believing(&fork, |_| {});
});
