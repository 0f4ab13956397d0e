//! An offer with everything in it, and edits of its bytes.

use std::sync::LazyLock;

use arbitrary::Arbitrary;
use luo_kho::sim::{Fragmentation, MachineConfig};
use luo_kho::{FRAME_SIZE, FrameCount, Pfn};
use luo_tests::Host;
use luo_tests::hostile::{Records, Seen, addr, build, forge_frame, offered, written_frames};

/// A small handover that is on offer.
pub struct Offered {
    /// The machine it is on. Tries are made on forks.
    pub host: Host,
    /// What a successor may see.
    pub written: Vec<Seen>,
    /// The orchestrator's own bytes.
    pub records: Records,
    /// Every frame in which something stands.
    pub frames: Vec<(Pfn, Vec<u8>)>,
}

/// A change of some bytes.
#[derive(Arbitrary, Clone, Debug)]
pub struct Edit {
    /// Which frame, modulo those that there are.
    pub frame: u8,
    /// Where in the frame, modulo its size.
    pub at: u16,
    /// What to put there.
    pub bytes: [u8; 8],
    /// How many of them.
    pub len: u8,
    /// Whether the checksum of the frame's block is made right again.
    pub sealed: bool,
}

/// The offer, which is made once.
pub fn offer() -> &'static Offered {
    static OFFER: LazyLock<Offered> = LazyLock::new(|| {
        let config = MachineConfig::default().fragmentation(Fragmentation::Contiguous);
        let host = Host::with(config.frames(FrameCount::new(512).unwrap_or(FrameCount::ONE)));
        let _same_on_both_sides = build();
        let written = offered(&host);
        let (records, frames) = (Records::of(&host), written_frames(&host));
        Offered { host, written, records, frames }
    });
    &OFFER
}

impl Offered {
    /// A fork whose offer has these edits.
    #[must_use]
    pub fn edited(&self, edits: &[Edit]) -> Host {
        let fork = self.host.fork();
        let mut frames: Vec<Option<Vec<u8>>> = vec![None; self.frames.len()];
        for edit in edits {
            let which = usize::from(edit.frame) % self.frames.len();
            let frame = frames[which].get_or_insert_with(|| self.frames[which].1.clone());
            let at = usize::from(edit.at) % FRAME_SIZE;
            let len = usize::from(edit.len % 9).min(FRAME_SIZE - at);
            frame[at..at + len].copy_from_slice(&edit.bytes[..len]);
            if edit.sealed {
                forge_frame(frame);
            }
        }
        for ((pfn, _), frame) in self.frames.iter().zip(frames) {
            if let Some(frame) = frame {
                assert!(fork.machine.tamper(addr(*pfn, 0), &frame));
            }
        }
        fork
    }
}
