//! Hosts that fail when they are told to, around any others: what of that is the same for every sort of file.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use luo_kho::KhoError;
use luo_memfd::HostError;

/// "Too many open files": what an injected failure says.
const EMFILE: i32 = 24;
const UNARMED: u64 = u64::MAX;

/// Calls that succeed before one fails. Clones are the same.
#[derive(Clone, Debug)]
pub struct Fuse(Arc<(AtomicU64, AtomicBool)>);

/// A port whose calls fail by the fuse. Those that undo do not.
#[derive(Debug)]
pub struct Flaky<P> {
    pub(crate) inner: P,
    pub(crate) fuse: Fuse,
}

impl Default for Fuse {
    fn default() -> Self {
        Self(Arc::new((AtomicU64::new(UNARMED), AtomicBool::new(false))))
    }
}

impl Fuse {
    /// From now on call number `nth`, from 0, fails, once.
    pub fn arm(&self, nth: u64) {
        self.0.1.store(false, Ordering::Relaxed);
        self.0.0.store(nth, Ordering::Relaxed);
    }

    /// No call fails any more. Whether one did.
    pub fn disarm(&self) -> bool {
        self.0.0.store(UNARMED, Ordering::Relaxed);
        self.0.1.load(Ordering::Relaxed)
    }

    /// One call begins. Whether it is to fail.
    fn blows(&self) -> bool {
        let count = |left: u64| match left {
            UNARMED => None,
            0 => Some(UNARMED),
            left => Some(left - 1),
        };
        let blown = self.0.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, count) == Ok(0);
        if blown {
            self.0.1.store(true, Ordering::Relaxed);
        }
        blown
    }

    pub(crate) fn call(&self, call: &'static str) -> Result<(), HostError> {
        if self.blows() { Err(HostError { call, errno: EMFILE }) } else { Ok(()) }
    }
}

impl<P> Flaky<P> {
    /// This host, with this fuse.
    pub fn new(inner: P, fuse: Fuse) -> Self {
        Self { inner, fuse }
    }
}

/// What preserved memory says of a failure of the host.
pub(crate) fn of_memory(HostError { call, errno }: HostError) -> KhoError {
    KhoError::Host { call, errno }
}
