//! Beginning: fresh memory, and a guest that boots.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use luo_core::Luo;
use luo_guestmemfd::Vm;
use luo_kho::FrameCount;
use luo_kho::process::{Control, Listener, ProcessKho};

use super::{Keeper, Vmm, parts};
use crate::cli::Run;
use crate::folder::Folder;
use crate::guest::{Layout, fill};
use crate::machine::{Kind, Machine, Mapped, Populate, RegionFile, available};
use crate::trace::Trace;

/// 64 MiB of frames for records: guest memory is not among them, it is attached.
const FRAMES: FrameCount = match FrameCount::new(1 << 14) {
    Some(count) => count,
    None => unreachable!(),
};

/// What executes the guest, where nobody said.
pub(crate) fn kind_of(asked: Option<Kind>) -> Kind {
    asked.unwrap_or_else(|| if available().is_ok() { Kind::Kvm } else { Kind::Thread })
}

/// Makes a guest, and lets it run.
pub(super) fn begin(run: Run, folder: Folder) -> Result<Vmm> {
    let listener = Listener::bind(folder.control()).context("the control socket cannot be made")?;
    let layout = Layout::new(run.shape.memory, run.shape.vcpus)?;
    let trace = Arc::new(Trace::create(&folder.trace()).context("the trace cannot be made")?);
    let backing = run.shape.backing;
    let vm = backing.vm().context("no virtual machine can be made for guest memory")?;
    let files = backing.create(&layout, vm.as_ref()).context("there is no such memory for the guest")?;
    let memory = Mapped::new(&layout, &files, vm.as_ref(), Populate::Later)?;
    fill(memory.guest(), &layout)?;
    let serial = parts::serial(&folder)?;
    let log = serial.try_clone().context("the log of the serial port cannot be shared")?;
    let saved = parts::saved(layout.vcpus(), (files.clone(), vm.clone()), log, &trace);
    let kho = ProcessKho::create(FRAMES)?;
    let registry = parts::registry(&saved, &run)?;
    let (mut luo, owned) = Luo::found(kho, registry).map_err(|stuck| stuck.error)?;
    preserve(&mut luo, files, vm)?;
    {
        let mut saved = saved.lock();
        let devices = Arc::clone(&saved.devices);
        let kind = kind_of(run.shape.guest);
        let mut machine = Machine::new(kind, layout, memory, devices, Arc::clone(&trace))?;
        machine.boot()?;
        saved.machine.insert(machine).run(&owned)?;
    }
    let control = Control::new(listener);
    Ok(Vmm {
        luo: Keeper::Luo(Box::new(luo)),
        unfit: None,
        owned: Some(owned),
        saved,
        trace,
        serial,
        control,
        folder,
        run,
    })
}

/// Puts the guest's memory under the care of the orchestrator, for the next update.
pub(super) fn preserve(luo: &mut Luo<ProcessKho>, files: Vec<RegionFile>, vm: Option<Vm>) -> Result<()> {
    let session = parts::session()?;
    luo.open_session(session)?;
    for (region, file) in files.into_iter().enumerate() {
        file.preserve(luo, (session, parts::token(region)))?;
    }
    if let Some(vm) = vm {
        luo.preserve(session, parts::VM, vm).map_err(|stuck| stuck.error)?;
    }
    Ok(())
}
