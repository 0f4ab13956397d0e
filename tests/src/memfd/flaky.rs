//! A host that fails when it is told to, around any other.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use luo_core::Identity;
use luo_kho::{FrameCount, FrameRange, KhoError, Memory};
use luo_memfd::{Attributes, HostError, MemfdError, Name, Port, Sort};

/// "Too many open files": what an injected failure says.
const EMFILE: i32 = 24;
const UNARMED: u64 = u64::MAX;

/// Calls that succeed before one fails. Clones are the same.
#[derive(Clone, Debug)]
pub struct Fuse(Arc<(AtomicU64, AtomicBool)>);

/// A port whose calls fail by the fuse. Those that undo do not.
#[derive(Debug)]
pub struct Flaky<P> {
    inner: P,
    fuse: Fuse,
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
    pub(crate) fn blows(&self) -> bool {
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

impl<P: Port> Port for Flaky<P> {
    type File = P::File;
    type Reader = P::Reader;
    type Draft = P::Draft;

    fn identity(&self, file: &P::File) -> Identity {
        self.inner.identity(file)
    }

    fn sort(&self, file: &P::File) -> Result<Sort, HostError> {
        self.fuse.call("sort")?;
        self.inner.sort(file)
    }

    fn look(&self, file: &P::File) -> Result<Attributes, HostError> {
        self.fuse.call("look")?;
        self.inner.look(file)
    }

    fn name(&self, file: &P::File) -> Result<Name, HostError> {
        self.fuse.call("name")?;
        self.inner.name(file)
    }

    fn bonds(&self, file: &P::File) -> Result<Option<&'static str>, HostError> {
        self.fuse.call("bonds")?;
        self.inner.bonds(file)
    }

    fn attach(
        &self,
        file: &P::File,
        memory: &mut dyn Memory,
        frames: FrameCount,
    ) -> Result<FrameRange, KhoError> {
        let failed = |HostError { call, errno }| KhoError::Host { call, errno };
        self.fuse.call("attach").map_err(failed)?;
        self.inner.attach(file, memory, frames)
    }

    fn attached(
        &self,
        memory: &dyn Memory,
        segment: FrameRange,
        wanted: &Attributes,
    ) -> Result<P::File, MemfdError> {
        self.fuse.call("attached")?;
        self.inner.attached(memory, segment, wanted)
    }

    fn arrival<'f>(&self, file: &'f P::File) -> Option<&'f Attributes> {
        self.inner.arrival(file)
    }

    fn amend(&self, file: &P::File, is: &Attributes, shall: &Attributes) {
        self.inner.amend(file, is, shall);
    }

    fn open(&self, file: &P::File) -> Result<P::Reader, HostError> {
        self.fuse.call("open")?;
        self.inner.open(file)
    }

    fn next_data(&self, reader: &P::Reader, from: u64) -> Result<Option<Range<u64>>, HostError> {
        self.fuse.call("next_data")?;
        self.inner.next_data(reader, from)
    }

    fn read(&self, reader: &P::Reader, at: u64, bytes: &mut [u8]) -> Result<(), HostError> {
        self.fuse.call("read")?;
        self.inner.read(reader, at, bytes)
    }

    fn draft(&self, name: &Name, wanted: &Attributes) -> Result<P::Draft, HostError> {
        self.fuse.call("draft")?;
        self.inner.draft(name, wanted)
    }

    fn write(&self, draft: &P::Draft, at: u64, bytes: &[u8]) -> Result<(), HostError> {
        self.fuse.call("write")?;
        self.inner.write(draft, at, bytes)
    }

    fn complete(&self, draft: P::Draft, wanted: &Attributes) -> Result<P::File, HostError> {
        self.fuse.call("complete")?;
        self.inner.complete(draft, wanted)
    }
}
