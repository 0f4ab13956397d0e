//! The host is Linux. All calls go through `rustix`; nothing here is unsafe.
//!
//! - [`Memfd`] is a descriptor that several holders share.
//! - [`Linux`] is the port: what the handler asks the kernel for.
//! - What belongs to an open file is found under `/proc/self/fd`: its name, and a second way to it with a position of
//!   its own. Without `/proc` no memfd is taken.
//!
//! ```no_run
//! use luo_core::{Luo, Registry, SessionName, Token};
//! use luo_kho::process::{DEFAULT_CAPACITY, ProcessKho};
//! use luo_memfd::{Linux, Memfd, Memfds};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut registry = Registry::new();
//! registry.handler(Memfds::new(Linux::new()))?;
//! let memory = ProcessKho::create(DEFAULT_CAPACITY)?;
//! let (mut luo, owned) = Luo::found(memory, registry).map_err(|stuck| stuck.error)?;
//!
//! let guest = Memfd::create("guest", 4 << 30)?; // or Memfd::from(fd)
//! let session = SessionName::new("vm-42")?;
//! luo.open_session(session)?;
//! luo.preserve(session, Token(0), guest)?;
//! // The successor: let guest: Memfd = adopted.retrieve(session, Token(0))?;
//! # drop(owned);
//! # Ok(())
//! # }
//! ```

mod memfd;
mod port;
#[cfg(feature = "vm-memory")]
mod guest;

use std::sync::OnceLock;

#[cfg(feature = "vm-memory")]
pub use guest::{GuestError, GuestLayout, Placed};
pub use memfd::Memfd;
use rustix::fs::{MemfdFlags, fstat, memfd_create};

use luo_descriptor::linux::failed;

use crate::HostError;

/// The port of this process's kernel.
#[derive(Debug, Default)]
pub struct Linux {
    /// The device number of the file system in which the kernel keeps memfds. Mounted ones have others.
    device: OnceLock<u64>,
}

impl Linux {
    /// Asks nothing of the kernel yet.
    pub const fn new() -> Self {
        Self { device: OnceLock::new() }
    }

    /// Where memfds live: a probe tells.
    fn device(&self) -> Result<u64, HostError> {
        if let Some(device) = self.device.get() {
            return Ok(*device);
        }
        // Whatever the administrator thinks of executable memfds, one of these two can be made.
        let make = |flags| memfd_create("luo-probe", MemfdFlags::CLOEXEC | flags);
        let probe = make(MemfdFlags::NOEXEC_SEAL).or_else(|_| make(MemfdFlags::empty()));
        let probe = probe.map_err(failed("memfd_create"))?;
        let device = fstat(probe).map_err(failed("fstat"))?.st_dev;
        Ok(*self.device.get_or_init(|| device))
    }
}
