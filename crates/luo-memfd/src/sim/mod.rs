//! A simulated host: memfds whose contents are files of the simulated machine
//! ([`SimFile`](luo_kho::sim::SimFile)), without an operating system.
//!
//! - An **inode** has contents, a name, seals, mode, owner and locks. All references share it.
//! - An **opening** has a position, status flags and an access. Clones of a [`SimMemfd`] share it, as duplicates of a
//!   descriptor do; [`SimMemfd::reopen`] makes another one.
//!
//! Both sides of an update are on one [`SimHost`]. It can be told to fail a call, and counts what lives on it.

mod memfd;
mod port;

use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, Ordering};

use luo_descriptor::sim::Fuse;
pub use memfd::SimMemfd;
pub use port::SimDraft;

use crate::HostError;
use memfd::Guise;

/// A simulated host. Clones are the same host.
#[derive(Clone, Debug, Default)]
pub struct SimHost(Arc<Host>);

#[derive(Debug, Default)]
struct Host {
    fuse: Fuse,
    forgets_modes: AtomicBool,
    /// Everything that lives on the host holds one.
    alive: Arc<()>,
}

impl SimHost {
    /// A host without files.
    pub fn new() -> Self {
        Self::default()
    }

    /// A new memfd, as `memfd_create` makes it: empty, mode 0o777, readable and writable, closed on exec; seals can be
    /// added.
    ///
    /// # Panics
    ///
    /// If the name is too long, or holds a NUL.
    pub fn memfd(&self, name: &str) -> SimMemfd {
        SimMemfd::create(self, name, Guise::Memfd)
    }

    /// A file that has a name in a file system in memory.
    ///
    /// # Panics
    ///
    /// As [`memfd`](Self::memfd).
    pub fn linked_file(&self, name: &str) -> SimMemfd {
        SimMemfd::create(self, name, Guise::Linked)
    }

    /// Something that is nothing like a memfd.
    pub fn pipe(&self) -> SimMemfd {
        SimMemfd::create(self, "pipe", Guise::Pipe)
    }

    /// From now on the call with number `nth`, from 0, fails, once. Users' own calls are not counted.
    pub fn arm(&self, nth: u64) {
        self.0.fuse.arm(nth);
    }

    /// No call fails any more. Whether one did since [`arm`](Self::arm).
    pub fn disarm(&self) -> bool {
        self.0.fuse.disarm()
    }

    /// How many calls a handler has made.
    pub fn calls(&self) -> u64 {
        self.0.fuse.calls()
    }

    /// How many inodes, openings and descriptors live.
    pub fn alive(&self) -> usize {
        Arc::strong_count(&self.0.alive) - 1
    }

    /// From now on the mode of a new file stays what it was made with, whatever is asked for: as where a kernel takes
    /// bits out of it without a word.
    pub fn forget_modes(&self) {
        self.0.forgets_modes.store(true, Ordering::Relaxed);
    }

    fn token_of_life(&self) -> Arc<()> {
        Arc::clone(&self.0.alive)
    }

    /// One call of a handler begins.
    fn call(&self, call: &'static str) -> Result<(), HostError> {
        self.0.fuse.call(call)
    }
}
