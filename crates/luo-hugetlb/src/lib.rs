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

mod page_size;
mod place;
mod pool;
mod port;
mod lock;
mod options;
mod error;
mod judge;
mod preserve;
mod preserved;
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

pub use copy::Strandings;
pub use error::HugetlbError;
pub use handler::HugetlbFiles;
pub use judge::{DESCRIPTOR, STAND_IN};
#[cfg(all(feature = "std", target_os = "linux"))]
pub use linux::{HugetlbFile, Linux, Loan, LoanError};
pub use luo_core::{CopyWhen, PayloadError};
pub use luo_descriptor::{
    Access, Attributes, BLOCK_BYTES, HostError, MODE_BITS, Mismatch, Moment, NAME_MAX, Name, Owner, Seals,
    Status, Times,
};
pub use options::{Direction, FreeTo, HeadRoom, Progress};
pub use page_size::PageSize;
pub use place::{PATH_BYTES_MAX, Path, Place};
pub use pool::{Need, Node, NodeCount, NodePages, Placement, Pool, Run, Shortage};
pub use port::{Port, Sort};
pub use preserve::Held;
pub use preserved::{CountPages, NodeBoot, PreservedPages, boot, kind as counted_kind};
