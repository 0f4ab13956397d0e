#![doc = include_str!("../README.md")]
#![no_std]
// Stay as low as possible, and say nothing on the user's terminal.
#![warn(
    clippy::alloc_instead_of_core,
    clippy::std_instead_of_alloc,
    clippy::std_instead_of_core,
    clippy::print_stdout
)]

extern crate alloc;
#[cfg(any(feature = "std", test))]
extern crate std;

mod lock;
mod facts;
mod sharing;
mod port;
mod private;
mod options;
mod error;
mod judge;
mod preserve;
mod copy;
mod prepare;
mod freeze;
mod abi;
mod retrieve;
mod discard;
mod handler;
mod vms;
pub mod sim;
#[cfg(all(feature = "std", target_os = "linux"))]
pub mod linux;

pub use abi::RecordError;
pub use error::GuestMemfdError;
pub use facts::{BINDINGS_MAX, Binding, FRAMES_END, Facts, Flags, Sharing, TellError, Told};
pub use handler::GuestMemfds;
pub use judge::DESCRIPTOR;
#[cfg(all(feature = "std", target_os = "linux"))]
pub use linux::{GuestMemfd, Linux, Vm, supported};
pub use luo_descriptor::HostError;
pub use options::Retrieve;
pub use port::{Look, Port, Sort};
pub use preserve::Held;
pub use private::PrivateMemory;
pub use sharing::{RUNS_MAX, SharingMap};
pub use vms::{VM_DESCRIPTOR, VmType, Vms};
