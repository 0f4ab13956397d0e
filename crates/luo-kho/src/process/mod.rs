//! The real backend, for programs on Linux: frames are memory of file descriptors.
//!
//! - The **arena** is a memfd of frames: its first is a header, the others hold the tracker, the records of the layers
//!   above, and pages that had to be copied. Frame numbers count from its start.
//! - A **segment** is the memory of another file, attached so that its pages have frame numbers (above the arena's)
//!   without being moved.
//! - The **word page** is a memfd of one page with the ownership word. Everybody who takes part maps it.
//! - [`ProcessKho`] is a program's view of all that: of fresh memory, as its owner, or of memory on offer.
//!
//! - A **carrier** takes the descriptors across: [`Exec`] to a program that replaces this one in its process,
//!   [`Socket`] to one that was started beforehand. What arrives there is an [`Arrival`].
//!
//! Handing over means carrying these descriptors. The old side writes nothing once its offer stands; the new side reads
//! nothing before, and maps the arena read-only until it has committed. So the bytes never have two writers, and
//! "hostile bytes" means bytes at rest.
//!
//! # An update over a socket
//!
//! Both programs in one, for the sake of the example. What `luo-core` does between the lines is done by hand.
//!
//! ```
//! use std::os::fd::AsFd as _;
//! use std::thread;
//!
//! use luo_kho::carrier::Carrier as _;
//! use luo_kho::ownership::{self, Offer};
//! use luo_kho::process::{self, ProcessKho, Socket, Terms};
//! use luo_kho::{ByteLen, Kho as _};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//! # let place = std::env::temp_dir().join(format!("luo-example-{}", std::process::id()));
//! # let guest = rustix::fs::memfd_create("guest", rustix::fs::MemfdFlags::CLOEXEC)?;
//! # rustix::fs::ftruncate(&guest, 1 << 20)?;
//! // The old program owns fresh memory; the guest's file is attached, not copied.
//! let mut old = ProcessKho::create(process::DEFAULT_CAPACITY)?;
//! let owned = ownership::found(&mut old)?;
//! let segment = process::attach(&mut old, guest.as_fd(), ByteLen::new(1 << 20).frames())?;
//! let mut socket = Socket::bind(&place)?;
//!
//! // The new program calls, warms up, and waits for the offer.
//! let new = thread::spawn(move || -> Result<_, Box<dyn std::error::Error + Send + Sync>> {
//!     let arrival = process::connect(place, b"manifest", Terms::default())?;
//!     let (mut new, _answer) = arrival.adopt()?;
//!     let offer = Offer::from_word(new.word()?).ok_or("nothing is on offer")?;
//!     let owned = ownership::commit(&mut new, offer)?;
//!     let guest = process::attached(&new, segment)?;
//!     Ok((new, owned, guest))
//! });
//! assert_eq!(socket.await_successor()?, b"manifest");
//! socket.prepare(&mut old)?;
//!
//! // The guest is stopped here, and goes on there.
//! let offer = ownership::offer(&mut old, owned).map_err(|kept| kept.error)?;
//! let _departed = socket.hand_over(&mut old, offer)?;
//! let (new, _owned, guest) = new.join().unwrap()?;
//! assert_eq!(new.generation(), 1);
//! # drop(guest);
//! # Ok(())
//! # }
//! ```

mod arena;
mod arrival;
pub mod control;
mod door;
mod error;
pub mod exec;
mod kho;
mod line;
mod memfd;
mod named;
mod segment;
pub mod socket;
mod terms;
mod waybill;

use alloc::borrow::Cow;

pub use arrival::{Answer, Arrival, ArrivalError, WayBack};
pub use control::{Control, Request};
pub use error::OpenError;
pub use exec::{Exec, arrive};
pub use kho::{Carried, DEFAULT_CAPACITY, Lent, ProcessKho};
pub use line::{LineError, Listener};
pub use segment::{SegmentFile, attach, attached};
pub use socket::{Socket, connect};
pub use terms::Terms;

use crate::carrier::{Conveyance, DescriptorKind};

/// What the carriers of this backend can take: every descriptor, except those that work only in the address space that
/// made them.
fn conveys(kind: DescriptorKind) -> Conveyance {
    match kind.0 {
        // KVM answers EIO to every ioctl of another address space (Linux 6.18).
        "kvm-vm" | "kvm-vcpu" => Conveyance::Refused {
            reason: Cow::Borrowed("KVM lets only the address space that made it use it"),
        },
        _ => Conveyance::ByReference,
    }
}
