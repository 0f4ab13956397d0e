//! A handover that hostile hands have changed, and what a successor makes of it.
//!
//! - A small **handover** is written as any other and left on offer by a predecessor that dies. What is tried with its
//!   bytes is tried on forks of its host.
//! - The **records** are the orchestrator's own bytes in it: root and image.
//! - To **forge** is to change bytes and to make the checksum right again.

mod sweep;

use std::collections::BTreeSet;

use luo_core::{SessionName, State, Token};
use luo_kho::checksum::{append, crc32c};
use luo_kho::sim::SimKho;
use luo_kho::{FrameRange, Kho as _, Name, Pfn, PhysAddr, PreservedArray};

use crate::build::{Build, VCPUS};
use crate::file::{Contents, SimFile};
use crate::host::{Host, session};
use crate::vcpus::Vcpus;

pub use sweep::{Exhausted, exhaust};

/// A file as a successor sees it.
pub type Seen = (SessionName, Token, u64, Contents);

/// What both sides speak.
pub fn build() -> Build {
    Build::standard()
}

/// A small handover: a subsystem, a pool, two sessions, three files, one of them empty, one depending on another.
pub fn offered(host: &Host) -> Vec<Seen> {
    let mut old = host.found(&build());
    (0..77).for_each(|_| old.vcpus.iter().for_each(Vcpus::tick));
    let files = [host.note("the first file"), host.note(""), host.note([0xA5; 100])];
    let [first, empty, other] = &files;
    other.change(|contents| (contents.position, contents.flags) = (50, 3));
    first.depend_on(other);
    for (name, token, file) in [("a", 1, first), ("b", 2, empty), ("a", 3, other)] {
        old.preserve(name, token, file);
    }
    let seen = |name, token, file: &SimFile| (session(name), Token(token), file.mark(), file.contents());
    let seen = vec![seen("a", 1, first), seen("a", 3, other), seen("b", 2, empty)];
    old.die_offering();
    seen
}

/// What became of a handover.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing was adopted.
    Refused,
    /// Something was set aside; the rest is as it was.
    Isolated,
    /// Everything is there, and is what was written.
    Same,
}

/// Takes a handover over as far as it goes. Panics if anything that is seen was not written.
pub fn take(host: &Host, written: &[Seen]) -> Outcome {
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
pub fn take_believing(host: &Host, mut seen: impl FnMut(&Seen)) -> Option<(usize, bool)> {
    let mut arrived = host.adopt(&build()).ok()?;
    let restored = arrived.adopted.restore().is_ok() && arrived.vcpus.iter().all(|vcpus| vcpus.ticks() == 77);
    let unread: Vec<_> = arrived.adopted.unreadable_subsystems().map(|(name, _)| name).collect();
    for name in unread {
        assert!(arrived.adopted.waive(name));
    }
    let waived = luo_core::Kind::literal(VCPUS);
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
pub fn written_frames(host: &Host) -> Vec<(Pfn, Vec<u8>)> {
    let view = host.machine.successor().expect("there is an offer");
    let frames = host.machine.span().frames();
    let frames = frames.map(|pfn| (pfn, view.peek(pfn).expect("a frame of the machine").to_vec()));
    frames.filter(|(_, bytes)| bytes.iter().any(|byte| *byte != 0)).collect()
}

/// A fork of the host whose offer has other bytes at `at`.
pub fn tampered(host: &Host, at: PhysAddr, bytes: &[u8]) -> Host {
    let fork = host.fork();
    assert!(fork.machine.tamper(at, bytes));
    fork
}

/// The address of a byte of a frame.
pub fn addr(pfn: Pfn, offset: usize) -> PhysAddr {
    PhysAddr::new(pfn.addr().get() + offset as u64)
}

/// The orchestrator's own bytes in the memory on offer.
#[derive(Clone, Debug)]
pub struct Records {
    /// Where the root is.
    pub root: PhysAddr,
    /// Its block.
    pub root_bytes: Vec<u8>,
    /// Where the image is, which lies in one piece.
    pub image: PhysAddr,
    /// All of it.
    pub image_bytes: Vec<u8>,
}

/// Header of the root's frame (16 bytes), then the record: name, length, generation, turn.
pub const ROOT_LEN: usize = 16 + 32;
/// Bytes in the header of one of the image's blocks.
pub const BLOCK_HEADER: usize = 24;
/// The section of the image whose checksum is that of its header alone: each payload has its own.
const PAYLOADS: u8 = 9;

impl Records {
    /// Those of the offer that stands.
    pub fn of(host: &Host) -> Self {
        let view: SimKho = host.machine.successor().expect("there is an offer");
        let root = PhysAddr::new(view.root().expect("it has a name").get());
        let frame = view.peek(root.frame()).expect("a frame of the machine");
        let root_bytes = frame.get(..ROOT_LEN).expect("a frame is longer").to_vec();
        let word = |at: usize| word_at(frame, at);
        let array =
            PreservedArray::<u8>::open(&view, Name::new(word(16)).expect("a name")).expect("an array");
        let bytes = array.to_vec(&view).expect("it can be read");
        let [extent] = array.extents() else { panic!("a small image in one piece") };
        let len = usize::try_from(word(24)).expect("a small image");
        Self {
            root,
            root_bytes,
            image: extent.addr(),
            image_bytes: bytes.get(..len).expect("it is in the array").to_vec(),
        }
    }

    /// A fork of the host with another root, whose checksum is right.
    #[must_use]
    pub fn forge_root(&self, host: &Host, forge: impl FnOnce(&mut [u8])) -> Host {
        let mut root = self.root_bytes.clone();
        forge(&mut root);
        forge_frame(&mut root);
        tampered(host, self.root, &root)
    }
}

/// The word at a place of some bytes; 0 past their end.
pub fn word_at(bytes: &[u8], at: usize) -> u64 {
    let word = bytes.get(at..).and_then(<[u8]>::first_chunk);
    word.map_or(0, |word| u64::from_le_bytes(*word))
}

/// Bytes in the body of the image's block that begins at `at`.
pub fn block_len(image: &[u8], at: usize) -> usize {
    usize::try_from(word_at(image, at + 8)).expect("a small image")
}

/// Makes the checksum of the image's block right that begins at `at` and has a body of `len`: over the header with 0 in
/// its place, and over the body unless it is that of the payloads.
pub fn forge_block(image: &mut [u8], at: usize, len: usize) {
    let Some(block) = image.get_mut(at..at + BLOCK_HEADER + len) else { return };
    let Some((header, body)) = block.split_first_chunk_mut::<BLOCK_HEADER>() else { return };
    let [_, _, _, _, _, _, section, _, .., c0, c1, c2, c3] = header;
    let payloads = *section == PAYLOADS;
    [*c0, *c1, *c2, *c3] = [0; 4];
    let sum = append(crc32c(header), if payloads { &[] } else { body });
    let [.., c0, c1, c2, c3] = header;
    [*c0, *c1, *c2, *c3] = sum.to_le_bytes();
}

/// Makes the checksum right of a block that begins a frame: over its first 12 bytes, and from byte 16 to the length
/// that byte 8 says.
pub fn forge_frame(frame: &mut [u8]) {
    let Some((header, body)) = frame.split_first_chunk_mut::<16>() else { return };
    let (length, _) = word_at(&header[8..], 0).overflowing_shl(32);
    let length = usize::try_from(length >> 32).unwrap_or(0).saturating_sub(16).min(body.len());
    let sum = append(crc32c(&header[..12]), body.get(..length).unwrap_or_default());
    header[12..].copy_from_slice(&sum.to_le_bytes());
}

/// The frames that are preserved: all but the tracker's own.
pub fn frames_of_records(host: &Host) -> BTreeSet<Pfn> {
    let view = host.machine.successor().expect("there is an offer");
    let runs = view.census().expect("the tracker is whole").preserved;
    runs.into_iter().flat_map(FrameRange::frames).collect()
}
