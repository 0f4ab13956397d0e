//! Carries the machine: stops it and saves its state on the near side, makes it again and sets its state on the far
//! side.

use std::sync::Arc;

use luo_core::{
    FreezeScope, Kind as Name, PrepareScope, Record, Refusal, RetrieveScope, Subsystem, Version, VersionRange,
};
use luo_guestmemfd::Vm;
use luo_kho::ByteLen;
use parking_lot::Mutex;

use super::memory::{Mapped, Populate};
use super::region::RegionFile;
use super::{Kind, Machine};
use crate::devices::Devices;
use crate::guest::Layout;
use crate::state::{GuestState, MachineState, V1, V2};
use crate::trace::Trace;

/// The place of the one machine of a program, and what it takes to make one.
pub(crate) struct Saved {
    /// The machine; on the far side none, until it has been made.
    pub(crate) machine: Option<Machine>,
    /// The files of its memory, in the order of the regions.
    pub(crate) files: Vec<RegionFile>,
    /// The machine that they serve, where files are made by one.
    pub(crate) vm: Option<Vm>,
    pub(crate) devices: Arc<Mutex<Devices>>,
    pub(crate) trace: Arc<Trace>,
    /// For tests: the state is read as other bytes than were written.
    pub(crate) misread: bool,
}

/// See the room's head.
pub(crate) struct MachineSaver {
    saved: Arc<Mutex<Saved>>,
    /// The newest format that this build knows; it knows all older ones too.
    newest: Version,
}

impl Saved {
    /// Makes a machine in these files, unless there is one already, made beforehand from the same ones.
    fn machine(&mut self, kind: Kind, layout: Layout) -> Result<&mut Machine, Refusal> {
        if let Some(machine) = &self.machine
            && !machine.memory().is_in(&self.files)
        {
            return Err(Refusal::because("the machine that was made beforehand is in other files"));
        }
        let machine = if let Some(machine) = self.machine.take() {
            machine
        } else {
            let memory =
                Mapped::new(&layout, &self.files, self.vm.as_ref(), Populate::Later).map_err(Refusal::new)?;
            let (devices, trace) = (Arc::clone(&self.devices), Arc::clone(&self.trace));
            Machine::new(kind, layout, memory, devices, trace).map_err(Refusal::new)?
        };
        Ok(self.machine.insert(machine))
    }
}

impl MachineSaver {
    /// For the machine in this place.
    pub(crate) const fn new(saved: Arc<Mutex<Saved>>, newest: Version) -> Self {
        Self { saved, newest }
    }
}

impl Subsystem for MachineSaver {
    fn name(&self) -> Name {
        Name::literal("vmm-machine")
    }

    fn reads(&self) -> VersionRange {
        VersionRange::up_to(self.newest)
    }

    fn writes(&self) -> Vec<Version> {
        [V2, V1].into_iter().filter(|version| *version <= self.newest).collect()
    }

    fn prepare(&mut self, scope: &mut PrepareScope<'_>) -> Result<(), Refusal> {
        let saved = self.saved.lock();
        let Some(machine) = &saved.machine else { return Err(Refusal::because("there is no machine")) };
        let most = MachineState::bytes_max(machine.layout().vcpus());
        for version in scope.versions().to_vec() {
            scope.reserve(version, ByteLen::new(most))?;
        }
        Ok(())
    }

    fn cancel(&mut self) {}

    fn freeze(&mut self, scope: &mut FreezeScope<'_>) -> Result<(), Refusal> {
        let mut saved = self.saved.lock();
        let Some(machine) = &mut saved.machine else { return Err(Refusal::because("there is no machine")) };
        // Should anything fail from here on, whoever gets the right to run back lets it run again.
        let state = machine.stop().map_err(Refusal::new)?;
        for version in scope.versions().to_vec() {
            scope.put(version, &state.write(version).map_err(Refusal::new)?)?;
        }
        Ok(())
    }

    fn unfreeze(&mut self) {}

    fn depart(&mut self) {}

    fn restore(&mut self, record: &Record<'_>, _scope: &mut RetrieveScope<'_>) -> Result<(), Refusal> {
        let mut saved = self.saved.lock();
        let mut payload = record.payload.to_vec();
        if let Some(byte) = payload.first_mut().filter(|_| saved.misread) {
            *byte = !*byte;
        }
        let state = MachineState::read(record.version, &payload).map_err(Refusal::new)?;
        let kind = match state.guest {
            GuestState::Kvm { .. } => Kind::Kvm,
            GuestState::Threads { .. } => Kind::Thread,
        };
        saved.machine(kind, state.layout)?.restore(&state).map_err(Refusal::new)
    }

    fn finish(&mut self) {}
}
