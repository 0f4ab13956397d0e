//! The port of the simulated host.

use core::ops::Range;
use core::sync::atomic::Ordering;

use alloc::sync::Arc;
use luo_core::Identity;
use luo_kho::sim::SimFile;
use luo_kho::{FRAME_BYTES, FrameCount, FrameRange, KhoError, Memory};

use super::memfd::{Guise, Opening};
use super::{SimHost, SimMemfd};
use crate::port::{Port, Sort};
use crate::{Access, Attributes, HostError, MemfdError, Name, Status};

/// A simulated memfd that is being filled.
#[derive(Debug)]
pub struct SimDraft(SimMemfd);

impl Port for SimHost {
    type File = SimMemfd;
    type Reader = SimMemfd;
    type Draft = SimDraft;

    fn identity(&self, file: &SimMemfd) -> Identity {
        Identity(u128::from(file.file.number()))
    }

    fn sort(&self, file: &SimMemfd) -> Result<Sort, HostError> {
        self.call("fstat")?;
        Ok(match file.opening().inode.guise {
            Guise::Memfd => Sort::Memfd,
            Guise::Linked => {
                Sort::Unfit { reason: "it has a name in a file system: open it again by that".into() }
            }
            Guise::Pipe => Sort::Other,
        })
    }

    fn look(&self, file: &SimMemfd) -> Result<Attributes, HostError> {
        self.call("fstat")?;
        Ok(file.attributes())
    }

    fn name(&self, file: &SimMemfd) -> Result<Name, HostError> {
        self.call("readlink")?;
        Ok(file.name().clone())
    }

    fn bonds(&self, file: &SimMemfd) -> Result<Option<&'static str>, HostError> {
        self.call("fdinfo")?;
        Ok(file.is_locked().then_some("locks"))
    }

    fn attach(
        &self,
        file: &SimMemfd,
        memory: &mut dyn Memory,
        frames: FrameCount,
    ) -> Result<FrameRange, KhoError> {
        memory.attach(&file.file, frames)
    }

    fn attached(
        &self,
        memory: &dyn Memory,
        segment: FrameRange,
        wanted: &Attributes,
    ) -> Result<SimMemfd, MemfdError> {
        self.call("dup")?;
        let file = memory.attached(segment)?.downcast_ref::<SimFile>();
        let is_memfd = |file: &&SimFile| {
            file.description::<Opening>().is_some_and(|opening| opening.inode.guise == Guise::Memfd)
        };
        let file = file.filter(is_memfd).ok_or(MemfdError::NotAMemfd)?;
        let mut found = SimMemfd::of(file.clone(), wanted.close_on_exec, None);
        if found.attributes().access != wanted.access {
            found = found.reopen(wanted.access);
            found.set_close_on_exec(wanted.close_on_exec);
        }
        let arrival = found.attributes();
        Ok(SimMemfd::of(found.file, wanted.close_on_exec, Some(arrival)))
    }

    fn arrival<'f>(&self, file: &'f SimMemfd) -> Option<&'f Attributes> {
        file.descriptor.arrival.as_ref()
    }

    fn amend(&self, file: &SimMemfd, _: &Attributes, shall: &Attributes) {
        file.set_mode(shall.mode);
        file.set_owner(shall.owner);
        file.seek(shall.position);
        file.set_status(shall.status);
        // A file that takes no more seals, or was opened to be read, keeps those it has.
        let _ = file.add_seals(shall.seals);
    }

    fn open(&self, file: &SimMemfd) -> Result<SimMemfd, HostError> {
        self.call("open")?;
        Ok(file.reopen(Access::Read))
    }

    fn next_data(&self, reader: &SimMemfd, from: u64) -> Result<Option<Range<u64>>, HostError> {
        self.call("lseek(SEEK_DATA)")?;
        let size = reader.file.size();
        let run = reader.file.pages_from(from / FRAME_BYTES);
        let bytes =
            run.map(|pages| (pages.start * FRAME_BYTES).max(from)..(pages.end * FRAME_BYTES).min(size));
        Ok(bytes.filter(|bytes| !bytes.is_empty()))
    }

    fn read(&self, reader: &SimMemfd, at: u64, bytes: &mut [u8]) -> Result<(), HostError> {
        self.call("pread")?;
        reader.read_at(at, bytes);
        Ok(())
    }

    fn draft(&self, name: &Name, wanted: &Attributes) -> Result<SimDraft, HostError> {
        self.call("memfd_create")?;
        let file = SimMemfd::named(self, name.clone(), Guise::Memfd);
        self.call("ftruncate")?;
        file.file.resize(wanted.size);
        Ok(SimDraft(file))
    }

    fn write(&self, draft: &SimDraft, at: u64, bytes: &[u8]) -> Result<(), HostError> {
        self.call("pwrite")?;
        draft.0.write_at(at, bytes)
    }

    fn complete(&self, draft: SimDraft, wanted: &Attributes) -> Result<SimMemfd, HostError> {
        let SimDraft(file) = draft;
        self.call("fchmod")?;
        if !self.0.forgets_modes.load(Ordering::Relaxed) {
            file.set_mode(wanted.mode);
        }
        file.set_owner(wanted.owner);
        let inode = Arc::clone(&file.opening().inode);
        let opening = file.file.described(Opening::new(inode, wanted.access, Status::NONE));
        let opened = SimMemfd::of(opening, wanted.close_on_exec, None);
        opened.set_status(wanted.status);
        opened.seek(wanted.position);
        self.call("fcntl(F_ADD_SEALS)")?;
        file.add_seals(wanted.seals)?;
        Ok(opened)
    }
}
