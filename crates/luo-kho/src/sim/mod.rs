//! A simulated machine.
//!
//! [`Machine`] is the machine seen from outside: it can be rebooted, told to fail, and looked into. [`SimKho`] is its
//! memory seen by one program: the tests' own backend, and the reference for every other.
//!
//! - Memory is sparse and copied on write. A machine of 1 TiB costs what is written to it.
//! - A **generation** ends with a committed handover. An exec or a successor process stays within one **boot**;
//!   [`Machine::kexec`] begins the next one, in which every frame that was not handed over holds [`poison`].
//! - The old side writes nothing once its offer stands, and a successor reads nothing before. So the two never share
//!   bytes that change: the offer seals an image, every successor starts from that image, the winner's view is the
//!   machine's memory from then on.
//! - Files are no part of that memory. They can be attached ([`SimFile`]), cross to a successor as they are, and are
//!   gone with the kernel that they lived in.
//! - Everything random comes from the seed of [`MachineConfig`]. The same calls give the same machine.
//!
//! Nothing here reads a clock or starts a thread. A machine may be used from several threads, but calls are numbered
//! in the order in which they come.

mod bank;
mod carriers;
mod config;
mod faults;
mod files;
mod frames;
mod lock;
mod machine;
mod oracle;
mod ram;
mod state;
#[cfg(test)]
mod tests;
mod view;

pub use carriers::{SimExec, SimKexec};
pub use config::{Fragmentation, MachineConfig, NumaNode};
pub use faults::{Call, Counters, Crash, FaultPlan};
pub use files::SimFile;
pub use machine::Machine;
pub use oracle::{Census, Violation};
pub use ram::poison;
pub use state::Party;
pub use view::SimKho;
