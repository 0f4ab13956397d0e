//! For tests: a carrier that goes wrong on the old side if somebody asks for it, and else does what the real one does.

use std::os::unix::fs::FileExt as _;
use std::{fs::File, io};

use luo_kho::carrier::{Carrier, CarrierError, Conveyance, DescriptorKind};
use luo_kho::process::ProcessKho;
use luo_kho::{Departed, FRAME_BYTES, Offer};

use super::sabotage::Sabotage;

/// Frames of the arena that are damaged: the records of an update of this VMM are among them.
const DAMAGED: u64 = 256;
/// Which byte of each.
const AT: u64 = 72;

/// See the room's head.
pub(super) struct Saboteur<C> {
    inner: C,
    asked: Option<Sabotage>,
}

impl<C> Saboteur<C> {
    pub(super) const fn new(inner: C, asked: Option<Sabotage>) -> Self {
        Self { inner, asked }
    }
}

impl<C: Carrier<ProcessKho>> Carrier<ProcessKho> for Saboteur<C> {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn conveys(&self, kind: DescriptorKind) -> Conveyance {
        self.inner.conveys(kind)
    }

    fn prepare(&mut self, kho: &mut ProcessKho) -> Result<(), CarrierError> {
        self.inner.prepare(kho)?;
        Sabotage::strike(self.asked, Sabotage::KillGuardian);
        Ok(())
    }

    fn cancel(&mut self, kho: &mut ProcessKho) {
        self.inner.cancel(kho);
    }

    fn hand_over(&mut self, kho: &mut ProcessKho, offer: Offer) -> Result<Departed, CarrierError> {
        Sabotage::strike(self.asked, Sabotage::DieOffering);
        Sabotage::strike(self.asked, Sabotage::HangOffering);
        Sabotage::strike(self.asked, Sabotage::PanicOffering);
        // Where this program is about to be replaced, nobody could undo it.
        let damage = self.asked == Some(Sabotage::Damage) && self.inner.name() == "socket";
        if damage {
            flip(kho)?;
        }
        let handed = self.inner.hand_over(kho, offer);
        if handed.is_ok() {
            Sabotage::strike(self.asked, Sabotage::DieDeparted);
        }
        // Only the other side is to see the damage.
        if damage && handed.is_err() {
            flip(kho)?;
        }
        handed
    }
}

/// Flips a byte in each of the arena's first frames, behind the back of everybody; twice is as before.
fn flip(kho: &ProcessKho) -> Result<(), CarrierError> {
    let failed =
        |error: io::Error| CarrierError::Host { call: "pwrite", errno: error.raw_os_error().unwrap_or(0) };
    let arena = File::from(kho.lend().arena.try_clone_to_owned().map_err(failed)?);
    let frames = arena.metadata().map_err(failed)?.len() / FRAME_BYTES;
    for frame in 1..frames.min(DAMAGED) {
        let mut byte = [0];
        arena.read_exact_at(&mut byte, frame * FRAME_BYTES + AT).map_err(failed)?;
        arena.write_all_at(&[!byte[0]], frame * FRAME_BYTES + AT).map_err(failed)?;
    }
    Ok(())
}
