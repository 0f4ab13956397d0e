//! What the scenarios share: a host that can be updated inside a test.
//!
//! - A [`Host`] is a simulated machine with one [`Guest`], and a [`Journal`] of everything that participants are asked.
//! - A [`Build`] is a program as it was compiled. [`Host::found`] starts the first [`Program`]; a [`Successor`] takes
//!   over from it.
//! - A [`SimFile`] is a file; its [handler](Keeper) copies it. [`Pool`]s are shared by files; [`Vcpus`] are a
//!   subsystem.
//!
//! A scenario is a few lines:
//!
//! ```
//! use luo_tests::{Build, By, Host};
//!
//! let host = Host::new();
//! let mut old = host.found(&Build::standard());
//! old.preserve("vm", 0x1A, &host.note("hello kexec world"));
//! let mut new = old.update(By::Kexec, &Build::standard());
//! assert_eq!(new.retrieve("vm", 0x1A).unwrap().bytes(), b"hello kexec world");
//! new.finish().unwrap().assert_clean();
//! ```
#![expect(clippy::missing_panics_doc, reason = "what goes wrong in a test panics")]

mod journal;
mod file;
mod payload;
mod mischief;
mod keeper;
mod pool;
mod vcpus;
mod build;
mod guest;
mod host;
mod flaky;
mod program;
mod promises;
pub mod story;
pub mod sim;
pub mod hostile;
pub mod echo;
pub mod laws;
pub mod memfd;
pub mod guestmemfd;
pub mod hugetlb;
#[cfg(target_os = "linux")]
pub mod journey;
#[cfg(target_os = "linux")]
pub mod actor;

pub use build::{Build, NOTE, POOL, VCPUS};
pub use file::{Contents, NO_COPY, Pin, STAYS, SimFile};
pub use flaky::{Flaky, Fuse};
pub use guest::Guest;
pub use host::{By, Host, assert_no_frames, carrier, frame_count, nobody, refused, session};
pub use journal::{Act, Entry, Journal, Pen, Planned, PlannedPanic, ProgramId, Who};
pub use keeper::{Held, Keeper, LATE, LIAR, NAUGHTY, SIM_FILE, Speech, TWIN};
pub use payload::{DEPENDENCIES_MAX, FileRecord, bytes_of, words_of};
pub use pool::{Pool, PoolMaker, Share};
pub use program::{Arrived, Program, Successor};
pub use vcpus::{VcpuSaver, Vcpus};
