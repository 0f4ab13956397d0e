//! A host that fails when it is told to, around any other.

use std::ops::Range;
use std::sync::Arc;

use luo_core::{Identity, Refusal};
use luo_guestmemfd::{Facts, GuestMemfdError, HostError, Look, Port, Sort, VmType};
use luo_kho::{FrameCount, FrameRange, KhoError, Memory};

use crate::memfd::Fuse;

/// "Too many open files": what an injected failure says.
const EMFILE: i32 = 24;

/// A port whose calls fail by the fuse. Those that undo do not.
#[derive(Debug)]
pub struct Flaky<P> {
    inner: P,
    fuse: Fuse,
}

impl<P> Flaky<P> {
    /// This host, with this fuse.
    pub fn new(inner: P, fuse: Fuse) -> Self {
        Self { inner, fuse }
    }

    fn call(&self, call: &'static str) -> Result<(), HostError> {
        if self.fuse.blows() { Err(HostError { call, errno: EMFILE }) } else { Ok(()) }
    }
}

impl<P: Port> Port for Flaky<P> {
    type Vm = P::Vm;
    type File = P::File;
    type Reader = P::Reader;
    type Draft = P::Draft;

    fn vm_identity(&self, vm: &P::Vm) -> Identity {
        self.inner.vm_identity(vm)
    }

    fn vm_type(&self, vm: &P::Vm) -> VmType {
        self.inner.vm_type(vm)
    }

    fn make_vm(&self, of: VmType) -> Result<P::Vm, Refusal> {
        self.call("make_vm").map_err(Refusal::new)?;
        self.inner.make_vm(of)
    }

    fn identity(&self, file: &P::File) -> Identity {
        self.inner.identity(file)
    }

    fn sort(&self, file: &P::File) -> Result<Sort, HostError> {
        self.call("sort")?;
        self.inner.sort(file)
    }

    fn look(&self, file: &P::File) -> Result<Look, HostError> {
        self.call("look")?;
        self.inner.look(file)
    }

    fn facts(&self, file: &P::File) -> Arc<Facts> {
        self.inner.facts(file)
    }

    fn vm(&self, file: &P::File) -> Option<P::Vm> {
        self.inner.vm(file)
    }

    fn attach(
        &self,
        file: &P::File,
        memory: &mut dyn Memory,
        frames: FrameCount,
    ) -> Result<FrameRange, KhoError> {
        let failed = |HostError { call, errno }| KhoError::Host { call, errno };
        self.call("attach").map_err(failed)?;
        self.inner.attach(file, memory, frames)
    }

    fn attached(
        &self,
        memory: &dyn Memory,
        segment: FrameRange,
        vm: Option<P::Vm>,
        facts: Facts,
        close_on_exec: bool,
    ) -> Result<P::File, GuestMemfdError> {
        self.call("attached")?;
        self.inner.attached(memory, segment, vm, facts, close_on_exec)
    }

    fn open(&self, file: &P::File) -> Result<P::Reader, HostError> {
        self.call("open")?;
        self.inner.open(file)
    }

    fn present(&self, reader: &P::Reader) -> Result<Vec<Range<u64>>, HostError> {
        self.call("present")?;
        self.inner.present(reader)
    }

    fn touch(&self, reader: &P::Reader, pages: Range<u64>) -> Result<(), GuestMemfdError> {
        self.call("touch")?;
        self.inner.touch(reader, pages)
    }

    fn read(&self, reader: &P::Reader, page: u64, bytes: &mut [u8]) -> Result<(), GuestMemfdError> {
        self.call("read")?;
        self.inner.read(reader, page, bytes)
    }

    fn draft(&self, vm: &P::Vm, facts: &Facts) -> Result<P::Draft, HostError> {
        self.call("draft")?;
        self.inner.draft(vm, facts)
    }

    fn write(&self, draft: &P::Draft, page: u64, bytes: &[u8]) -> Result<(), HostError> {
        self.call("write")?;
        self.inner.write(draft, page, bytes)
    }

    fn transfer(&self, from: &P::Reader, to: &P::Draft, pages: Range<u64>) -> Result<(), GuestMemfdError> {
        self.call("transfer")?;
        self.inner.transfer(from, to, pages)
    }

    fn complete(
        &self,
        draft: P::Draft,
        vm: Option<P::Vm>,
        facts: Facts,
        close_on_exec: bool,
    ) -> Result<P::File, HostError> {
        self.call("complete")?;
        self.inner.complete(draft, vm, facts, close_on_exec)
    }

    fn bytes_per_second(&self) -> u64 {
        self.inner.bytes_per_second()
    }
}
