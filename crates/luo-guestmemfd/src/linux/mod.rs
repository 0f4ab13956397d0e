//! The guest_memfds of this process's kernel, by way of `/dev/kvm`.
//!
//! - A [`Vm`] is a descriptor of a virtual machine that several holders share.
//! - A [`GuestMemfd`] is a guest_memfd with what was told of it.
//! - [`Slots`] are the slots of a machine in which its guest sees a file: by the file itself where the file was made
//!   for the machine, and by the address of a mapping where it was made for another.
//!
//! ```
//! use luo_guestmemfd::linux::{Slots, Vm};
//! use luo_guestmemfd::{Binding, Flags, GuestMemfd, supported};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! if supported().is_err() {
//!     return Ok(()); // this machine has no /dev/kvm, or its kernel no guest_memfds
//! }
//! let old = Vm::create()?;
//! let file = GuestMemfd::create(&old, 512, Flags::OPEN)?;
//! file.told().bind(Binding { slot: 0, frame: 0, page: 0, count: 512 })?;
//! let slots = Slots::make(&old, &file)?;
//!
//! // A successor has the file, and a machine of its own.
//! let new = Vm::create()?;
//! let again = Slots::make(&new, &file)?;
//! assert_eq!((slots.are_native(), again.are_native()), (true, false));
//! # Ok(())
//! # }
//! ```

mod door;
mod file;
mod port;
mod spread;
mod vm;
mod window;

pub use door::Slots;
pub use file::GuestMemfd;
pub use port::Linux;
pub use vm::{Vm, supported};
pub use window::Window;
