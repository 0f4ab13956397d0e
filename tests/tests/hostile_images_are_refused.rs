//! Bytes that arrive are hostile. Whatever is changed in the memory on offer, a successor refuses it, or sets a file
//! aside, or sees no difference: it never panics, and never takes something else for what was written.
#![expect(clippy::indexing_slicing, reason = "a helper of a test may panic as the test may")]

use std::collections::BTreeSet;

use luo_core::{AdoptError, SessionName, State, Token, WireError};
use luo_kho::checksum::{append, crc32c};
use luo_kho::sim::SimKho;
use luo_kho::{Kho as _, Name, Pfn, PhysAddr, PreservedArray};
use luo_tests::{Build, Contents, Host, SimFile, session};

/// A file as a successor sees it.
type Seen = (SessionName, Token, u64, Contents);

fn build() -> Build {
    Build::standard()
}

/// A small handover: a subsystem, a pool, two sessions, three files, one of them empty, one depending on another.
fn offered(host: &Host) -> Vec<Seen> {
    let mut old = host.found(&build());
    (0..77).for_each(|_| old.vcpus[0].tick());
    let files = [host.note("the first file"), host.note(""), host.note([0xA5; 100])];
    files[2].change(|contents| (contents.position, contents.flags) = (50, 3));
    files[0].depend_on(&files[2]);
    let places = [("a", 1), ("b", 2), ("a", 3)];
    for ((name, token), file) in places.into_iter().zip(&files) {
        old.preserve(name, token, file);
    }
    let seen = |at: usize| {
        let ((name, token), file) = (places[at], &files[at]);
        (session(name), Token(token), file.mark(), file.contents())
    };
    let seen = [0, 2, 1].map(seen).to_vec();
    old.die_offering();
    seen
}

/// What became of a handover.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Refused,
    /// Something was set aside; the rest is as it was.
    Isolated,
    Same,
}

/// Takes a handover over as far as it goes. Panics if anything that is seen was not written.
fn take(host: &Host, written: &[Seen]) -> Outcome {
    let outcome = take_believing(host, |seen| {
        assert!(written.contains(seen), "{seen:?} was not written");
    });
    match outcome {
        Some((files, true)) if files == written.len() => Outcome::Same,
        Some(_) => Outcome::Isolated,
        None => Outcome::Refused,
    }
}

/// As [`take`], for bytes that may say anything as long as they say it well. How many files were seen and whether the
/// vCPUs were restored; `None` if the handover was refused. What was taken over is finished whatever it was.
fn take_believing(host: &Host, mut seen: impl FnMut(&Seen)) -> Option<(usize, bool)> {
    let mut arrived = host.adopt(&build()).ok()?;
    let restored = arrived.adopted.restore().is_ok() && arrived.vcpus[0].ticks() == 77;
    let unread: Vec<_> = arrived.adopted.unreadable_subsystems().map(|(name, _)| name).collect();
    for name in unread {
        assert!(arrived.adopted.waive(name));
    }
    let waived = luo_core::Kind::literal(luo_tests::VCPUS);
    let _asked = arrived.adopted.waive(waived);
    let mut files = 0;
    for one in arrived.adopted.retrieve_all::<SimFile>() {
        let Ok(file) = one.file else { continue };
        seen(&(one.session, one.token, file.mark(), file.contents()));
        files += 1;
    }
    let new = arrived.commit().expect("everything was restored or waived");
    let sessions: Vec<_> = new.updated.sessions().collect();
    let all = sessions.iter().flat_map(|name| new.updated.files(*name).map(|(token, ..)| (*name, token)));
    let all: Vec<_> = all.collect();
    let program = new.finish_discarding(&all).expect("nothing stands in the way");
    assert_eq!(program.luo.state(), State::Normal);
    host.check();
    Some((files, restored))
}

/// Every frame of the machine in which something stands.
fn written_frames(host: &Host) -> Vec<(Pfn, Vec<u8>)> {
    let view = host.machine.successor().expect("there is an offer");
    let frames = host.machine.span().frames();
    let frames = frames.map(|pfn| (pfn, view.peek(pfn).expect("a frame of the machine").to_vec()));
    frames.filter(|(_, bytes)| bytes.iter().any(|byte| *byte != 0)).collect()
}

/// A fork of the host whose offer has other bytes at `at`.
fn tampered(host: &Host, at: PhysAddr, bytes: &[u8]) -> Host {
    let fork = host.fork();
    assert!(fork.machine.tamper(at, bytes));
    fork
}

fn addr(pfn: Pfn, offset: usize) -> PhysAddr {
    PhysAddr::new(pfn.addr().get() + offset as u64)
}

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
        for field in (at..at + 24 + len).step_by(2) {
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
        at += 24 + len;
    }
    assert_eq!(blocks, 9);
    println!("{lies} lies, {believed} believed as far as they went");
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
        let end = at + 24 + block_len(&records.image_bytes, at);
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

/// The orchestrator's own bytes in the memory on offer.
struct Records {
    root: PhysAddr,
    root_bytes: Vec<u8>,
    image: PhysAddr,
    image_bytes: Vec<u8>,
}

/// Header of the root's frame (16 bytes), then the record: name, length, generation, turn.
const ROOT_LEN: usize = 16 + 32;

impl Records {
    fn of(host: &Host) -> Self {
        let view: SimKho = host.machine.successor().expect("there is an offer");
        let root = PhysAddr::new(view.root().expect("it has a name").get());
        let frame = view.peek(root.frame()).expect("a frame of the machine");
        let root_bytes = frame[..ROOT_LEN].to_vec();
        let word = |at: usize| u64::from_le_bytes(frame[at..at + 8].try_into().expect("8 bytes"));
        let array =
            PreservedArray::<u8>::open(&view, Name::new(word(16)).expect("a name")).expect("an array");
        let bytes = array.to_vec(&view).expect("it can be read");
        let [extent] = array.extents() else { panic!("a small image in one piece") };
        let len = usize::try_from(word(24)).expect("a small image");
        Self { root, root_bytes, image: extent.addr(), image_bytes: bytes[..len].to_vec() }
    }

    /// A fork of the host with another root, whose checksum is right.
    fn forge_root(&self, host: &Host, forge: impl FnOnce(&mut [u8])) -> Host {
        let mut root = self.root_bytes.clone();
        forge(&mut root);
        let sum = append(crc32c(&root[..12]), &root[16..]);
        root[12..16].copy_from_slice(&sum.to_le_bytes());
        tampered(host, self.root, &root)
    }
}

/// Bytes in the body of the block that begins at `at`.
fn block_len(image: &[u8], at: usize) -> usize {
    let len = u64::from_le_bytes(image[at + 8..at + 16].try_into().expect("8 bytes"));
    usize::try_from(len).expect("a small image")
}

/// Makes the checksum right: of the header with 0 in its place, and of the body unless it is that of the payloads.
fn forge_block(image: &mut [u8], at: usize, len: usize) {
    image[at + 20..at + 24].fill(0);
    let payloads = image[at + 6..at + 8] == [9, 0];
    let covered = if payloads { at + 24 } else { at + 24 + len };
    let sum = crc32c(&image[at..covered]);
    image[at + 20..at + 24].copy_from_slice(&sum.to_le_bytes());
}

/// The frames that are preserved: all but the tracker's own.
fn frames_of_records(host: &Host) -> BTreeSet<Pfn> {
    let view = host.machine.successor().expect("there is an offer");
    let runs = view.census().expect("the tracker is whole").preserved;
    runs.into_iter().flat_map(luo_kho::FrameRange::frames).collect()
}
