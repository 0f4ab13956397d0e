//! The one lock of the machine: the host's where there is `std`, a spinning one where there is not.

#[cfg(feature = "std")]
pub(super) use parking_lot::Mutex;
#[cfg(not(feature = "std"))]
pub(super) use spin::Mutex;
