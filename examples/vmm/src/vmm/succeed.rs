//! Taking over: from the arrival of the descriptors to the guest that runs here.
//!
//! Before the commit nothing is written that the predecessor would miss, and nothing is done that could not be dropped.
//! A successor by socket has time to **warm up**: it makes the machine in the memory that arrived, while the guest runs
//! elsewhere. A successor by exec makes it when it knows the state.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use luo_core::{Luo, Registry, Stuck, Updated, Version};
use luo_guestmemfd::Vm;
use luo_guestmemfd::linux::Slots;
use luo_kho::Owned;
use luo_kho::process::{Arrival, Control, Listener, ProcessKho, Request, Terms, connect};
use parking_lot::Mutex;

use super::begin::{kind_of, preserve};
use super::sabotage::{Sabotage, few_descriptors, no_room_to_map, slot_in_the_way};
use super::{Keeper, Vmm, parts, update};
use crate::cli::{Limits, Run, Shape};
use crate::control::{self, Reply};
use crate::folder::Folder;
use crate::guest::Layout;
use crate::machine::{Backing, Machine, Mapped, Populate, Saved};
use crate::told;
use crate::trace::{Mark, Trace};

/// The terms of an update: those of `luo-kho`, but for what somebody asked for.
pub(super) fn terms(asked: Limits) -> Terms {
    let usual = Terms::default();
    Terms {
        blackout: asked.blackout_ms.map_or(usual.blackout, Duration::from_millis),
        warm_up: asked.warm_up_ms.map_or(usual.warm_up, Duration::from_millis),
        ..usual
    }
}

/// What a successor has before it has the guest.
struct Successor {
    registry: Registry,
    saved: Arc<Mutex<Saved>>,
    trace: Arc<Trace>,
    serial: File,
    /// The control socket: the predecessor's, until the commit.
    control: OwnedFd,
    /// Whoever asked for the update.
    caller: Option<OwnedFd>,
    folder: Folder,
    run: Run,
}

/// In the process in which the predecessor was.
pub(super) fn by_exec(mut arrival: Arrival, run: Run, folder: Folder) -> Result<Vmm> {
    let way_back = arrival.way_back().cloned();
    let asked = run.sabotage.filter(|_| way_back.is_none());
    Sabotage::strike(asked, Sabotage::ExitAtOnce);
    Sabotage::strike(asked, Sabotage::ExitBeforeReady);
    Sabotage::strike(asked, Sabotage::HangBeforeReady);
    few_descriptors(asked);
    let successor = match Successor::new(&mut arrival, run, folder) {
        Ok(successor) => successor,
        Err(error) => {
            arrival.refuse(&told(&error));
            return Err(error);
        }
    };
    let failed = way_back.map(|back| update::came_back(&back));
    successor.take_over(arrival, failed)
}

/// Beside the predecessor, which waits at its socket.
pub(super) fn by_socket(run: Run, folder: Folder, predecessor: u32) -> Result<Vmm> {
    Sabotage::strike(run.sabotage, Sabotage::ExitAtOnce);
    few_descriptors(run.sabotage);
    let layout = Layout::new(run.shape.memory, run.shape.vcpus)?;
    // The manifest only: this place is not used.
    let trace = Arc::new(Trace::nowhere()?);
    let nobody = parts::saved(layout.vcpus(), (Vec::new(), None), std::io::sink(), &trace);
    let manifest = parts::registry(&nobody, &run)?.manifest().to_bytes();
    let mut arrival = connect(folder.handover(predecessor), &manifest, terms(run.limits))?;
    let warmed = Successor::new(&mut arrival, run, folder)
        .and_then(|successor| successor.warm_up(&arrival, layout).map(|()| successor));
    match warmed {
        Ok(successor) => {
            Sabotage::strike(successor.run.sabotage, Sabotage::ExitBeforeReady);
            Sabotage::strike(successor.run.sabotage, Sabotage::HangBeforeReady);
            successor.take_over(arrival, None)
        }
        Err(error) => {
            arrival.refuse(&told(&error));
            Err(error)
        }
    }
}

impl Successor {
    fn new(arrival: &mut Arrival, run: Run, folder: Folder) -> Result<Self> {
        let control = arrival.take(parts::CONTROL).ok_or_else(|| anyhow!("no control socket arrived"))?;
        let caller = arrival.take(parts::CALLER);
        let trace = arrival.take(parts::TRACE).ok_or_else(|| anyhow!("no trace arrived"))?;
        let trace = Arc::new(Trace::of(File::from(trace)).context("the trace cannot be used")?);
        let serial = arrival.take(parts::SERIAL).ok_or_else(|| anyhow!("no serial port arrived"))?;
        let serial = File::from(serial);
        let log = serial.try_clone().context("the log of the serial port cannot be shared")?;
        let saved = parts::saved(run.shape.vcpus, (Vec::new(), None), log, &trace);
        let registry = parts::registry(&saved, &run)?;
        Ok(Self { registry, saved, trace, serial, control, caller, folder, run })
    }

    /// Makes the machine. Its pages are put in place, and nothing is changed in them. Where the guest is to be copied
    /// into files that are not there yet, only the virtual machine is made.
    fn warm_up(&self, arrival: &Arrival, layout: Layout) -> Result<()> {
        let Shape { backing, retrieve, guest, .. } = self.run.shape;
        let vm = backing.vm()?;
        let mut saved = self.saved.lock();
        saved.vm.clone_from(&vm);
        if !backing.arrives_as_it_is(retrieve) {
            return Ok(());
        }
        no_room_to_map(self.run.sabotage);
        let _in_the_way = slot_in_the_way(self.run.sabotage, vm.as_ref())?;
        let files = arrival.segments().map(|(_, file)| backing.arrived(file.try_clone_to_owned()?));
        let files = files.collect::<std::io::Result<Vec<_>>>()?;
        let memory = Mapped::new(&layout, &files, vm.as_ref(), Populate::Now)?;
        let (devices, trace) = (Arc::clone(&saved.devices), Arc::clone(&self.trace));
        let mut machine = Machine::new(kind_of(guest), layout, memory, devices, trace)?;
        machine.rehearse(Version(self.run.vmm_version))?;
        saved.machine = Some(machine);
        Ok(())
    }

    /// Waits for the offer, makes everything again, commits, and lets the guest run.
    fn take_over(mut self, arrival: Arrival, came_back: Option<String>) -> Result<Vmm> {
        let sabotage = self.run.sabotage.filter(|_| came_back.is_none());
        self.saved.lock().misread = sabotage == Some(Sabotage::Misread);
        let (kho, answer) = arrival.adopt()?;
        self.trace.mark(Mark::Adopted);
        Sabotage::strike(sabotage, Sabotage::DieAfterOffer);
        Sabotage::strike(sabotage, Sabotage::HangAfterOffer);
        Sabotage::strike(sabotage, Sabotage::KillGuardian);
        let registry = core::mem::take(&mut self.registry);
        let (updated, owned) = match self.restore(kho, registry, sabotage) {
            Ok(both) => both,
            Err(error) => {
                answer.refuse(&told(&error));
                return Err(error);
            }
        };
        Sabotage::strike(sabotage, Sabotage::DieAfterCommit);
        match &mut self.saved.lock().machine {
            Some(machine) => machine.run(&owned)?,
            None => unreachable!("`restore` has looked for it"),
        }
        // The guest runs. Nobody waits for the rest.
        drop(answer);
        Ok(self.settle(updated, owned, came_back))
    }

    /// Everything that can fail, and then the commit.
    fn restore(
        &self,
        kho: ProcessKho,
        registry: Registry,
        sabotage: Option<Sabotage>,
    ) -> Result<(Updated<ProcessKho>, Owned)> {
        let mut adopted = Luo::adopt(kho, registry).map_err(|stuck| stuck.error)?;
        let session = parts::session()?;
        let shape = self.run.shape;
        let _in_the_way = self.obstruct(sabotage)?;
        let regions = Layout::new(shape.memory, shape.vcpus)?.regions().len();
        let files = (0..regions)
            .map(|region| shape.backing.retrieve(&mut adopted, (session, parts::token(region))))
            .collect::<Result<_>>()?;
        if shape.backing == Backing::GuestMemfd {
            // It is in its place already: the files have asked for it.
            let _vm: Vm = adopted.retrieve(session, parts::VM)?;
        }
        self.saved.lock().files = files;
        adopted.restore()?;
        if self.run.hash {
            update::note_hash(&self.folder, &self.saved.lock(), "restored");
        }
        if sabotage == Some(Sabotage::Refuse) {
            bail!("sabotage, as asked for: it is refused");
        }
        Sabotage::strike(sabotage, Sabotage::CommitLate);
        if sabotage == Some(Sabotage::LoseMachine) {
            self.saved.lock().machine = None;
        }
        // Nobody could run the guest: better to know now than behind the commit.
        ensure!(self.saved.lock().machine.is_some(), "no machine arrived");
        self.trace.mark(Mark::Restored);
        let (updated, owned) = adopted.commit().map_err(|stuck| stuck.error)?;
        self.trace.mark(Mark::Committed);
        Ok((updated, owned))
    }

    /// For tests: as in [`warm_up`](Self::warm_up), for a successor that was not warmed up.
    fn obstruct(&self, sabotage: Option<Sabotage>) -> Result<Option<Slots>> {
        let mut saved = self.saved.lock();
        if saved.machine.is_some() {
            return Ok(None);
        }
        no_room_to_map(sabotage);
        if sabotage == Some(Sabotage::SlotInTheWay) && saved.vm.is_none() {
            saved.vm = self.run.shape.backing.vm()?;
        }
        Ok(slot_in_the_way(sabotage, saved.vm.as_ref())?)
    }

    /// Lets go of what carried everything, and gets ready for the next update. The guest runs already: if this fails it
    /// goes on, and only the next update is refused.
    fn settle(self, updated: Updated<ProcessKho>, owned: Owned, came_back: Option<String>) -> Vmm {
        let Self { registry: _, saved, trace, serial, control, caller, folder, run } = self;
        let (luo, unfit) = match updated.finish() {
            Ok(mut luo) => {
                let (files, vm) = {
                    let saved = saved.lock();
                    (saved.files.clone(), saved.vm.clone())
                };
                let unfit = preserve(&mut luo, files, vm).err().map(|error| told(&error));
                (Keeper::Luo(Box::new(luo)), unfit)
            }
            Err(Stuck { kept, error }) => (Keeper::Updated(Box::new(kept)), Some(error.to_string())),
        };
        trace.mark(if came_back.is_some() { Mark::Failed } else { Mark::Finished });
        let control = Control::new(Listener::from_socket(control, folder.control()));
        let vmm = Vmm { luo, unfit, owned: Some(owned), saved, trace, serial, control, folder, run };
        if let Some(caller) = caller {
            let reply = came_back.map_or_else(Reply::default, Reply::error);
            control::answer(Request::resume(caller), &vmm.about(reply));
        }
        vmm
    }
}
