//! A host with memfds that fails when it is told to.

use std::ops::Range;

use luo_core::Identity;
use luo_kho::{FrameCount, FrameRange, KhoError, Memory};
use luo_memfd::{Attributes, HostError, MemfdError, Name, Port, Sort};

use crate::flaky::{Flaky, of_memory};

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
        self.fuse.call("attach").map_err(of_memory)?;
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
