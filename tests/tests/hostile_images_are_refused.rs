//! Bytes that arrive are hostile. Whatever is changed in the memory on offer, a successor refuses it, or sets a file
//! aside, or sees no difference: it never panics, and never takes something else for what was written.
//!
//! Every bit, every byte and every truncation is what `cargo xtask sim --hostile` tries.

use std::collections::BTreeSet;

use luo_core::{AdoptError, WireError};
use luo_kho::PhysAddr;
use luo_tests::Host;
use luo_tests::hostile::{
    BLOCK_HEADER, Outcome, Records, addr, block_len, build, forge_block, frames_of_records, offered, take,
    take_believing, tampered, written_frames,
};

#[test]
fn every_byte_flipped() {
    let host = Host::new();
    let written = offered(&host);
    assert_eq!(take(&host.fork(), &written), Outcome::Same);
    let preserved = frames_of_records(&host);
    let (mut flips, mut refused, mut isolated, mut benign) = (0, 0, 0, 0);
    for (pfn, bytes) in written_frames(&host) {
        let used = bytes.iter().rposition(|byte| *byte != 0).unwrap_or(0);
        for (offset, byte) in bytes.iter().enumerate() {
            // In the empty rest of a frame one byte in 64 will do.
            if offset > used + 64 && offset % 64 != 0 {
                continue;
            }
            let bit = 1 << ((offset * 5 + 3) % 8);
            flips += 1;
            match take(&tampered(&host, addr(pfn, offset), &[byte ^ bit]), &written) {
                Outcome::Refused => refused += 1,
                Outcome::Isolated => isolated += 1,
                Outcome::Same => {
                    benign += 1;
                    let empty = offset > used || !preserved.contains(&pfn);
                    assert!(empty, "byte {offset} of {pfn} was flipped and nobody noticed");
                }
            }
        }
    }
    println!("{flips} flips: {refused} refused, {isolated} isolated, {benign} in bytes that mean nothing");
    assert!(refused > 500 && isolated > 200);
}

/// Every bit of what the orchestrator itself wrote: root and image.
#[test]
fn every_bit_of_the_records_flipped() {
    let host = Host::new();
    let written = offered(&host);
    let Records { root, root_bytes, image, image_bytes } = Records::of(&host);
    let mut flips = 0;
    for (start, bytes) in [(root, &root_bytes), (image, &image_bytes)] {
        for (offset, byte) in bytes.iter().enumerate() {
            for bit in 0..8 {
                let at = PhysAddr::new(start.get() + offset as u64);
                let outcome = take(&tampered(&host, at, &[byte ^ (1 << bit)]), &written);
                assert_ne!(outcome, Outcome::Same, "bit {bit} of byte {offset} at {start}");
                flips += 1;
            }
        }
    }
    println!("{flips} flips, all noticed");
}

/// A liar that knows how checksums are made: each field of each record takes each of some values, and the checksum of
/// its block is right. It may say what it likes, but not get more than is there.
#[test]
fn every_field_forged() {
    let host = Host::new();
    offered(&host);
    let records = Records::of(&host);
    let mut lies = 0;
    let mut believed = 0;
    let mut blocks = 0;
    let mut at = 0;
    while at < records.image_bytes.len() {
        let len = block_len(&records.image_bytes, at);
        for field in (at..at + BLOCK_HEADER + len).step_by(2) {
            for lie in [0, 1, 0x7FFF, 0xFFFF] {
                let mut image = records.image_bytes.clone();
                image[field..field + 2].copy_from_slice(&u16::to_le_bytes(lie));
                if image == records.image_bytes {
                    continue;
                }
                forge_block(&mut image, at, len);
                let fork = tampered(&host, records.image, &image);
                lies += 1;
                believed += u32::from(take_believing(&fork, |_| {}).is_some());
            }
        }
        blocks += 1;
        at += BLOCK_HEADER + len;
    }
    assert_eq!(blocks, 9);
    println!("{lies} lies, {believed} believed as far as they went");
}

/// Whoever reads why a handover is refused learns where the damage is.
#[test]
fn damage_is_named_by_its_block() {
    let host = Host::new();
    offered(&host);
    let records = Records::of(&host);
    let names = [
        "head",
        "names",
        "subsystems",
        "shared objects",
        "sessions",
        "files",
        "links",
        "objects",
        "payloads",
    ];
    let mut at = 0;
    for name in names {
        let count = PhysAddr::new(records.image.get() + at as u64 + 16);
        let fork = tampered(&host, count, &[0xFF]);
        let AdoptError::Wire(error) = fork.adopt(&build()).unwrap_err() else { panic!("{name}") };
        assert!(matches!(error, WireError::Checksum { section, .. } if section == name), "{name}: {error}");
        assert!(error.to_string().contains(name), "{error}");
        at += BLOCK_HEADER + block_len(&records.image_bytes, at);
    }
    assert_eq!(at, records.image_bytes.len());
}

/// Every length that the root can give the image, and every name.
#[test]
fn every_length_and_some_names_of_the_image_forged() {
    let host = Host::new();
    let written = offered(&host);
    let records = Records::of(&host);
    let right = records.image_bytes.len() as u64;
    for len in (0..=right + 9).chain([4096, 1 << 32, u64::MAX]) {
        let outcome = take(
            &records.forge_root(&host, |root| root[24..32].copy_from_slice(&len.to_le_bytes())),
            &written,
        );
        assert_eq!(outcome == Outcome::Same, len == right, "length {len}");
    }
    let root = records.root.get();
    for name in [0, 1, 0xFFF, 0x1000, root, root + 8, records.image.get(), u64::MAX, u64::MAX - 0xFFF] {
        let fork = records.forge_root(&host, |root| root[16..24].copy_from_slice(&name.to_le_bytes()));
        assert_eq!(take(&fork, &written), Outcome::Refused, "name {name:#x}");
    }
    for name in [1u64, 0x1000, root + 8, records.image.get(), 1 << 40, u64::MAX - 0xFFF, u64::MAX] {
        let fork = host.fork();
        assert!(fork.machine.tamper_names(luo_kho::Root::new(name), None));
        assert_eq!(take(&fork, &written), Outcome::Refused, "root {name:#x}");
    }
}

/// Root and image of two moments do not fit together, though each is whole: an old root before a new image (W6).
#[test]
fn a_root_of_another_moment_is_refused() {
    let host = Host::new();
    offered(&host);
    let records = Records::of(&host);
    for (field, change) in [(32, 1u64), (40, 1), (40, u64::MAX)] {
        let fork = records.forge_root(&host, |root| {
            let old = u64::from_le_bytes(root[field..field + 8].try_into().expect("8 bytes"));
            root[field..field + 8].copy_from_slice(&old.wrapping_add(change).to_le_bytes());
        });
        let error = fork.adopt(&build()).unwrap_err();
        let AdoptError::Wire(error) = error else { panic!("{error}") };
        let expected = matches!(error, WireError::MixedMoments { .. } | WireError::Impossible { .. });
        assert!(expected, "{error}");
    }
}

/// Blocks of the image in another order, left out, or twice.
#[test]
fn blocks_out_of_place_are_refused() {
    let host = Host::new();
    let written = offered(&host);
    let records = Records::of(&host);
    let mut blocks = Vec::new();
    let mut at = 0;
    while at < records.image_bytes.len() {
        let end = at + BLOCK_HEADER + block_len(&records.image_bytes, at);
        blocks.push(&records.image_bytes[at..end]);
        at = end;
    }
    let mut orders: BTreeSet<Vec<usize>> = BTreeSet::new();
    for one in 0..blocks.len() {
        let all = || (0..blocks.len()).collect::<Vec<_>>();
        orders.insert(all().into_iter().filter(|block| *block != one).collect());
        orders.insert(
            all().into_iter().flat_map(|block| vec![block; if block == one { 2 } else { 1 }]).collect(),
        );
        for other in 0..one {
            let mut order = all();
            order.swap(one, other);
            orders.insert(order);
        }
    }
    for order in orders {
        let image: Vec<u8> = order.iter().flat_map(|block| blocks[*block].iter().copied()).collect();
        let fork = records.forge_root(&host, |root| {
            root[24..32].copy_from_slice(&(image.len() as u64).to_le_bytes());
        });
        assert!(fork.machine.tamper(records.image, &image));
        assert_eq!(take(&fork, &written), Outcome::Refused, "{order:?}");
    }
}

#[test]
fn an_empty_or_filled_memory_is_refused() {
    for fill in [0x00, 0xFF] {
        let host = Host::new();
        let written = offered(&host);
        for pfn in frames_of_records(&host) {
            let fork = tampered(&host, pfn.addr(), &[fill; 4096]);
            assert_ne!(take(&fork, &written), Outcome::Same, "{pfn} filled with {fill:#x}");
        }
    }
}
