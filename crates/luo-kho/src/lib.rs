#![doc = include_str!("../README.md")]
#![no_std]
// Stay as low as possible, and say nothing on the user's terminal.
#![warn(
    clippy::alloc_instead_of_core,
    clippy::std_instead_of_alloc,
    clippy::std_instead_of_core,
    clippy::print_stdout
)]

#[cfg(not(target_pointer_width = "64"))]
compile_error!("luo-kho needs a 64-bit target: frame numbers and lengths are indexes");

extern crate alloc;
#[cfg(any(feature = "std", test))]
extern crate std;

mod units;
mod error;
mod memory;
pub mod ownership;
pub mod checksum;
mod ranges;
mod claims;
#[cfg(test)]
mod bare;
pub mod tracker;
mod block;
mod undo;
mod boxed;
mod array;
pub mod carrier;
pub mod sim;
#[cfg(all(feature = "process", target_os = "linux"))]
pub mod process;

pub use array::PreservedArray;
pub use boxed::{Name, PreservedBox, Record};
pub use error::{BadBlock, KhoError, StoreError};
pub use memory::{Generation, Kho, Memory, Root};
pub use ownership::{Departed, Offer, Owned, Word};
pub use units::{
    ByteLen, FRAME_BYTES, FRAME_SHIFT, FRAME_SIZE, FrameCount, FrameRange, ORDER_MAX, Order, PFN_END, Pfn,
    PhysAddr,
};
