//! The parts that make up a VMM, the same in all its programs: names, participants, devices.

use std::fs::OpenOptions;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use luo_core::{Registry, SessionName, Token, Version};
use luo_memfd::{Linux, Memfd, Memfds};
use parking_lot::Mutex;

use crate::devices::{Devices, DevicesSaver};
use crate::folder::Folder;
use crate::machine::{MachineSaver, Saved};
use crate::trace::Trace;

/// The names under which carriers take what is not the guest's.
pub(super) const CONTROL: &str = "control";
pub(super) const CALLER: &str = "caller";

/// The session that holds the guest's memory: token N is region N.
///
/// # Errors
///
/// Never: the name is a good one.
pub(super) fn session() -> Result<SessionName> {
    Ok(SessionName::new("guest")?)
}

/// The token of a region.
pub(super) const fn token(region: usize) -> Token {
    Token(region as u64)
}

/// The place for a machine, with devices that nobody has used yet.
pub(super) fn saved(
    vcpus: u32,
    files: Vec<Memfd>,
    folder: &Folder,
    trace: &Arc<Trace>,
) -> Result<Arc<Mutex<Saved>>> {
    let serial = OpenOptions::new().create(true).append(true).open(folder.serial());
    let serial = serial.context("the log of the serial port cannot be opened")?;
    let devices = Arc::new(Mutex::new(Devices::new(vcpus, Box::new(serial))));
    Ok(Arc::new(Mutex::new(Saved {
        machine: None,
        files,
        devices,
        trace: Arc::clone(trace),
        misread: false,
    })))
}

/// All participants. The machine is first: its freeze stops those who use the devices, and write the memory.
pub(super) fn registry(saved: &Arc<Mutex<Saved>>, vmm_version: u16) -> Result<Registry> {
    let mut registry = Registry::new();
    let devices = Arc::clone(&saved.lock().devices);
    registry
        .subsystem(MachineSaver::new(Arc::clone(saved), Version(vmm_version)))?
        .subsystem(DevicesSaver(devices))?
        .handler(Memfds::new(Linux::new()))?;
    Ok(registry)
}
