//! The port: each question is one or a few system calls.

use alloc::ffi::CString;
use core::ops::Range;
use std::os::fd::{AsFd, OwnedFd};

use luo_core::Identity;
use luo_descriptor::linux::{self, failed};
use luo_kho::{FrameCount, FrameRange, KhoError, Memory, process};
use rustix::fs::{
    FileType, FsWord, OFlags, SeekFrom, fcntl_get_seals, fcntl_getfl, fstat, fstatfs, ftruncate, seek,
};
use rustix::io::Errno;

use super::{Linux, Memfd};
use crate::port::{Port, Sort};
use crate::{Attributes, HostError, MemfdError, Name};

/// `TMPFS_MAGIC` in `statfs(2)`: memfds of ordinary pages. Those of huge pages are on another file system.
const TMPFS_MAGIC: FsWord = 0x0102_1994;

impl Port for Linux {
    type File = Memfd;
    type Reader = OwnedFd;
    type Draft = OwnedFd;

    fn identity(&self, file: &Memfd) -> Identity {
        Identity(linux::number(file.as_fd()))
    }

    fn sort(&self, file: &Memfd) -> Result<Sort, HostError> {
        let unfit = |reason: &'static str| Ok(Sort::Unfit { reason: reason.into() });
        let stat = fstat(file).map_err(failed("fstat"))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Ok(Sort::Other);
        }
        if fstatfs(file).map_err(failed("fstatfs"))?.f_type != TMPFS_MAGIC {
            return Ok(Sort::Other);
        }
        if fcntl_getfl(file).map_err(failed("fcntl(F_GETFL)"))?.contains(OFlags::PATH) {
            return unfit("it was opened with O_PATH, which gives no access to its contents");
        }
        match fcntl_get_seals(file) {
            Ok(_) => {}
            Err(Errno::INVAL) => return Ok(Sort::Other),
            Err(errno) => return Err(failed("fcntl(F_GET_SEALS)")(errno)),
        }
        if stat.st_dev != self.device()? {
            return match stat.st_nlink {
                0 => unfit("it is an unlinked file of a mounted tmpfs, not a memfd"),
                _ => unfit("it is a file of a mounted tmpfs: its next user can open it by its path"),
            };
        }
        // Shared memory of System V and shared anonymous memory live there too, under other names.
        Ok(if linux::memfd_name(&linux::link(file.as_fd())?).is_some() { Sort::Memfd } else { Sort::Other })
    }

    fn look(&self, file: &Memfd) -> Result<Attributes, HostError> {
        linux::look(file.as_fd())
    }

    fn name(&self, file: &Memfd) -> Result<Name, HostError> {
        let name = linux::memfd_name(&linux::link(file.as_fd())?);
        name.ok_or(HostError { call: "readlink", errno: Errno::INVAL.raw_os_error() })
    }

    fn bonds(&self, file: &Memfd) -> Result<Option<&'static str>, HostError> {
        linux::bonds(file.as_fd())
    }

    fn attach(
        &self,
        file: &Memfd,
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
    ) -> Result<Memfd, MemfdError> {
        let arrived = linux::arrived(process::attached(memory, segment)?, wanted);
        // Only files in memory can be sealed.
        let (descriptor, arrival) = arrived.map_err(|error| match error.call {
            "fcntl(F_GET_SEALS)" => MemfdError::NotAMemfd,
            _ => error.into(),
        })?;
        Ok(Memfd::arrived(descriptor, arrival))
    }

    fn arrival<'f>(&self, file: &'f Memfd) -> Option<&'f Attributes> {
        file.arrival()
    }

    fn amend(&self, file: &Memfd, is: &Attributes, shall: &Attributes) {
        linux::amend(file.as_fd(), is, shall);
    }

    fn open(&self, file: &Memfd) -> Result<OwnedFd, HostError> {
        linux::reader(file.as_fd())
    }

    fn next_data(&self, reader: &OwnedFd, from: u64) -> Result<Option<Range<u64>>, HostError> {
        let start = match seek(reader, SeekFrom::Data(from)) {
            Ok(start) => start,
            Err(Errno::NXIO) => return Ok(None),
            Err(errno) => return Err(failed("lseek(SEEK_DATA)")(errno)),
        };
        match seek(reader, SeekFrom::Hole(start)) {
            Ok(end) => Ok(Some(start..end)),
            // It was cut off in between.
            Err(Errno::NXIO) => Ok(None),
            Err(errno) => Err(failed("lseek(SEEK_HOLE)")(errno)),
        }
    }

    fn read(&self, reader: &OwnedFd, at: u64, bytes: &mut [u8]) -> Result<(), HostError> {
        linux::read_at(reader.as_fd(), at, bytes)
    }

    fn draft(&self, name: &Name, wanted: &Attributes) -> Result<OwnedFd, HostError> {
        let made = CString::new(name.as_bytes()).map_err(|_| Errno::INVAL);
        let made = made.and_then(|name| linux::create(&name, linux::flags::creation(wanted)));
        let draft = made.map_err(failed("memfd_create"))?;
        ftruncate(&draft, wanted.size).map_err(failed("ftruncate"))?;
        Ok(draft)
    }

    fn write(&self, draft: &OwnedFd, at: u64, bytes: &[u8]) -> Result<(), HostError> {
        linux::write_at(draft.as_fd(), at, bytes)
    }

    fn complete(&self, draft: OwnedFd, wanted: &Attributes) -> Result<Memfd, HostError> {
        Ok(linux::dress(draft, wanted)?.into())
    }
}
