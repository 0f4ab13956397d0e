//! The simulated machine under test, and the small story that its sweeps tell again and again.

mod allocation;
mod carriers;
mod errors;
mod files;
mod handover;
mod model;
mod sweeps;

use alloc::vec::Vec;

use super::{Machine, MachineConfig, SimKho};
use crate::ownership::{self, OwnershipError};
use crate::{FRAME_SIZE, FrameCount, FrameRange, Kho, KhoError, Memory, Offer, Owned, Pfn, Root, Word};

pub(super) fn frames(start: u64, end: u64) -> FrameRange {
    FrameRange::from_bounds(start, end).unwrap()
}

pub(super) fn pfn(number: u64) -> Pfn {
    Pfn::new(number).unwrap()
}

pub(super) fn count(frames: u64) -> FrameCount {
    FrameCount::new(frames).unwrap()
}

/// 256 frames; scratch is 64..80.
pub(super) fn small() -> MachineConfig {
    MachineConfig::default().frames(count(256))
}

pub(super) fn founded(config: MachineConfig) -> (Machine, SimKho, Owned) {
    let machine = Machine::new(config);
    let (kho, owned) = machine.found().unwrap();
    (machine, kho, owned)
}

/// The offer that stands, as a successor or a guardian sees it.
pub(super) fn standing(machine: &Machine) -> Offer {
    Offer::from_word(machine.word()).unwrap()
}

pub(super) fn commit(kho: &mut SimKho) -> Result<Owned, OwnershipError> {
    let offer = standing(kho.machine());
    ownership::commit(kho, offer)
}

/// A frame full of one byte.
pub(super) fn page(byte: u8) -> [u8; FRAME_SIZE] {
    [byte; FRAME_SIZE]
}

pub(super) fn bytes_of<M: Memory>(memory: &M, range: FrameRange) -> Vec<u8> {
    let mut all = Vec::new();
    for frame in range.frames() {
        all.extend_from_slice(memory.read(frame.as_range()).unwrap());
    }
    all
}

/// How many frames the story keeps.
pub(super) const KEPT: u8 = 3;

/// Saves: allocates, writes and preserves frames, and names the first as the root. What fails is undone, by calls that
/// cannot fail.
pub(super) fn save(kho: &mut SimKho) -> Result<Vec<FrameRange>, KhoError> {
    let mut kept = Vec::new();
    match save_into(kho, &mut kept) {
        Ok(()) => Ok(kept),
        Err(error) => {
            release(kho, kept);
            Err(error)
        }
    }
}

fn save_into(kho: &mut SimKho, kept: &mut Vec<FrameRange>) -> Result<(), KhoError> {
    for byte in 1..=KEPT {
        let range = kho.alloc(FrameCount::ONE)?;
        let saved = kho.write(range.addr(), &page(byte)).and_then(|()| kho.preserve(range));
        if let Err(error) = saved {
            undone(&kho.free(range));
            return Err(error);
        }
        kept.push(range);
    }
    kho.publish(Some(Root::new(kept[0].addr().get()).unwrap()))
}

/// Takes back what was saved.
pub(super) fn release(kho: &mut SimKho, kept: Vec<FrameRange>) {
    undone(&kho.publish(None));
    for range in kept.into_iter().rev() {
        undone(&kho.unpreserve(range));
        undone(&kho.free(range));
    }
}

fn undone(result: &Result<(), KhoError>) {
    assert!(matches!(result, Ok(()) | Err(KhoError::Crashed)), "undoing failed: {result:?}");
}

/// Adopts what [`save`] saved: finds it, claims it and looks at every byte. On failure forgoes what it claimed.
pub(super) fn load(kho: &mut SimKho) -> Result<Vec<FrameRange>, KhoError> {
    let mut claimed = Vec::new();
    match load_into(kho, &mut claimed) {
        Ok(()) => Ok(claimed),
        Err(error) => {
            forgo(kho, claimed);
            Err(error)
        }
    }
}

/// Takes back claims.
pub(super) fn forgo(kho: &mut SimKho, claimed: Vec<FrameRange>) {
    for range in claimed.into_iter().rev() {
        undone(&kho.forgo(range));
    }
}

fn load_into(kho: &mut SimKho, claimed: &mut Vec<FrameRange>) -> Result<(), KhoError> {
    let runs = kho.preserved()?;
    let mut byte = 0;
    for range in runs.into_iter().flat_map(FrameRange::frames).map(Pfn::as_range) {
        kho.reclaim(range)?;
        claimed.push(range);
        byte += 1;
        assert_eq!(kho.read(range)?, page(byte));
    }
    assert_eq!(byte, KEPT);
    assert_eq!(kho.root().map(Root::get), claimed.first().map(|range| range.addr().get()));
    Ok(())
}
