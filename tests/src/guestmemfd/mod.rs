//! What the scenarios about guest_memfds share: files of every sort, a host that fails, an embedder that exports
//! private memory, and one update from preserve to finish.

mod crossing;
mod flaky;
mod machines;
#[cfg(target_os = "linux")]
mod real;
mod simulated;
mod vault;

pub use crossing::{Crossed, cross};
pub use machines::VmFixture;
#[cfg(target_os = "linux")]
pub use real::{RealFixture, alone, portrait, unsupported};
pub use simulated::{Portrait, SimFixture};
pub use vault::Vault;
