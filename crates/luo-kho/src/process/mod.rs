//! The real backend, for programs on Linux: frames are memory of file descriptors.
//!
//! - The **arena** is a memfd of frames: its first is a header, the others hold the tracker, the records of the layers
//!   above, and pages that had to be copied. Frame numbers count from its start.
//! - A **segment** is the memory of another file, attached so that its pages have frame numbers (above the arena's)
//!   without being moved.
//! - The **word page** is a memfd of one page with the ownership word. Everybody who takes part maps it.
//! - [`ProcessKho`] is a program's view of all that: of fresh memory, as its owner, or of memory on offer.
//!
//! - A **carrier** takes the descriptors across: [`Exec`] to a program that replaces this one in its process, [`Socket`] to
//!   one that was started beforehand. What arrives there is an [`Arrival`].
//!
//! Handing over means carrying these descriptors. The old side writes nothing once its offer stands; the new side reads
//! nothing before, and maps the arena read-only until it has committed. So the bytes never have two writers, and
//! "hostile bytes" means bytes at rest.

mod arena;
mod arrival;
pub mod control;
mod door;
mod error;
pub mod exec;
mod kho;
mod line;
mod memfd;
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
