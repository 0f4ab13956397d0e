//! The port: each question is one or a few system calls.

use alloc::vec::Vec;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path as SysPath;

use luo_core::Identity;
use luo_descriptor::linux::{self, Descriptor, failed};
use luo_kho::{FrameCount, FrameRange, KhoError, Memory, process};
use rustix::fs::{FileType, MemfdFlags, OFlags, fcntl_get_seals, fcntl_getfl, fstat, ftruncate};
use rustix::io::Errno;

use super::draft::settle;
use super::pools::SYS;
use super::{HugetlbFile, Linux, LinuxDraft, door, mounts, page_size, pools};
use crate::pool::{NodeCount, Pool, Run};
use crate::port::{Port, Sort};
use crate::{Attributes, BLOCK_BYTES, HostError, HugetlbError, Node, PageSize, Place};

const INVALID: HostError = HostError { call: "readlink", errno: Errno::INVAL.raw_os_error() };

impl Port for Linux {
    type File = HugetlbFile;
    type Reader = OwnedFd;
    type Draft = LinuxDraft;
    type StandIn = Descriptor;

    fn identity(&self, file: &HugetlbFile) -> Identity {
        Identity(linux::number(file.as_fd()))
    }

    fn sort(&self, file: &HugetlbFile) -> Result<Sort, HostError> {
        let stat = fstat(file).map_err(failed("fstat"))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile
            || page_size(file.as_fd())?.is_none()
        {
            return Ok(Sort::Other);
        }
        if fcntl_getfl(file).map_err(failed("fcntl(F_GETFL)"))?.contains(OFlags::PATH) {
            let reason = "it was opened with O_PATH, which gives no access to its contents".into();
            return Ok(Sort::Unfit { reason });
        }
        match fcntl_get_seals(file) {
            Ok(_) => {}
            Err(Errno::INVAL) => return Ok(Sort::Other),
            Err(errno) => return Err(failed("fcntl(F_GET_SEALS)")(errno)),
        }
        // Shared memory of System V and shared anonymous memory have huge pages too, under other names.
        Ok(if mounts::place(file)?.is_some() { Sort::Huge } else { Sort::Other })
    }

    fn look(&self, file: &HugetlbFile) -> Result<Attributes, HostError> {
        linux::look(file.as_fd())
    }

    fn page_size(&self, file: &HugetlbFile) -> Result<PageSize, HostError> {
        page_size(file.as_fd())?.ok_or(HostError { call: "fstatfs", ..INVALID })
    }

    fn place(&self, file: &HugetlbFile) -> Result<Place, HostError> {
        mounts::place(file)?.ok_or(INVALID)
    }

    fn bonds(&self, file: &HugetlbFile) -> Result<Option<&'static str>, HostError> {
        linux::bonds(file.as_fd())
    }

    fn pools(&self) -> Result<Vec<Pool>, HostError> {
        pools::read(SysPath::new(SYS))
    }

    /// Nothing: a kernel that takes huge pages over has done it.
    fn reckon(&self, _: PageSize, _: &[NodeCount]) {}

    fn attach(
        &self,
        file: &HugetlbFile,
        memory: &mut dyn Memory,
        frames: FrameCount,
    ) -> Result<FrameRange, KhoError> {
        process::attach(memory, file.as_fd(), frames)
    }

    fn attached(
        &self,
        memory: &dyn Memory,
        segment: FrameRange,
        wanted: &Attributes,
        place: &Place,
    ) -> Result<HugetlbFile, HugetlbError> {
        let descriptor = process::attached(memory, segment)?;
        if page_size(descriptor.as_fd())?.is_none() {
            return Err(HugetlbError::NotHuge);
        }
        let (descriptor, arrival) = linux::arrived(descriptor, wanted)?;
        Ok(HugetlbFile::arrived(descriptor, arrival, place))
    }

    fn arrival<'f>(&self, file: &'f HugetlbFile) -> Option<&'f Attributes> {
        file.arrival()
    }

    fn amend(&self, file: &HugetlbFile, is: &Attributes, shall: &Attributes) {
        linux::amend(file.as_fd(), is, shall);
    }

    fn open(&self, file: &HugetlbFile) -> Result<OwnedFd, HostError> {
        linux::reader(file.as_fd())
    }

    fn scan(
        &self,
        reader: &OwnedFd,
        page_size: PageSize,
        pages: u64,
        kept: u64,
    ) -> Result<Vec<Run>, HugetlbError> {
        door::scan(reader.as_fd(), page_size, pages, kept)
    }

    fn read(&self, reader: &OwnedFd, at: u64, bytes: &mut [u8]) -> Result<(), HostError> {
        linux::read_at(reader.as_fd(), at, bytes)
    }

    fn draft(
        &self,
        place: &Place,
        page_size: PageSize,
        wanted: &Attributes,
    ) -> Result<LinuxDraft, HugetlbError> {
        LinuxDraft::new(place, page_size, wanted)
    }

    fn refill(&self, file: &HugetlbFile, page_size: PageSize) -> Result<LinuxDraft, HostError> {
        // Only the owner may ask that mapping it leave no trace.
        let file = linux::reopen(file.as_fd(), OFlags::RDWR | OFlags::NOATIME)
            .or_else(|_| linux::reopen(file.as_fd(), OFlags::RDWR))?;
        Ok(LinuxDraft::of(file, page_size))
    }

    fn populate(&self, draft: &LinuxDraft, page: u64, near: Option<Node>) -> Result<bool, HostError> {
        let _preferred = near.and_then(door::Preferred::node);
        draft.populate(page)
    }

    fn write(&self, draft: &LinuxDraft, at: u64, bytes: &[u8]) -> Result<(), HostError> {
        draft.write(at, bytes)
    }

    fn free(&self, draft: &LinuxDraft, run: &Run, shrink: bool) -> Result<bool, HostError> {
        run.pages.clone().try_for_each(|page| draft.punch(page))?;
        let size = draft.page_size();
        // Who may not configure the pool leaves the page in it.
        let shrunk = shrink && pools::resize(SysPath::new(SYS), size, run.node, -1).is_ok_and(|by| by > 0);
        Ok(shrunk)
    }

    fn grow(&self, page_size: PageSize, pages: &[(Node, u64)]) {
        for (node, count) in pages.iter().filter(|(_, count)| *count > 0) {
            let count = i64::try_from(*count).unwrap_or(i64::MAX);
            let _ = pools::resize(SysPath::new(SYS), page_size, *node, count);
        }
    }

    fn complete(&self, draft: LinuxDraft, wanted: &Attributes) -> Result<HugetlbFile, HostError> {
        Ok(linux::dress(draft.into_file(), wanted)?.into())
    }

    fn settle(&self, file: &HugetlbFile, place: &Place) {
        let (Place::Mounted { mount, path: Some(path), inode }, Ok(size)) = (place, self.page_size(file))
        else {
            return;
        };
        // Whoever asks for the place of the file sees what came out of it.
        if settle(file, (mount, path, *inode), size).is_ok_and(|settled| settled) {
            file.found_at(place.clone());
        }
    }

    fn stand_in(&self, size: u64) -> Result<Descriptor, HostError> {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING | MemfdFlags::EXEC;
        let file = linux::create(&c"luo-stand-in".into(), flags).map_err(failed("memfd_create"))?;
        ftruncate(&file, size).map_err(failed("ftruncate"))?;
        Ok(file.into())
    }

    fn attach_stand_in(
        &self,
        stand_in: &Descriptor,
        memory: &mut dyn Memory,
        frames: FrameCount,
    ) -> Result<FrameRange, KhoError> {
        process::attach(memory, stand_in.as_fd(), frames)
    }

    fn attached_stand_in(
        &self,
        memory: &dyn Memory,
        segment: FrameRange,
    ) -> Result<Descriptor, HugetlbError> {
        Ok(process::attached(memory, segment)?.into())
    }

    fn keep(&self, stand_in: &Descriptor, at: u64, bytes: &[u8]) -> Result<(), HostError> {
        linux::write_at(stand_in.as_fd(), at, bytes)
    }

    fn recall(&self, stand_in: &Descriptor, at: u64, bytes: &mut [u8]) -> Result<(), HostError> {
        linux::read_at(stand_in.as_fd(), at, bytes)
    }

    fn kept(&self, stand_in: &Descriptor) -> Result<u64, HostError> {
        let blocks = fstat(stand_in).map_err(failed("fstat"))?.st_blocks.unsigned_abs();
        Ok(blocks.saturating_mul(BLOCK_BYTES))
    }

    fn empty(&self, stand_in: &Descriptor) {
        let Ok(size) = fstat(stand_in).map(|stat| stat.st_size.unsigned_abs()) else { return };
        // What stays in it costs memory and nothing else.
        let _ = ftruncate(stand_in, 0).and_then(|()| ftruncate(stand_in, size));
    }
}
