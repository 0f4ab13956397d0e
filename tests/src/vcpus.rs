//! The subsystem: something like vCPUs, with a running flag and a count of what they did. The count crosses in a
//! preserved array, which the payload names.

use std::sync::Arc;

use luo_core::{
    FreezeScope, Kind, PrepareScope, Record, Refusal, RetrieveScope, Subsystem, Version, VersionRange,
};
use luo_kho::PreservedArray;
use parking_lot::Mutex;

use crate::journal::{Act, Pen, Who};
use crate::keeper::Speech;
use crate::payload::{name_payload, named_len, one_word};

/// The live state. Clones name the same vCPUs: one is with the orchestrator, the others are with the test.
#[derive(Clone, Debug, Default)]
pub struct Vcpus(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    running: bool,
    ticks: u64,
}

/// Saves and restores [`Vcpus`].
#[derive(Debug)]
pub struct VcpuSaver {
    speech: Speech,
    vcpus: Vcpus,
    pen: Pen,
    /// From prepare on.
    array: Option<PreservedArray<u8>>,
}

impl Vcpus {
    /// Whether the guest is being run.
    pub fn are_running(&self) -> bool {
        self.0.lock().running
    }

    /// What they did so far.
    pub fn ticks(&self) -> u64 {
        self.0.lock().ticks
    }

    /// The guest does something.
    ///
    /// # Panics
    ///
    /// If it is not being run.
    pub fn tick(&self) {
        let mut state = self.0.lock();
        assert!(state.running, "a guest that is stopped does nothing");
        state.ticks += 1;
    }

    /// Enters the vCPUs, or takes them out. Only [`Guest`](crate::Guest) does, which holds the right to.
    pub(crate) fn set_running(&self, running: bool) {
        self.0.lock().running = running;
    }
}

impl VcpuSaver {
    /// Of this name and these versions, for these vCPUs.
    pub fn new(speech: Speech, vcpus: Vcpus, pen: Pen) -> Self {
        Self { speech, vcpus, pen, array: None }
    }

    fn who(&self) -> Who {
        Who::Subsystem(self.speech.kind)
    }
}

impl Subsystem for VcpuSaver {
    fn name(&self) -> Kind {
        self.speech.kind
    }

    fn reads(&self) -> VersionRange {
        self.speech.reads
    }

    fn writes(&self) -> Vec<Version> {
        self.speech.writes.clone()
    }

    fn prepare(&mut self, scope: &mut PrepareScope<'_>) -> Result<(), Refusal> {
        assert!(self.array.is_none(), "it is prepared once");
        let array = self.pen.ask(self.who(), Act::Prepare, || {
            let array = PreservedArray::alloc(scope.memory(), 8)?;
            // Nothing of it can be written while guests run: freeze fills the room that is taken here.
            for version in scope.versions().to_vec() {
                scope.reserve(version, named_len(version))?;
            }
            Ok(array)
        })?;
        self.array = Some(array);
        Ok(())
    }

    fn cancel(&mut self) {
        assert!(self.array.take().is_some(), "what is cancelled was prepared");
        self.pen.tell(self.who(), Act::Cancel);
    }

    fn freeze(&mut self, scope: &mut FreezeScope<'_>) -> Result<(), Refusal> {
        let (who, vcpus) = (self.who(), self.vcpus.clone());
        let Some(array) = &mut self.array else { panic!("what is frozen was prepared") };
        self.pen.ask(who, Act::Freeze, || {
            if vcpus.are_running() {
                return Err(Refusal::because("the guest still runs"));
            }
            array.write(scope.memory(), 0, &vcpus.ticks().to_le_bytes())?;
            array.seal(scope.memory())?;
            for version in scope.versions().to_vec() {
                scope.put(version, &name_payload(version, array))?;
            }
            Ok(())
        })
    }

    fn unfreeze(&mut self) {
        assert!(!self.vcpus.are_running(), "a guest that is frozen does not run");
        self.pen.tell(self.who(), Act::Unfreeze);
    }

    fn depart(&mut self) {
        self.array = None;
        assert!(!self.vcpus.are_running(), "the guest runs elsewhere");
        self.pen.tell(self.who(), Act::Depart);
    }

    fn restore(&mut self, record: &Record<'_>, scope: &mut RetrieveScope<'_>) -> Result<(), Refusal> {
        let ticks = self.pen.ask(self.who(), Act::Restore, || one_word(record, scope))?;
        self.vcpus.0.lock().ticks = ticks;
        Ok(())
    }

    fn finish(&mut self) {
        self.pen.tell(self.who(), Act::Finish);
    }
}
