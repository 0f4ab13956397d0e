//! A simulated host: virtual machines without vCPUs, and guest_memfds whose contents are files of the simulated machine
//! ([`SimFile`](luo_kho::sim::SimFile)), without an operating system.
//!
//! - An **inode** is the memory. Several files, of several machines, may be of one inode.
//! - A [`SimGuestMemfd`] is a file with what was told of it. Clones share that.
//!
//! Both sides of an update are on one [`SimHost`]. It can be told to fail a call, and counts what lives on it.

mod file;
mod port;

use alloc::sync::Arc;
use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};

pub use file::SimGuestMemfd;
use luo_descriptor::sim::Fuse;
pub use port::SimDraft;

use crate::{Flags, HostError, VmType};

/// A simulated host. Clones are the same host.
#[derive(Clone, Debug, Default)]
pub struct SimHost(Arc<Host>);

/// A simulated virtual machine. Clones are the same machine.
#[derive(Clone)]
pub struct SimVm(Arc<Machine>);

struct Machine {
    vm_type: VmType,
    number: u64,
    _alive: Arc<()>,
}

#[derive(Debug, Default)]
struct Host {
    fuse: Fuse,
    machines: AtomicU64,
    /// Everything that lives on the host holds one.
    alive: Arc<()>,
}

impl SimHost {
    /// A host without machines and files.
    pub fn new() -> Self {
        Self::default()
    }

    /// A new virtual machine.
    pub fn vm(&self, vm_type: VmType) -> SimVm {
        let number = self.0.machines.fetch_add(1, Ordering::Relaxed);
        SimVm(Arc::new(Machine { vm_type, number, _alive: self.token_of_life() }))
    }

    /// A new guest_memfd of so many pages, closed on exec; serving `vm`, or nobody that was told.
    pub fn guest_memfd(&self, vm: Option<&SimVm>, pages: u64, flags: Flags) -> SimGuestMemfd {
        SimGuestMemfd::create(self, vm, pages, flags, true)
    }

    /// Something that is nothing like a guest_memfd.
    pub fn pipe(&self) -> SimGuestMemfd {
        SimGuestMemfd::create(self, None, 1, Flags::NONE, false)
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

    /// How many inodes, files and machines live.
    pub fn alive(&self) -> usize {
        Arc::strong_count(&self.0.alive) - 1
    }

    fn token_of_life(&self) -> Arc<()> {
        Arc::clone(&self.0.alive)
    }

    /// One call of a handler begins.
    fn call(&self, call: &'static str) -> Result<(), HostError> {
        self.0.fuse.call(call)
    }
}

impl SimVm {
    /// What type it was made as.
    pub fn vm_type(&self) -> VmType {
        self.0.vm_type
    }

    /// A number that no other machine of its host has.
    pub fn number(&self) -> u64 {
        self.0.number
    }
}

impl fmt::Debug for SimVm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Machine { vm_type, number, _alive: _ } = &*self.0;
        f.debug_struct("SimVm").field("vm_type", vm_type).field("number", number).finish()
    }
}
