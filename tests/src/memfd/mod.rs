//! What the scenarios about memfds share: hosts that fail, files of every sort, and memory of descriptors that changes
//! hands within one process.

mod flaky;
#[cfg(target_os = "linux")]
mod ground;
#[cfg(target_os = "linux")]
mod real;
mod simulated;
#[cfg(target_os = "linux")]
mod update;

#[cfg(target_os = "linux")]
pub use ground::{InProcess, ProcessGround};
#[cfg(target_os = "linux")]
pub use real::{RealFixture, contents, portrait};
pub use simulated::{Portrait, SimFixture, WriteLog};
#[cfg(target_os = "linux")]
pub use update::{Crossed, MemfdUpdate, Way, update};
