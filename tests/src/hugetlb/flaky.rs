//! A host with huge pages that fails when it is told to.

use luo_core::Identity;
use luo_hugetlb::{
    Attributes, HostError, HugetlbError, Node, NodeCount, PageSize, Place, Pool, Port, Run, Sort,
};
use luo_kho::{FrameCount, FrameRange, KhoError, Memory};

use crate::flaky::{Flaky, of_memory};

impl<P: Port> Port for Flaky<P> {
    type File = P::File;
    type Reader = P::Reader;
    type Draft = P::Draft;
    type StandIn = P::StandIn;

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

    fn page_size(&self, file: &P::File) -> Result<PageSize, HostError> {
        self.fuse.call("page_size")?;
        self.inner.page_size(file)
    }

    fn place(&self, file: &P::File) -> Result<Place, HostError> {
        self.fuse.call("place")?;
        self.inner.place(file)
    }

    fn bonds(&self, file: &P::File) -> Result<Option<&'static str>, HostError> {
        self.fuse.call("bonds")?;
        self.inner.bonds(file)
    }

    fn pools(&self) -> Result<Vec<Pool>, HostError> {
        self.fuse.call("pools")?;
        self.inner.pools()
    }

    fn reckon(&self, page_size: PageSize, preserved: &[NodeCount]) {
        self.inner.reckon(page_size, preserved);
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
        place: &Place,
    ) -> Result<P::File, HugetlbError> {
        self.fuse.call("attached")?;
        self.inner.attached(memory, segment, wanted, place)
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

    fn scan(
        &self,
        reader: &P::Reader,
        page_size: PageSize,
        pages: u64,
        kept: u64,
    ) -> Result<Vec<Run>, HugetlbError> {
        self.fuse.call("scan")?;
        self.inner.scan(reader, page_size, pages, kept)
    }

    fn read(&self, reader: &P::Reader, at: u64, bytes: &mut [u8]) -> Result<(), HostError> {
        self.fuse.call("read")?;
        self.inner.read(reader, at, bytes)
    }

    fn draft(
        &self,
        place: &Place,
        page_size: PageSize,
        wanted: &Attributes,
    ) -> Result<P::Draft, HugetlbError> {
        self.fuse.call("draft")?;
        self.inner.draft(place, page_size, wanted)
    }

    fn refill(&self, file: &P::File, page_size: PageSize) -> Result<P::Draft, HostError> {
        self.fuse.call("refill")?;
        self.inner.refill(file, page_size)
    }

    /// Also what takes back.
    fn populate(&self, draft: &P::Draft, page: u64, near: Option<Node>) -> Result<bool, HostError> {
        self.inner.populate(draft, page, near)
    }

    /// Also what takes back.
    fn write(&self, draft: &P::Draft, at: u64, bytes: &[u8]) -> Result<(), HostError> {
        self.inner.write(draft, at, bytes)
    }

    fn free(&self, draft: &P::Draft, run: &Run, shrink: bool) -> Result<bool, HostError> {
        self.fuse.call("free")?;
        self.inner.free(draft, run, shrink)
    }

    fn grow(&self, page_size: PageSize, pages: &[(Node, u64)]) {
        self.inner.grow(page_size, pages);
    }

    fn complete(&self, draft: P::Draft, wanted: &Attributes) -> Result<P::File, HostError> {
        self.fuse.call("complete")?;
        self.inner.complete(draft, wanted)
    }

    fn settle(&self, file: &P::File, place: &Place) {
        self.inner.settle(file, place);
    }

    fn stand_in(&self, size: u64) -> Result<P::StandIn, HostError> {
        self.fuse.call("stand_in")?;
        self.inner.stand_in(size)
    }

    fn attach_stand_in(
        &self,
        stand_in: &P::StandIn,
        memory: &mut dyn Memory,
        frames: FrameCount,
    ) -> Result<FrameRange, KhoError> {
        self.fuse.call("attach_stand_in").map_err(of_memory)?;
        self.inner.attach_stand_in(stand_in, memory, frames)
    }

    fn attached_stand_in(
        &self,
        memory: &dyn Memory,
        segment: FrameRange,
    ) -> Result<P::StandIn, HugetlbError> {
        self.fuse.call("attached_stand_in")?;
        self.inner.attached_stand_in(memory, segment)
    }

    fn keep(&self, stand_in: &P::StandIn, at: u64, bytes: &[u8]) -> Result<(), HostError> {
        self.fuse.call("keep")?;
        self.inner.keep(stand_in, at, bytes)
    }

    /// Also what takes back.
    fn recall(&self, stand_in: &P::StandIn, at: u64, bytes: &mut [u8]) -> Result<(), HostError> {
        self.inner.recall(stand_in, at, bytes)
    }

    fn kept(&self, stand_in: &P::StandIn) -> Result<u64, HostError> {
        self.fuse.call("kept")?;
        self.inner.kept(stand_in)
    }

    fn empty(&self, stand_in: &P::StandIn) {
        self.inner.empty(stand_in);
    }
}
