//! The update: the **old** program writes a greeting into preserved frames of a simulated machine and offers it; the
//! machine boots its next kernel; the **new** program takes the offer, finds the greeting, and owns the memory.

use alloc::format;
use alloc::string::String;
use core::fmt;

use luo_core as _;
use luo_kho::ownership::{self, Kept, OwnershipError};
use luo_kho::sim::{Machine, MachineConfig};
use luo_kho::{FrameCount, FrameRange, Kho as _, KhoError, Memory as _, Owned, PhysAddr, Root};
use luo_xarray as _;

/// What has to arrive: 24 bytes, as stores are made of whole words of 8.
const GREETING: &[u8; 24] = b"the frames were not lost";

/// Why the update did not go through.
#[derive(Debug)]
pub(crate) enum Failure {
    Memory(KhoError),
    Ownership(OwnershipError),
    /// The far side does not find what the near side left.
    Lost(&'static str),
}

/// Runs one update across a kexec of the simulated machine. What happened, in one line.
pub(crate) fn update() -> Result<String, Failure> {
    let machine = Machine::new(MachineConfig::default());
    let left = depart(&machine)?;
    machine.kexec();
    let (found, owned) = arrive(&machine)?;
    if found != left {
        return Err(Failure::Lost("the root names other frames"));
    }
    if !machine.enter_guest(&owned) || !machine.violations().is_empty() {
        return Err(Failure::Lost("the right to run the guest"));
    }
    Ok(format!("updated without std: {found} came through boot {}, {}", machine.boots(), owned.word()))
}

/// The old program: everything up to the offer.
fn depart(machine: &Machine) -> Result<FrameRange, Failure> {
    let (mut kho, owned) = machine.found()?;
    let range = kho.alloc(FrameCount::ONE)?;
    kho.write(range.addr(), GREETING)?;
    kho.preserve(range)?;
    kho.publish(Root::new(range.addr().get()))?;
    ownership::offer(&mut kho, owned)?;
    Ok(range)
}

/// The new program: everything up to the commit.
fn arrive(machine: &Machine) -> Result<(FrameRange, Owned), Failure> {
    let mut kho = machine.successor()?;
    let root = kho.root().ok_or(Failure::Lost("no root"))?;
    let at = PhysAddr::new(root.get()).exact_frame().ok_or(Failure::Lost("the root is no frame"))?;
    kho.reclaim(at.as_range())?;
    if !kho.read(at.as_range())?.starts_with(GREETING) {
        return Err(Failure::Lost("the greeting is gone"));
    }
    let offer = ownership::Offer::from_word(kho.word()?).ok_or(Failure::Lost("no offer"))?;
    let owned = ownership::commit(&mut kho, offer)?;
    Ok((at.as_range(), owned))
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory(error) => error.fmt(f),
            Self::Ownership(error) => error.fmt(f),
            Self::Lost(what) => f.write_str(what),
        }
    }
}

impl From<KhoError> for Failure {
    fn from(error: KhoError) -> Self {
        Self::Memory(error)
    }
}

impl From<OwnershipError> for Failure {
    fn from(error: OwnershipError) -> Self {
        Self::Ownership(error)
    }
}

impl From<Kept<Owned>> for Failure {
    fn from(kept: Kept<Owned>) -> Self {
        Self::Ownership(kept.error)
    }
}
