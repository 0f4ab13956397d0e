//! A host with guest_memfds that fails when it is told to.

use std::ops::Range;
use std::sync::Arc;

use luo_core::{Identity, Refusal};
use luo_guestmemfd::{Facts, GuestMemfdError, HostError, Look, Port, Sort, VmType};
use luo_kho::{FrameCount, FrameRange, KhoError, Memory};

use crate::flaky::{Flaky, of_memory};

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
        self.fuse.call("make_vm").map_err(Refusal::new)?;
        self.inner.make_vm(of)
    }

    fn identity(&self, file: &P::File) -> Identity {
        self.inner.identity(file)
    }

    fn sort(&self, file: &P::File) -> Result<Sort, HostError> {
        self.fuse.call("sort")?;
        self.inner.sort(file)
    }

    fn look(&self, file: &P::File) -> Result<Look, HostError> {
        self.fuse.call("look")?;
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
        self.fuse.call("attach").map_err(of_memory)?;
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
        self.fuse.call("attached")?;
        self.inner.attached(memory, segment, vm, facts, close_on_exec)
    }

    fn open(&self, file: &P::File) -> Result<P::Reader, HostError> {
        self.fuse.call("open")?;
        self.inner.open(file)
    }

    fn present(&self, reader: &P::Reader) -> Result<Vec<Range<u64>>, HostError> {
        self.fuse.call("present")?;
        self.inner.present(reader)
    }

    fn touch(&self, reader: &P::Reader, pages: Range<u64>) -> Result<(), GuestMemfdError> {
        self.fuse.call("touch")?;
        self.inner.touch(reader, pages)
    }

    fn read(&self, reader: &P::Reader, page: u64, bytes: &mut [u8]) -> Result<(), GuestMemfdError> {
        self.fuse.call("read")?;
        self.inner.read(reader, page, bytes)
    }

    fn draft(&self, vm: &P::Vm, facts: &Facts) -> Result<P::Draft, HostError> {
        self.fuse.call("draft")?;
        self.inner.draft(vm, facts)
    }

    fn write(&self, draft: &P::Draft, page: u64, bytes: &[u8]) -> Result<(), HostError> {
        self.fuse.call("write")?;
        self.inner.write(draft, page, bytes)
    }

    fn transfer(&self, from: &P::Reader, to: &P::Draft, pages: Range<u64>) -> Result<(), GuestMemfdError> {
        self.fuse.call("transfer")?;
        self.inner.transfer(from, to, pages)
    }

    fn complete(
        &self,
        draft: P::Draft,
        vm: Option<P::Vm>,
        facts: Facts,
        close_on_exec: bool,
    ) -> Result<P::File, HostError> {
        self.fuse.call("complete")?;
        self.inner.complete(draft, vm, facts, close_on_exec)
    }

    fn bytes_per_second(&self) -> u64 {
        self.inner.bytes_per_second()
    }
}
