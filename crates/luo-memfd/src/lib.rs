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

mod port;
mod options;
mod error;
mod judge;
mod preserve;
mod copy;
mod prepare;
mod freeze;
mod abi;
mod retrieve;
mod finish;
mod discard;
mod handler;
pub mod sim;
#[cfg(all(feature = "std", target_os = "linux"))]
pub mod linux;

pub use error::MemfdError;
pub use handler::Memfds;
pub use judge::DESCRIPTOR;
#[cfg(all(feature = "std", target_os = "linux"))]
pub use linux::{Linux, Memfd};
pub use luo_core::{CopyWhen, PayloadError};
pub use luo_descriptor::{
    Access, Attributes, BLOCK_BYTES, HostError, MODE_BITS, Mismatch, Moment, NAME_MAX, Name, Owner, Seals,
    Status, Times,
};
pub use options::{Direction, DirtyLog, HeadRoom, Progress};
pub use port::{Port, Sort};
pub use preserve::Held;
