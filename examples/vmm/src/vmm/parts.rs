//! The parts that make up a VMM, the same in all its programs: names, participants, devices.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use luo_core::{Refusal, Registry, SessionName, Token, Version};
use luo_guestmemfd::{GuestMemfds, Vm, VmType, Vms};
use luo_hugetlb::HugetlbFiles;
use luo_memfd::Memfds;
use parking_lot::Mutex;

use crate::cli::Run;
use crate::devices::{Devices, DevicesSaver};
use crate::folder::Folder;
use crate::machine::{MachineSaver, RegionFile, Saved};
use crate::trace::Trace;

/// The names under which carriers take what is not the guest's. A program that takes a guest over opens nothing by its
/// path: what has gone missing from the folder would be missing on the way back too.
pub(super) const CONTROL: &str = "control";
pub(super) const CALLER: &str = "caller";
pub(super) const TRACE: &str = "trace";
pub(super) const SERIAL: &str = "serial";

/// The session that holds the guest's memory: token N is region N, and [`VM`] the machine that it serves.
///
/// # Errors
///
/// Never: the name is a good one.
pub(super) fn session() -> Result<SessionName> {
    Ok(SessionName::new("guest")?)
}

/// The token of the virtual machine that the regions' files serve, where they are made by one.
pub(super) const VM: Token = Token(1 << 16);

/// The token of a region.
pub(super) const fn token(region: usize) -> Token {
    Token(region as u64)
}

/// The log of the serial port.
pub(super) fn serial(folder: &Folder) -> Result<File> {
    let serial = OpenOptions::new().create(true).append(true).open(folder.serial());
    serial.context("the log of the serial port cannot be opened")
}

/// The place for a machine, with devices that nobody has used yet.
pub(super) fn saved(
    vcpus: u32,
    (files, vm): (Vec<RegionFile>, Option<Vm>),
    serial: impl Write + Send + 'static,
    trace: &Arc<Trace>,
) -> Arc<Mutex<Saved>> {
    let devices = Arc::new(Mutex::new(Devices::new(vcpus, Box::new(serial))));
    let trace = Arc::clone(trace);
    Arc::new(Mutex::new(Saved { machine: None, files, vm, devices, trace, misread: false }))
}

/// The virtual machine that takes the place of the predecessor's: made beforehand, or when it is asked for.
fn vms(saved: &Arc<Mutex<Saved>>) -> luo_guestmemfd::Linux {
    let saved = Arc::clone(saved);
    luo_guestmemfd::Linux::new().with_vms(move |vm_type: VmType| {
        let mut saved = saved.lock();
        if saved.vm.is_none() {
            saved.vm = Some(Vm::create_of(vm_type).map_err(Refusal::new)?);
        }
        saved.vm.clone().ok_or_else(|| Refusal::because("there is no virtual machine"))
    })
}

/// All participants. The machine is first: its freeze stops those who use the devices, and write the memory.
pub(super) fn registry(saved: &Arc<Mutex<Saved>>, run: &Run) -> Result<Registry> {
    let mut registry = Registry::new();
    let devices = Arc::clone(&saved.lock().devices);
    let guest_memfds = GuestMemfds::new(luo_guestmemfd::Linux::new());
    registry
        .subsystem(MachineSaver::new(Arc::clone(saved), Version(run.vmm_version)))?
        .subsystem(DevicesSaver(devices))?
        .handler(Memfds::new(luo_memfd::Linux::new()))?
        .handler(HugetlbFiles::new(luo_hugetlb::Linux::new()))?
        .handler(guest_memfds.retrieving(run.shape.retrieve.of_handler()))?
        .handler(Vms::new(vms(saved)))?;
    Ok(registry)
}
