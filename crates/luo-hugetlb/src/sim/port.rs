//! The port of the simulated host.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::Ordering;

use luo_core::Identity;
use luo_kho::sim::SimFile;
use luo_kho::{FRAME_BYTES, FrameCount, FrameRange, KhoError, Memory};

use super::file::{Guise, Inode, Opening};
use super::{SimHost, SimHuge};
use crate::pool::{NodeCount, Pool, Run};
use crate::port::{Port, Sort};
use crate::{Access, Attributes, HostError, HugetlbError, Node, PageSize, Place, Status};

/// A simulated file that is being filled.
#[derive(Debug)]
pub struct SimDraft(SimHuge);

/// A file of ordinary pages.
#[derive(Clone, Debug)]
pub struct SimStandIn(SimFile);

impl Port for SimHost {
    type File = SimHuge;
    type Reader = SimHuge;
    type Draft = SimDraft;
    type StandIn = SimStandIn;

    fn identity(&self, file: &SimHuge) -> Identity {
        Identity(u128::from(file.file().number()))
    }

    fn sort(&self, file: &SimHuge) -> Result<Sort, HostError> {
        self.call("fstatfs")?;
        Ok(match file.inode().guise {
            Guise::Huge => Sort::Huge,
            Guise::Pipe => Sort::Other,
        })
    }

    fn look(&self, file: &SimHuge) -> Result<Attributes, HostError> {
        self.call("fstat")?;
        Ok(file.attributes())
    }

    fn page_size(&self, file: &SimHuge) -> Result<PageSize, HostError> {
        self.call("fstatfs")?;
        Ok(file.page_size())
    }

    fn place(&self, file: &SimHuge) -> Result<Place, HostError> {
        self.call("readlink")?;
        Ok(file.place())
    }

    fn bonds(&self, file: &SimHuge) -> Result<Option<&'static str>, HostError> {
        self.call("fdinfo")?;
        Ok(file.is_locked().then_some("locks"))
    }

    fn pools(&self) -> Result<Vec<Pool>, HostError> {
        self.call("read(nr_hugepages)")?;
        Ok(self.pools_now())
    }

    fn reckon(&self, page_size: PageSize, preserved: &[NodeCount]) {
        self.0.pools.lock().boot(page_size, preserved);
    }

    fn attach(
        &self,
        file: &SimHuge,
        memory: &mut dyn Memory,
        frames: FrameCount,
    ) -> Result<FrameRange, KhoError> {
        memory.attach(file.file(), frames)
    }

    fn attached(
        &self,
        memory: &dyn Memory,
        segment: FrameRange,
        wanted: &Attributes,
        _: &Place,
    ) -> Result<SimHuge, HugetlbError> {
        self.call("dup")?;
        let file = memory.attached(segment)?.downcast_ref::<SimFile>();
        let file = file.filter(|file| Inode::of(file).is_some()).ok_or(HugetlbError::NotHuge)?;
        let mut found = SimHuge::of(file.clone(), wanted.close_on_exec, None);
        found.inode().move_to(self);
        if found.attributes().access != wanted.access {
            found = found.reopen(wanted.access);
            found.set_close_on_exec(wanted.close_on_exec);
        }
        let arrival = found.attributes();
        Ok(SimHuge::of(found.file().clone(), wanted.close_on_exec, Some(arrival)))
    }

    fn arrival<'f>(&self, file: &'f SimHuge) -> Option<&'f Attributes> {
        file.arrival()
    }

    fn amend(&self, file: &SimHuge, _: &Attributes, shall: &Attributes) {
        file.set_mode(shall.mode);
        file.set_owner(shall.owner);
        file.seek(shall.position);
        file.set_status(shall.status);
        // A file that takes no more seals, or was opened to be read, keeps those it has.
        let _ = file.add_seals(shall.seals);
    }

    fn open(&self, file: &SimHuge) -> Result<SimHuge, HostError> {
        self.call("open")?;
        Ok(file.reopen(Access::Read))
    }

    fn scan(
        &self,
        reader: &SimHuge,
        page_size: PageSize,
        pages: u64,
        _kept: u64,
    ) -> Result<Vec<Run>, HugetlbError> {
        self.call("ioctl(UFFDIO_CONTINUE)")?;
        if let Some(page) = reader.inode().first_poisoned() {
            return Err(HugetlbError::Poisoned { offset: page * page_size.bytes(), page_size });
        }
        let mut runs = reader.runs();
        runs.retain_mut(|run| {
            run.pages.end = run.pages.end.min(pages);
            !run.pages.is_empty()
        });
        Ok(runs)
    }

    fn read(&self, reader: &SimHuge, at: u64, bytes: &mut [u8]) -> Result<(), HostError> {
        self.call("pread")?;
        reader.read_at(at, bytes);
        Ok(())
    }

    fn draft(
        &self,
        place: &Place,
        page_size: PageSize,
        wanted: &Attributes,
    ) -> Result<SimDraft, HugetlbError> {
        self.call("open")?;
        let place = match place {
            Place::Memfd(_) => place.clone(),
            Place::Mounted { mount, .. } => {
                let mut mounts = self.0.mounts.lock();
                let mounted = mounts.get_mut(mount).filter(|mounted| mounted.page_size == page_size);
                let missing = || HugetlbError::NoMount { mount: mount.clone(), page_size };
                let mounted = mounted.ok_or_else(missing)?;
                mounted.next += 1;
                Place::Mounted { mount: mount.clone(), path: None, inode: mounted.next }
            }
        };
        self.call("ftruncate")?;
        let file = SimHuge::create(self, place, page_size, Guise::Huge);
        file.file().resize(wanted.size);
        Ok(SimDraft(file))
    }

    fn refill(&self, file: &SimHuge, _: PageSize) -> Result<SimDraft, HostError> {
        self.call("open")?;
        Ok(SimDraft(file.reopen(Access::ReadWrite)))
    }

    fn populate(&self, draft: &SimDraft, page: u64, near: Option<Node>) -> Result<bool, HostError> {
        self.call("fallocate")?;
        Ok(draft.0.inode().populate(page, near))
    }

    fn write(&self, draft: &SimDraft, at: u64, bytes: &[u8]) -> Result<(), HostError> {
        self.call("mmap")?;
        draft.0.write_at(at, bytes)
    }

    fn free(&self, draft: &SimDraft, run: &Run, shrink: bool) -> Result<bool, HostError> {
        self.call("fallocate(FALLOC_FL_PUNCH_HOLE)")?;
        draft.0.discard(run.pages.clone())?;
        Ok(shrink && self.0.pools.lock().shrink(draft.0.page_size(), run.node))
    }

    fn grow(&self, page_size: PageSize, pages: &[(Node, u64)]) {
        for (node, count) in pages {
            self.0.pools.lock().grow(page_size, *node, *count);
        }
    }

    fn complete(&self, draft: SimDraft, wanted: &Attributes) -> Result<SimHuge, HostError> {
        let SimDraft(file) = draft;
        self.call("fchmod")?;
        if !self.0.forgets_modes.load(Ordering::Relaxed) {
            file.set_mode(wanted.mode);
        }
        file.set_owner(wanted.owner);
        let inode = Arc::clone(file.inode());
        let opening = Opening::new(self, inode, wanted.access, Status::NONE);
        let opened = SimHuge::of(file.file().described(opening), wanted.close_on_exec, None);
        opened.set_status(wanted.status);
        opened.seek(wanted.position);
        self.call("fcntl(F_ADD_SEALS)")?;
        if file.attributes().seals != wanted.seals {
            file.add_seals(wanted.seals)?;
        }
        Ok(opened)
    }

    fn settle(&self, file: &SimHuge, place: &Place) {
        let Place::Mounted { mount, path: Some(path), inode } = place else { return };
        let taken = self.0.mounts.lock().get(mount).and_then(|mounted| mounted.files.get(path).cloned());
        if let Some((number, before)) = taken {
            if number != *inode {
                return;
            }
            if let Some(before) = Inode::of(&before) {
                before.unlink();
            }
        }
        let Place::Mounted { inode: number, .. } = file.place() else { return };
        file.inode().set_place(Place::Mounted {
            mount: mount.clone(),
            path: Some(path.clone()),
            inode: number,
        });
        self.link(mount, path, number, file.file());
    }

    fn stand_in(&self, size: u64) -> Result<SimStandIn, HostError> {
        self.call("memfd_create")?;
        let file = SimFile::new(StandIn { _alive: self.token_of_life() });
        file.resize(size);
        Ok(SimStandIn(file))
    }

    fn attach_stand_in(
        &self,
        stand_in: &SimStandIn,
        memory: &mut dyn Memory,
        frames: FrameCount,
    ) -> Result<FrameRange, KhoError> {
        memory.attach(&stand_in.0, frames)
    }

    fn attached_stand_in(
        &self,
        memory: &dyn Memory,
        segment: FrameRange,
    ) -> Result<SimStandIn, HugetlbError> {
        self.call("dup")?;
        let file = memory.attached(segment)?.downcast_ref::<SimFile>();
        let file = file.filter(|file| file.description::<StandIn>().is_some());
        Ok(SimStandIn(file.ok_or(HugetlbError::NotHuge)?.clone()))
    }

    fn keep(&self, stand_in: &SimStandIn, at: u64, bytes: &[u8]) -> Result<(), HostError> {
        self.call("pwrite")?;
        stand_in.0.write(at, bytes);
        Ok(())
    }

    /// Cannot fail here: it is what takes back.
    fn recall(&self, stand_in: &SimStandIn, at: u64, bytes: &mut [u8]) -> Result<(), HostError> {
        stand_in.0.read(at, bytes);
        Ok(())
    }

    fn kept(&self, stand_in: &SimStandIn) -> Result<u64, HostError> {
        self.call("fstat")?;
        Ok(stand_in.0.pages() * FRAME_BYTES)
    }

    fn empty(&self, stand_in: &SimStandIn) {
        stand_in.0.discard(0..u64::MAX);
    }
}

/// The description of a stand-in.
struct StandIn {
    _alive: Arc<()>,
}
