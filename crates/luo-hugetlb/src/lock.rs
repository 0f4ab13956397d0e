//! The one lock of this crate: the host's where there is `std`, a spinning one where there is not.

#[cfg(feature = "std")]
pub(crate) use parking_lot::Mutex;
#[cfg(not(feature = "std"))]
pub(crate) use spin::Mutex;
