//! What hostile bytes may cost whoever reads them: a few calls on memory for each frame, no more memory than their own
//! length and 64 KiB, and no recursion. Nothing that they say makes it more.

use std::alloc::System;

use luo_core::{Luo, Registry};
use luo_tests::Host;
use luo_tests::hostile::{
    BLOCK_HEADER, Records, block_len, forge_block, forge_frame, offered, tampered, written_frames,
};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// What adopting an offer costs: calls on memory, and all bytes that are allocated, freed or not.
fn cost(host: &Host) -> (u64, usize) {
    let kho = host.machine.successor().expect("only the records are changed");
    let registry = Registry::new();
    let (calls, region) = (host.machine.counters().calls, Region::new(ALLOCATOR));
    let _believed_or_not = Luo::adopt(kho, registry).map(drop);
    (host.machine.counters().calls - calls, region.change().bytes_allocated)
}

/// Whatever the image says, adopting it takes no more than a few calls for each frame, its own length in memory and
/// 64 KiB, and little stack: nothing recurses.
#[test]
fn the_cost_of_a_lie_is_bounded() {
    let lies = || {
        let host = Host::new();
        offered(&host);
        let records = Records::of(&host);
        let length = records.image_bytes.len();
        let frames = written_frames(&host).len() as u64;
        let (mut lies, mut dearest) = (0, (0, 0));
        let mut at = 0;
        while at < length {
            let len = block_len(&records.image_bytes, at);
            for field in (at..at + BLOCK_HEADER + len).step_by(2) {
                for lie in [0x0001, 0x7FFF, 0xFFFF] {
                    let mut image = records.image_bytes.clone();
                    image[field..field + 2].copy_from_slice(&u16::to_le_bytes(lie));
                    forge_block(&mut image, at, len);
                    let (calls, bytes) = cost(&tampered(&host, records.image, &image));
                    assert!(calls <= 4 * frames, "{calls} calls for {frames} frames");
                    assert!(bytes <= length + (64 << 10), "{bytes} bytes for an image of {length}");
                    dearest = (calls.max(dearest.0), bytes.max(dearest.1));
                    lies += 1;
                }
            }
            at += BLOCK_HEADER + len;
        }
        for len in [0, 1 << 20, 1 << 40, u64::MAX] {
            let mut bytes = records.root_bytes.clone();
            bytes[24..32].copy_from_slice(&len.to_le_bytes());
            forge_frame(&mut bytes);
            let (calls, held) = cost(&tampered(&host, records.root, &bytes));
            assert!(calls <= 4 * frames && held <= length + (64 << 10));
            lies += 1;
        }
        println!("{lies} lies; the dearest took {} calls and {} bytes beside {length}", dearest.0, dearest.1);
    };
    // Debug builds have large frames; a recursion over a thousand items would need megabytes.
    let thread = std::thread::Builder::new().stack_size(256 << 10).spawn(lies).unwrap();
    thread.join().unwrap();
}
