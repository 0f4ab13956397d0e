//! The port: each question is one or a few system calls.

use alloc::ffi::CString;
use alloc::string::String;
use alloc::vec::Vec;
use alloc::{format, vec};
use core::ops::Range;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use luo_core::Identity;
use luo_kho::{FrameCount, FrameRange, KhoError, Memory, process};
use rustix::fs::{
    FileType, FsWord, Gid, Mode, OFlags, SealFlags, SeekFrom, Stat, Timespec, Timestamps, Uid, fchmod,
    fchown, fcntl_add_seals, fcntl_get_seals, fcntl_getfl, fcntl_setfl, flistxattr, flistxattr_query, fstat,
    fstatfs, ftruncate, futimens, open, readlink, seek, tell,
};
use rustix::io::{Errno, FdFlags, fcntl_getfd, fcntl_setfd, pread, pwrite, retry_on_intr};

use super::{Linux, Memfd, failed, flags, memfd};
use crate::port::{Port, Sort};
use crate::{
    Access, Attributes, HostError, MODE_BITS, MemfdError, Moment, Name, Owner, Seals, Status, Times,
};

/// `TMPFS_MAGIC` in `statfs(2)`: memfds of ordinary pages. Those of huge pages are on another file system.
const TMPFS_MAGIC: FsWord = 0x0102_1994;
/// What the kernel puts before the name of a memfd, and behind that of everything that has no link.
const NAME_FRAME: (&[u8], &[u8]) = (b"/memfd:", b" (deleted)");
/// Attributes of this sort are the system's, which labels every new file by itself.
const LABELS: &[u8] = b"security.";

impl Port for Linux {
    type File = Memfd;
    type Reader = OwnedFd;
    type Draft = OwnedFd;

    fn identity(&self, file: &Memfd) -> Identity {
        // Asking an open descriptor cannot fail. Were it to, the number is at least nobody else's at this moment.
        let found = fstat(file).map(|stat| (stat.st_dev, stat.st_ino));
        let (device, inode) = found.unwrap_or((u64::MAX, file.as_fd().as_raw_fd().unsigned_abs().into()));
        Identity(u128::from(device) << 64 | u128::from(inode))
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
        Ok(if memfd_name(&link(file)?).is_some() { Sort::Memfd } else { Sort::Other })
    }

    fn look(&self, file: &Memfd) -> Result<Attributes, HostError> {
        look(file.as_fd())
    }

    fn name(&self, file: &Memfd) -> Result<Name, HostError> {
        let name = memfd_name(&link(file)?).and_then(Name::new);
        name.ok_or(HostError { call: "readlink", errno: Errno::INVAL.raw_os_error() })
    }

    fn bonds(&self, file: &Memfd) -> Result<Option<&'static str>, HostError> {
        let stat = fstat(file).map_err(failed("fstat"))?;
        if is_locked(&stat)? {
            return Ok(Some("locks"));
        }
        Ok(has_extended_attributes(file)?.then_some("extended attributes"))
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
        let mut descriptor = process::attached(memory, segment)?;
        let found = look(descriptor.as_fd())?;
        let fixed = |status: Status| status.only(Status::FIXED);
        if (found.access, fixed(found.status)) != (wanted.access, fixed(wanted.status)) {
            // A new kernel opens everything to be read and written. This opening is ours alone: it may be changed.
            descriptor =
                reopen(descriptor.as_fd(), flags::access(wanted.access) | flags::status(wanted.status))?;
            place(descriptor.as_fd(), wanted)?;
        }
        close_on_exec(descriptor.as_fd(), wanted.close_on_exec)?;
        let arrival = look(descriptor.as_fd())?;
        Ok(Memfd::arrived(descriptor, arrival))
    }

    fn arrival<'f>(&self, file: &'f Memfd) -> Option<&'f Attributes> {
        file.arrival()
    }

    fn amend(&self, file: &Memfd, is: &Attributes, shall: &Attributes) {
        // What the kernel refuses stays as it is, and its user can see it.
        if is.owner != shall.owner {
            let _ = own(file.as_fd(), shall.owner);
        }
        if is.mode != shall.mode {
            let _ = fchmod(file, Mode::from_raw_mode(shall.mode));
        }
        if is.position != shall.position || is.status != shall.status {
            let _ = place(file.as_fd(), shall);
        }
        if is.seals != shall.seals {
            let seals = SealFlags::from_bits_retain(shall.seals.bits());
            // Sealing wants a descriptor that may write.
            if fcntl_add_seals(file, seals) == Err(Errno::PERM) {
                let _ = reopen(file.as_fd(), OFlags::RDWR).map(|writer| fcntl_add_seals(writer, seals));
            }
        }
    }

    fn open(&self, file: &Memfd) -> Result<OwnedFd, HostError> {
        let way = OFlags::RDONLY;
        // Only the owner may ask that reading leave no trace.
        reopen(file.as_fd(), way | OFlags::NOATIME).or_else(|_| reopen(file.as_fd(), way))
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

    fn read(&self, reader: &OwnedFd, mut at: u64, bytes: &mut [u8]) -> Result<(), HostError> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let count = retry_on_intr(|| pread(reader, &mut *rest, at)).map_err(failed("pread"))?;
            if count == 0 {
                rest.fill(0);
                break;
            }
            at += luo_kho::ByteLen::of(count).get();
            rest = rest.get_mut(count..).unwrap_or_default();
        }
        Ok(())
    }

    fn draft(&self, name: &Name, wanted: &Attributes) -> Result<OwnedFd, HostError> {
        let made = CString::new(name.as_bytes()).map_err(|_| Errno::INVAL);
        let made = made.and_then(|name| memfd::create(&name, flags::creation(wanted)));
        let draft = made.map_err(failed("memfd_create"))?;
        ftruncate(&draft, wanted.size).map_err(failed("ftruncate"))?;
        Ok(draft)
    }

    fn write(&self, draft: &OwnedFd, mut at: u64, bytes: &[u8]) -> Result<(), HostError> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let count = retry_on_intr(|| pwrite(draft, rest, at));
            // A write of no bytes would be made for ever.
            let count = count.and_then(|count| if count == 0 { Err(Errno::IO) } else { Ok(count) });
            let count = count.map_err(failed("pwrite"))?;
            at += luo_kho::ByteLen::of(count).get();
            rest = rest.get(count..).unwrap_or_default();
        }
        Ok(())
    }

    fn complete(&self, draft: OwnedFd, wanted: &Attributes) -> Result<Memfd, HostError> {
        let is = look(draft.as_fd())?;
        // As long as the mode is that of a new memfd it can be opened, whatever it shall be.
        let opened =
            if wanted.access == Access::ReadWrite && wanted.status.only(Status::FIXED) == Status::NONE {
                None
            } else {
                Some(reopen(draft.as_fd(), flags::access(wanted.access) | flags::status(wanted.status))?)
            };
        if is.owner != wanted.owner {
            own(draft.as_fd(), wanted.owner)?;
        }
        if is.mode != wanted.mode {
            fchmod(&draft, Mode::from_raw_mode(wanted.mode)).map_err(failed("fchmod"))?;
        }
        let Times { accessed, modified } = wanted.times;
        let times = Timestamps { last_access: timespec(accessed), last_modification: timespec(modified) };
        futimens(&draft, &times).map_err(failed("futimens"))?;
        let user = opened.as_ref().unwrap_or(&draft).as_fd();
        place(user, wanted)?;
        close_on_exec(user, wanted.close_on_exec)?;
        if wanted.seals != Seals::NONE {
            let seals = SealFlags::from_bits_retain(wanted.seals.bits());
            fcntl_add_seals(&draft, seals).map_err(failed("fcntl(F_ADD_SEALS)"))?;
        }
        Ok(opened.unwrap_or(draft).into())
    }
}

fn look(file: BorrowedFd<'_>) -> Result<Attributes, HostError> {
    let stat = fstat(file).map_err(failed("fstat"))?;
    let (access, status) = flags::read(fcntl_getfl(file).map_err(failed("fcntl(F_GETFL)"))?);
    let seals = fcntl_get_seals(file).map_err(failed("fcntl(F_GET_SEALS)"))?;
    let moment = |seconds: i64, nanoseconds: u64| Moment {
        seconds,
        nanoseconds: u32::try_from(nanoseconds).unwrap_or_default(),
    };
    Ok(Attributes {
        // Neither is ever negative.
        size: stat.st_size.unsigned_abs(),
        blocks: stat.st_blocks.unsigned_abs(),
        position: tell(file).map_err(failed("lseek(SEEK_CUR)"))?,
        seals: Seals::from_bits(seals.bits()),
        mode: stat.st_mode & MODE_BITS,
        owner: Owner { user: stat.st_uid, group: stat.st_gid },
        times: Times {
            accessed: moment(stat.st_atime, stat.st_atime_nsec),
            modified: moment(stat.st_mtime, stat.st_mtime_nsec),
        },
        access,
        status,
        close_on_exec: fcntl_getfd(file).map_err(failed("fcntl(F_GETFD)"))?.contains(FdFlags::CLOEXEC),
    })
}

/// Another opening of the same file.
fn reopen(file: BorrowedFd<'_>, way: OFlags) -> Result<OwnedFd, HostError> {
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    retry_on_intr(|| open(path.as_str(), way | OFlags::CLOEXEC, Mode::empty())).map_err(failed("open"))
}

/// What the kernel calls the open file.
fn link(file: &Memfd) -> Result<CString, HostError> {
    let path = format!("/proc/self/fd/{}", file.as_fd().as_raw_fd());
    readlink(path.as_str(), Vec::new()).map_err(failed("readlink"))
}

/// The name in a link, if it is that of a memfd.
fn memfd_name(link: &CString) -> Option<&[u8]> {
    let (before, behind) = NAME_FRAME;
    link.as_bytes().strip_prefix(before)?.strip_suffix(behind)
}

/// Position and changeable status flags: of an opening that is ours.
fn place(file: BorrowedFd<'_>, wanted: &Attributes) -> Result<(), HostError> {
    seek(file, SeekFrom::Start(wanted.position)).map_err(failed("lseek(SEEK_SET)"))?;
    fcntl_setfl(file, flags::status(wanted.status)).map_err(failed("fcntl(F_SETFL)"))
}

fn own(file: BorrowedFd<'_>, owner: Owner) -> Result<(), HostError> {
    let (user, group) = (Uid::from_raw(owner.user), Gid::from_raw(owner.group));
    fchown(file, Some(user), Some(group)).map_err(failed("fchown"))
}

fn close_on_exec(file: BorrowedFd<'_>, close: bool) -> Result<(), HostError> {
    let flags = if close { FdFlags::CLOEXEC } else { FdFlags::empty() };
    fcntl_setfd(file, flags).map_err(failed("fcntl(F_SETFD)"))
}

const fn timespec(moment: Moment) -> Timespec {
    Timespec { tv_sec: moment.seconds, tv_nsec: moment.nanoseconds as i64 }
}

/// Whether anybody holds a lock or a lease. `/proc/locks` names each by device and inode, whoever holds it.
fn is_locked(stat: &Stat) -> Result<bool, HostError> {
    let refused = |error: std::io::Error| HostError {
        call: "read(/proc/locks)",
        errno: error.raw_os_error().unwrap_or_default(),
    };
    let (major, minor) = (rustix::fs::major(stat.st_dev), rustix::fs::minor(stat.st_dev));
    let place = format!("{major:02x}:{minor:02x}:{}", stat.st_ino);
    let locks = std::fs::read("/proc/locks").map_err(refused)?;
    Ok(String::from_utf8_lossy(&locks).split_ascii_whitespace().any(|word| word == place))
}

fn has_extended_attributes(file: &Memfd) -> Result<bool, HostError> {
    let refused = failed("flistxattr");
    let len = match flistxattr_query(file) {
        Err(Errno::NOTSUP) | Ok(0) => return Ok(false),
        Err(errno) => return Err(refused(errno)),
        Ok(len) => len,
    };
    let mut names = vec![0; len];
    let found = flistxattr(file, names.as_mut_slice()).map_err(refused)?;
    let mut names =
        names.get(..found).unwrap_or_default().split(|byte| *byte == 0).filter(|name| !name.is_empty());
    Ok(names.any(|name| !name.starts_with(LABELS)))
}
