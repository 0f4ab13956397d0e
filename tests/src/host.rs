//! A host: a simulated machine, its guest, and the journal of all programs that run on it.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use luo_core::{AdoptError, Luo, PhaseError, Registry, SessionName, Stuck};
use luo_kho::carrier::CarrierError;
use luo_kho::sim::{Census, Machine, MachineConfig, Party, SimExec, SimKexec, SimKho};
use luo_kho::{KhoError, Owned};

use crate::build::{Build, NOTE};
use crate::file::{Contents, SimFile};
use crate::guest::Guest;
use crate::journal::{Journal, Pen, ProgramId};
use crate::program::{Arrived, Program, Successor};
use crate::vcpus::Vcpus;

/// A machine with a guest.
#[derive(Debug, Default)]
pub struct Host {
    /// The machine.
    pub machine: Machine,
    /// Who runs the guest.
    pub guest: Guest,
    /// What participants were asked.
    pub journal: Journal,
    marks: AtomicU64,
    programs: AtomicU32,
}

/// The ways across the gap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// The program is replaced; the kernel stays.
    Exec,
    /// The kernel is replaced.
    Kexec,
}

impl By {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Exec, Self::Kexec];
}

/// A session name from a literal.
///
/// # Panics
///
/// If it is none.
pub fn session(name: &str) -> SessionName {
    SessionName::new(name).expect("a test names its sessions well")
}

impl Host {
    /// A machine of 16 MiB that was just switched on.
    pub fn new() -> Self {
        Self::default()
    }

    /// A machine made to measure.
    pub fn with(config: MachineConfig) -> Self {
        Self::on(Machine::new(config))
    }

    fn on(machine: Machine) -> Self {
        Self { machine, ..Self::default() }
    }

    /// A host of its own whose machine is at this moment like this one. Programs and journal stay behind.
    #[must_use]
    pub fn fork(&self) -> Self {
        Self::on(self.machine.fork())
    }

    /// A new note, with a mark that no other file of this host has.
    pub fn note(&self, bytes: impl AsRef<[u8]>) -> SimFile {
        self.file(NOTE, bytes)
    }

    /// A new file of this kind.
    pub fn file(&self, kind: &str, bytes: impl AsRef<[u8]>) -> SimFile {
        let mark = self.marks.fetch_add(1, Ordering::Relaxed);
        SimFile::new(kind, mark, Contents { bytes: bytes.as_ref().to_vec(), ..Contents::default() })
    }

    fn join(&self, build: &Build) -> (ProgramId, Registry, Vec<Vcpus>) {
        let id = ProgramId(self.programs.fetch_add(1, Ordering::Relaxed));
        let (registry, vcpus) = build.registry(&Pen::new(self.journal.clone(), id));
        (id, registry, vcpus)
    }

    /// The first program of a host. It runs the guest.
    pub fn found(&self, build: &Build) -> Program<'_> {
        self.try_found(build).expect("nothing was told to fail")
    }

    /// As [`found`](Self::found), where faults were planned.
    ///
    /// # Errors
    ///
    /// What stood in the way.
    pub fn try_found(&self, build: &Build) -> Result<Program<'_>, Box<PhaseError>> {
        let (id, registry, vcpus) = self.join(build);
        let failed = |error: KhoError| PhaseError {
            phase: luo_core::Phase::Prepare,
            participant: luo_core::Participant::Records,
            cause: error.into(),
        };
        let kho = self.machine.fresh().map_err(failed)?;
        let party = kho.party();
        match Luo::found(kho, registry) {
            Ok((luo, owned)) => {
                self.guest.enter(&self.machine, party, owned, &vcpus);
                Ok(Program::new(self, id, party, luo, vcpus))
            }
            Err(Stuck { error, .. }) => Err(error),
        }
    }

    /// Opens what is on offer. Nothing is restored or retrieved yet.
    ///
    /// # Errors
    ///
    /// Those of [`Luo::adopt`], and of opening the memory.
    pub fn adopt(&self, build: &Build) -> Result<Arrived<'_>, AdoptError> {
        let (id, registry, vcpus) = self.join(build);
        let kho = self.machine.successor()?;
        let party = kho.party();
        match Luo::adopt(kho, registry) {
            Ok(adopted) => Ok(Arrived::new(self, id, party, adopted, vcpus)),
            Err(Stuck { error, .. }) => Err(error),
        }
    }

    /// The far side of a carrier: a successor of this build takes over, and is put into `arrived`.
    ///
    /// # Errors
    ///
    /// The carrier's word for whatever kept it from taking over.
    pub fn arrive<'h>(
        &'h self,
        build: &Build,
        arrived: &mut Option<Successor<'h>>,
    ) -> Result<(), CarrierError> {
        let adopted = self.adopt(build).map_err(refused)?;
        *arrived = Some(adopted.take_over().map_err(refused)?);
        Ok(())
    }

    pub(crate) fn enter(&self, party: Party, owned: Owned, vcpus: &[Vcpus]) {
        self.guest.enter(&self.machine, party, owned, vcpus);
    }

    /// Panics if the machine saw what nobody should have tried, or a callback came out of turn.
    pub fn check(&self) {
        assert_eq!(self.machine.violations(), []);
        self.journal.check();
    }
}

/// A far side that says no.
pub fn refused(why: impl core::fmt::Display) -> CarrierError {
    CarrierError::Refused { reason: why.to_string() }
}

/// A carrier of either sort with one far side.
pub fn carrier<'f>(
    by: By,
    far_side: impl FnMut(&Machine) -> Result<(), CarrierError> + 'f,
) -> Box<dyn luo_kho::carrier::Carrier<SimKho> + 'f> {
    match by {
        By::Exec => Box::new(SimExec::new(far_side)),
        By::Kexec => Box::new(SimKexec::new(far_side)),
    }
}

/// A carrier whose far side never comes.
pub fn nobody() -> SimExec<impl FnMut(&Machine) -> Result<(), CarrierError>> {
    SimExec::new(|_: &Machine| Err(refused("there is nobody")))
}

/// Panics unless a program has taken nothing: no frame, no promise, no root.
pub fn assert_no_frames(census: &Census) {
    let Census { allocated, preserved, claimed: _, segments, tracker_nodes, root } = census;
    assert_eq!(segments.as_slice(), [], "a file is still attached");
    assert_eq!((allocated.as_slice(), preserved.as_slice(), *root), (&[][..], &[][..], None));
    assert!(*tracker_nodes <= 1, "the tracker keeps {tracker_nodes} nodes for nothing");
}

/// How many frames these are.
pub fn frame_count(ranges: &[luo_kho::FrameRange]) -> u64 {
    ranges.iter().map(|range| range.count().get()).sum()
}
