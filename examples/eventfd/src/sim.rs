//! A simulated host: files without an operating system.
//!
//! Both sides of an update are on one [`SimHost`]. It can be told to fail a call, and counts what lives on it.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU64, Ordering};

use luo_core::Identity;
use luo_descriptor::sim::Fuse;
use spin::Mutex;

use crate::{HostError, Port, Sort, State};

/// A simulated host. Clones are the same host.
#[derive(Clone, Debug, Default)]
pub struct SimHost(Arc<Host>);

#[derive(Debug, Default)]
struct Host {
    fuse: Fuse,
    made: AtomicU64,
    /// Every file holds one.
    alive: Arc<()>,
}

/// A file. Clones are references to the same one.
#[derive(Clone, Debug)]
pub struct SimEventfd(Arc<Inode>);

#[derive(Debug)]
struct Inode {
    number: u64,
    guise: Guise,
    state: Mutex<State>,
    _alive: Arc<()>,
}

/// What a file looks like to the handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Guise {
    Ordinary,
    Locked,
    Stranger,
}

impl SimHost {
    /// A host without files.
    pub fn new() -> Self {
        Self::default()
    }

    /// A new file, in this state.
    pub fn create(&self, state: State) -> SimEventfd {
        self.file(state, Guise::Ordinary)
    }

    /// One that cannot travel.
    pub fn locked(&self) -> SimEventfd {
        self.file(State::default(), Guise::Locked)
    }

    /// Something that is nothing like it.
    pub fn stranger(&self) -> SimEventfd {
        self.file(State::default(), Guise::Stranger)
    }

    fn file(&self, state: State, guise: Guise) -> SimEventfd {
        let number = self.0.made.fetch_add(1, Ordering::Relaxed);
        let alive = Arc::clone(&self.0.alive);
        SimEventfd(Arc::new(Inode { number, guise, state: Mutex::new(state), _alive: alive }))
    }

    /// From now on the call of a handler with number `nth`, from 0, fails, once.
    pub fn arm(&self, nth: u64) {
        self.0.fuse.arm(nth);
    }

    /// No call fails any more. Whether one did since [`arm`](Self::arm).
    pub fn disarm(&self) -> bool {
        self.0.fuse.disarm()
    }

    /// How many files live.
    pub fn alive(&self) -> usize {
        Arc::strong_count(&self.0.alive) - 1
    }
}

impl SimEventfd {
    /// As its user reads it.
    pub fn state(&self) -> State {
        *self.0.state.lock()
    }

    /// As its user changes it.
    pub fn set(&self, state: State) {
        *self.0.state.lock() = state;
    }
}

impl Port for SimHost {
    type File = SimEventfd;

    fn identity(&self, file: &SimEventfd) -> Identity {
        Identity(file.0.number.into())
    }

    fn sort(&self, file: &SimEventfd) -> Result<Sort, HostError> {
        Ok(match file.0.guise {
            Guise::Ordinary => Sort::Ours,
            Guise::Locked => Sort::Unfit { reason: "it is locked".into() },
            Guise::Stranger => Sort::Other,
        })
    }

    fn look(&self, file: &SimEventfd) -> Result<State, HostError> {
        self.0.fuse.call("look")?;
        Ok(file.state())
    }

    fn make(&self, state: State) -> Result<SimEventfd, HostError> {
        self.0.fuse.call("make")?;
        Ok(self.create(state))
    }
}
