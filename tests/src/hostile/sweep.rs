//! Everything there is to try with the bytes of one handover: every single bit, every byte as 00 and as FF, every
//! truncation.
//!
//! A **truncation** is what a write leaves that stopped: the rest of a frame is zero from some byte on. Bytes that
//! **mean nothing** are those behind the last one that is used in a frame, and those of the tracker's nodes: one more
//! frame in the set that nobody names is released in the end as what nobody claimed.

use core::ops::AddAssign;
use core::sync::atomic::{AtomicUsize, Ordering};
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};

use luo_kho::{FRAME_SIZE, Pfn};

use super::{Outcome, Seen, addr, frames_of_records, offered, take, tampered, written_frames};
use crate::host::Host;

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exhausted {
    /// Bytes of the handover: whole frames.
    pub bytes: u64,
    /// Single bits that were flipped.
    pub flips: u64,
    /// Bytes that were set to 00 or FF, where they were not that already.
    pub set: u64,
    /// Truncations that changed anything.
    pub truncations: u64,
    /// Handovers that were refused.
    pub refused: u64,
    /// Handovers of which something was set aside.
    pub isolated: u64,
    /// Changes behind the last byte that is used of a frame: what is seen is what was written.
    pub unread: u64,
    /// Changes in the tracker's nodes after which what is seen is what was written.
    pub unnamed: u64,
    /// Changes that somebody should have noticed, or that led to a panic.
    pub silent: Vec<String>,
}

/// What becomes of a byte, in words.
type Change = (&'static str, u8);

/// Where a change is, and what is counted.
struct Sink<'a> {
    unread: bool,
    tracker: bool,
    all: &'a mut Exhausted,
}

struct Golden {
    host: Host,
    written: Vec<Seen>,
    /// Frames that are preserved; the others hold nodes of the tracker.
    preserved: BTreeSet<Pfn>,
    frames: Vec<(Pfn, Vec<u8>)>,
}

/// Tries everything, on so many threads; every `stride`th byte.
pub fn exhaust(jobs: usize, stride: usize) -> Exhausted {
    let host = Host::new();
    let written = offered(&host);
    let (preserved, frames) = (frames_of_records(&host), written_frames(&host));
    let golden = Golden { host, written, preserved, frames };
    let bytes = golden.frames.len() * FRAME_SIZE;
    let (next, all) =
        (AtomicUsize::new(0), Mutex::new(Exhausted { bytes: bytes as u64, ..Exhausted::default() }));
    let work = || loop {
        let first = next.fetch_add(FRAME_SIZE / 8, Ordering::Relaxed);
        if first >= bytes {
            return;
        }
        let mut own = Exhausted::default();
        for at in (first..first + FRAME_SIZE / 8).step_by(stride) {
            golden.try_all(at, &mut own);
        }
        *all.lock().unwrap_or_else(PoisonError::into_inner) += own;
    };
    std::thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(work);
        }
    });
    all.into_inner().unwrap_or_else(PoisonError::into_inner)
}

impl Golden {
    fn try_all(&self, at: usize, all: &mut Exhausted) {
        let Some((pfn, bytes)) = self.frames.get(at / FRAME_SIZE) else { return };
        let offset = at % FRAME_SIZE;
        let Some((&byte, rest)) = bytes.get(offset..).and_then(<[u8]>::split_first) else { return };
        let mut sink = Sink {
            unread: rest.iter().all(|byte| *byte == 0) && byte == 0,
            tracker: !self.preserved.contains(pfn),
            all,
        };
        for bit in 0..8 {
            sink.all.flips += 1;
            self.try_one(*pfn, offset, &[byte ^ 1 << bit], ("flipping bit", bit), &mut sink);
        }
        for set in [0x00, 0xFF].into_iter().filter(|set| *set != byte) {
            sink.all.set += 1;
            self.try_one(*pfn, offset, &[set], ("setting to", set), &mut sink);
        }
        if byte != 0 || rest.iter().any(|byte| *byte != 0) {
            sink.all.truncations += 1;
            self.try_one(*pfn, offset, &vec![0; 1 + rest.len()], ("truncating from", 0), &mut sink);
        }
    }

    fn try_one(&self, pfn: Pfn, offset: usize, bytes: &[u8], change: Change, sink: &mut Sink<'_>) {
        let fork = tampered(&self.host, addr(pfn, offset), bytes);
        let silent = |what: &str| {
            let (change, number) = change;
            format!("{change} {number} at byte {offset} of {pfn} {what}")
        };
        match catch_unwind(AssertUnwindSafe(|| take(&fork, &self.written))) {
            Ok(Outcome::Refused) => sink.all.refused += 1,
            Ok(Outcome::Isolated) => sink.all.isolated += 1,
            Ok(Outcome::Same) if sink.tracker => sink.all.unnamed += 1,
            Ok(Outcome::Same) if sink.unread => sink.all.unread += 1,
            Ok(Outcome::Same) => sink.all.silent.push(silent("is not noticed")),
            Err(_) => sink.all.silent.push(silent("leads to a panic")),
        }
    }
}

impl AddAssign for Exhausted {
    fn add_assign(&mut self, other: Self) {
        let Self { bytes, flips, set, truncations, refused, isolated, unread, unnamed, silent } = other;
        self.bytes += bytes;
        self.flips += flips;
        self.set += set;
        self.truncations += truncations;
        self.refused += refused;
        self.isolated += isolated;
        self.unread += unread;
        self.unnamed += unnamed;
        self.silent.extend(silent);
    }
}
