//! The machine: guest memory, and the vCPUs that execute the guest in it.
//!
//! - An [`Entry`] is the permission to enter vCPUs. Only who owns the guest can make one.
//! - A [`Vcpu`] lies still, or is in its **seat**: a thread that executes it until it is told to stop, and then saves
//!   its state.
//! - The machine **runs** while its vCPUs are in their seats. Nobody else writes guest memory; so when it has stopped,
//!   nobody does.
//!
//! What executes a vCPU is the processor ([`kvm`]), or a thread that does the guest's steps in Rust ([`threads`]).

mod door;
mod error;
mod floor;
mod kvm;
mod memory;
mod region;
mod saver;
mod seat;
mod shared;
mod threads;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::thread;

use luo_core::Version;
use luo_kho::Owned;
use parking_lot::Mutex;

use crate::devices::Devices;
use crate::guest::Layout;
use crate::state::{GuestState, KvmVcpu, MachineState, ThreadVcpu};
use crate::trace::{Mark, Trace, now};

pub(crate) use error::MachineError;
pub(crate) use floor::Bare;
pub(crate) use kvm::available;
pub(crate) use memory::{Mapped, Populate};
pub(crate) use region::{Backing, RegionFile, Retrieve};
pub(crate) use saver::{MachineSaver, Saved};

use kvm::KvmMachine;
use seat::{Left, Seat};
use shared::{Doorbell, Shared};
use threads::Bells;

/// What executes the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Kind {
    /// The processor, by way of /dev/kvm.
    Kvm,
    /// Threads of this program, which do the guest's steps in Rust: no virtual machine.
    Thread,
}

/// Permission to enter vCPUs: who makes one shows that the guest is theirs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry(());

impl Entry {
    /// The owner's.
    pub(crate) const fn by(_: &Owned) -> Self {
        Self(())
    }
}

/// What the clock of a vCPU said, and when.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    /// Cycles.
    pub(crate) cycles: u64,
    /// So many of them are a millisecond.
    pub(crate) khz: u64,
    /// Nanoseconds of the host's monotonic clock, before it was read and after.
    pub(crate) between: (u64, u64),
}

impl Clock {
    fn read(khz: u64, cycles: impl FnOnce() -> Result<u64, MachineError>) -> Result<Self, MachineError> {
        let before = now();
        let cycles = cycles()?;
        Ok(Self { cycles, khz, between: (before, now()) })
    }
}

/// One vCPU.
enum Vcpu {
    Kvm(kvm::Vcpu),
    Thread(threads::Vcpu),
}

/// The state of one vCPU.
enum VcpuState {
    Kvm(Box<KvmVcpu>),
    Thread(ThreadVcpu),
}

/// See the room's head.
pub(crate) struct Machine {
    layout: Layout,
    // Before what they use: they are dropped first.
    seats: Vec<Seat>,
    /// In the order of their numbers; none while they are in their seats.
    vcpus: Vec<Vcpu>,
    /// `None` for a guest of threads.
    kvm: Option<KvmMachine>,
    shared: Arc<Shared>,
    running: bool,
}

impl Vcpu {
    /// Executes it until it is told to stop, and completes what it has begun.
    fn run(&mut self, entry: Entry, shared: &Shared) -> Result<(), MachineError> {
        match self {
            Self::Kvm(vcpu) => vcpu.run(entry, shared),
            Self::Thread(vcpu) => vcpu.run(entry, shared),
        }
    }

    fn save(&self) -> Result<VcpuState, MachineError> {
        match self {
            Self::Kvm(vcpu) => vcpu.save().map(VcpuState::Kvm),
            Self::Thread(vcpu) => Ok(VcpuState::Thread(vcpu.save())),
        }
    }
}

impl Machine {
    /// Makes a machine that lies still, in memory that is there. It is to be booted or restored.
    ///
    /// # Errors
    ///
    /// [`MachineError`].
    pub(crate) fn new(
        kind: Kind,
        layout: Layout,
        memory: Mapped,
        devices: Arc<Mutex<Devices>>,
        trace: Arc<Trace>,
    ) -> Result<Self, MachineError> {
        let (kvm, vcpus, doorbell) = match kind {
            Kind::Kvm => {
                let (machine, vcpus) = KvmMachine::new(&layout, &memory)?;
                let doorbell = Doorbell::Kvm(machine.vm());
                (Some(machine), vcpus.into_iter().map(Vcpu::Kvm).collect(), doorbell)
            }
            Kind::Thread => {
                let bells = Bells::new(layout.vcpus());
                let vcpus = (0..layout.vcpus()).map(|vcpu| threads::Vcpu::new(&layout, vcpu, &bells));
                (None, vcpus.map(Vcpu::Thread).collect(), Doorbell::Threads(bells.clone()))
            }
        };
        let shared = Arc::new(Shared::new(devices, trace, memory, doorbell));
        let seats = (0..layout.vcpus()).map(|vcpu| Seat::new(vcpu, &shared)).collect::<Result<_, _>>()?;
        Ok(Self { layout, seats, vcpus, kvm, shared, running: false })
    }

    /// What machine it is.
    pub(crate) const fn layout(&self) -> &Layout {
        &self.layout
    }

    /// What executes the guest.
    pub(crate) const fn kind(&self) -> Kind {
        if self.kvm.is_some() { Kind::Kvm } else { Kind::Thread }
    }

    /// Its memory.
    pub(crate) fn memory(&self) -> &Mapped {
        &self.shared.memory
    }

    /// What the clocks of the vCPUs say, in the order of their numbers. The machine lies still.
    ///
    /// # Errors
    ///
    /// [`MachineError`].
    pub(crate) fn clocks(&self) -> Result<Vec<Clock>, MachineError> {
        let clock = |vcpu: &Vcpu| match vcpu {
            Vcpu::Kvm(vcpu) => vcpu.clock(),
            // The host's monotonic clock is theirs.
            Vcpu::Thread(_) => Clock::read(1_000_000, || Ok(now())),
        };
        self.vcpus.iter().map(clock).collect()
    }

    /// Whether vCPUs are in their seats.
    pub(crate) const fn is_running(&self) -> bool {
        self.running
    }

    /// Puts vCPUs where a guest begins.
    ///
    /// # Errors
    ///
    /// [`MachineError`].
    pub(crate) fn boot(&mut self) -> Result<(), MachineError> {
        for vcpu in &mut self.vcpus {
            match vcpu {
                Vcpu::Kvm(vcpu) => vcpu.boot(&self.layout)?,
                Vcpu::Thread(vcpu) => vcpu.boot(),
            }
        }
        Ok(())
    }

    /// Does once what [`restore`](Self::restore) will do, with the state that it has already: what is done for the
    /// first time takes longer, and this is before anybody waits. Writes no guest memory.
    ///
    /// # Errors
    ///
    /// [`MachineError`]; the machine is of no use then.
    pub(crate) fn rehearse(&mut self, version: Version) -> Result<(), MachineError> {
        let state = self.state()?;
        let state = MachineState::read(version, &state.write(version)?)?;
        self.restore(&state)
    }

    /// Puts vCPUs where the state says. Writes no guest memory.
    ///
    /// # Errors
    ///
    /// [`MachineError`]; the machine is of no use then.
    pub(crate) fn restore(&mut self, state: &MachineState) -> Result<(), MachineError> {
        let MachineState { layout, guest } = state;
        if *layout != self.layout {
            return Err(MachineError::Other { what: "its memory or its vCPUs" });
        }
        match (&mut self.kvm, guest) {
            (Some(machine), GuestState::Kvm { platform, vcpus }) => {
                machine.restore(platform)?;
                for (vcpu, state) in self.vcpus.iter_mut().zip(vcpus) {
                    let Vcpu::Kvm(vcpu) = vcpu else { return Err(MachineError::Other { what: "a vCPU" }) };
                    vcpu.restore(state)?;
                }
            }
            (None, GuestState::Threads { vcpus }) => {
                for (vcpu, state) in self.vcpus.iter_mut().zip(vcpus) {
                    let Vcpu::Thread(vcpu) = vcpu else {
                        return Err(MachineError::Other { what: "a vCPU" });
                    };
                    vcpu.restore(state)?;
                }
            }
            _ => return Err(MachineError::Other { what: "what executes it" }),
        }
        Ok(())
    }

    /// Lets the guest run: its vCPUs are entered as soon as their threads are awake.
    ///
    /// # Errors
    ///
    /// [`MachineError::NotNow`], [`MachineError::Gone`].
    pub(crate) fn run(&mut self, owned: &Owned) -> Result<(), MachineError> {
        if self.running {
            return Err(MachineError::NotNow("runs already"));
        }
        if self.vcpus.len() != self.seats.len() {
            return Err(MachineError::NotNow("has lost a vCPU"));
        }
        let entry = Entry::by(owned);
        self.shared.begin();
        self.running = true;
        self.seats.iter().zip(self.vcpus.drain(..)).try_for_each(|(seat, vcpu)| seat.take(vcpu, entry))?;
        self.make_room();
        Ok(())
    }

    /// Lets the vCPUs go first, until one was entered or cannot be. On a processor that they share with the calling
    /// thread they would otherwise wait until its time slice is over: milliseconds.
    fn make_room(&self) {
        while !self.shared.has_entered() && self.seats.iter().all(Seat::is_there) {
            thread::yield_now();
        }
    }

    /// Takes the guest out: afterwards nobody writes its memory. Marks when the last vCPU was out.
    ///
    /// # Errors
    ///
    /// The first vCPU that could not be executed or saved; all of them lie still all the same.
    pub(crate) fn stop(&mut self) -> Result<MachineState, MachineError> {
        if !self.running {
            return Err(MachineError::NotNow("lies still already"));
        }
        self.shared.end();
        self.seats.iter().for_each(Seat::kick);
        let (mut last, mut failed) = (0, None);
        for seat in &self.seats {
            match seat.wait() {
                Ok(Left { vcpu, ran, at }) => {
                    self.vcpus.push(vcpu);
                    last = last.max(at);
                    failed = failed.or(ran.err());
                }
                Err(gone) => failed = failed.or(Some(gone)),
            }
        }
        self.running = false;
        self.shared.trace.mark_at(Mark::Stopped, last);
        match failed {
            None => self.save(),
            Some(error) => Err(error),
        }
    }

    /// The state of all vCPUs, now that none is in the guest: until then one may send another an interrupt.
    fn save(&self) -> Result<MachineState, MachineError> {
        // The worst moment for an interrupt: its vCPU is about to be saved.
        (0..self.layout.vcpus()).try_for_each(|vcpu| self.shared.ring(vcpu))?;
        self.state()
    }

    fn state(&self) -> Result<MachineState, MachineError> {
        let (mut of_kvm, mut of_threads) = (Vec::new(), Vec::new());
        for vcpu in &self.vcpus {
            match vcpu.save()? {
                VcpuState::Kvm(state) => of_kvm.push(state),
                VcpuState::Thread(state) => of_threads.push(state),
            }
        }
        let guest = match &self.kvm {
            Some(machine) => GuestState::Kvm { platform: Box::new(machine.save()?), vcpus: of_kvm },
            None => GuestState::Threads { vcpus: of_threads },
        };
        Ok(MachineState { layout: self.layout, guest })
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if self.running {
            // Nobody wants the state of a machine that is given up.
            drop(self.stop());
        }
    }
}

impl core::fmt::Debug for Machine {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Machine")
            .field("kind", &self.kind())
            .field("layout", &self.layout)
            .field("running", &self.running)
            .finish_non_exhaustive()
    }
}
