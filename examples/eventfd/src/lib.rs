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

mod state;
mod port;
mod error;
mod judge;
mod preserve;
mod prepare;
mod freeze;
mod abi;
mod retrieve;
mod discard;
mod handler;
pub mod sim;
#[cfg(all(feature = "std", target_os = "linux"))]
pub mod linux;

pub use error::EventfdError;
pub use handler::Eventfds;
pub use judge::DESCRIPTOR;
#[cfg(all(feature = "std", target_os = "linux"))]
pub use linux::{Eventfd, Linux};
pub use luo_descriptor::HostError;
pub use port::{Port, Sort};
pub use preserve::Held;
pub use state::State;
