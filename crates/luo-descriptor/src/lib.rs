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

mod attributes;
mod error;
pub mod wire;
mod arrival;
#[cfg(all(feature = "std", target_os = "linux"))]
pub mod linux;
pub mod sim;

pub use arrival::Mismatch;
pub use attributes::{
    Access, Attributes, BLOCK_BYTES, MODE_BITS, Moment, NAME_MAX, Name, Owner, Seals, Status, Times,
};
pub use error::HostError;
