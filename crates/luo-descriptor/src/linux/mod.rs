//! Asking and setting it on Linux. All calls go through `rustix`; nothing here is unsafe.
//!
//! - [`flags`] are the kernel's numbers for ours.
//! - To **reopen** a file is to open it a second time through `/proc/self/fd`, with a position of one's own.
//! - A file that **arrived** came by reference; to **dress** a new file is to give it another's attributes.

pub mod flags;
mod shared;

use alloc::ffi::CString;
use alloc::string::String;
use alloc::vec::Vec;
use alloc::{format, vec};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{
    Gid, MemfdFlags, Mode, OFlags, SealFlags, SeekFrom, Stat, Timespec, Timestamps, Uid, fchmod, fchown,
    fcntl_add_seals, fcntl_get_seals, fcntl_getfl, fcntl_setfl, flistxattr, flistxattr_query, fstat,
    futimens, memfd_create, open, readlink, seek, tell,
};
use rustix::io::{Errno, FdFlags, fcntl_getfd, fcntl_setfd, pread, pwrite, retry_on_intr};

pub use shared::Descriptor;

use crate::{Access, Attributes, HostError, MODE_BITS, Moment, Name, Owner, Seals, Status, Times};

/// What the kernel puts before the name of a memfd, and behind that of everything that has no link.
const NAME_FRAME: (&[u8], &[u8]) = (b"/memfd:", b" (deleted)");
/// Attributes of this sort are the system's, which labels every new file by itself.
const LABELS: &[u8] = b"security.";

/// Names the call that failed.
pub fn failed(call: &'static str) -> impl Fn(Errno) -> HostError + Copy {
    move |errno| HostError { call, errno: errno.raw_os_error() }
}

/// All that a user can ask for.
///
/// # Errors
///
/// The kernel's.
pub fn look(file: BorrowedFd<'_>) -> Result<Attributes, HostError> {
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

/// Makes a memfd. A kernel before 6.3 does not know the flags about executing, and has no seal for it.
///
/// # Errors
///
/// The kernel's.
pub fn create(name: &CString, flags: MemfdFlags) -> Result<OwnedFd, Errno> {
    let newer = MemfdFlags::EXEC | MemfdFlags::NOEXEC_SEAL;
    match memfd_create(name, flags) {
        Err(Errno::INVAL) => memfd_create(name, flags.difference(newer)),
        made => made,
    }
}

/// Another opening of the same file, closed on exec.
///
/// # Errors
///
/// The kernel's.
pub fn reopen(file: BorrowedFd<'_>, way: OFlags) -> Result<OwnedFd, HostError> {
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    retry_on_intr(|| open(path.as_str(), way | OFlags::CLOEXEC, Mode::empty())).map_err(failed("open"))
}

/// Another opening, to read without a trace where that is allowed.
///
/// # Errors
///
/// The kernel's.
pub fn reader(file: BorrowedFd<'_>) -> Result<OwnedFd, HostError> {
    let way = OFlags::RDONLY;
    // Only the owner may ask that reading leave no trace.
    reopen(file, way | OFlags::NOATIME).or_else(|_| reopen(file, way))
}

/// Fills `bytes` from byte `at` on, with zeros beyond the end.
///
/// # Errors
///
/// The kernel's; some of `bytes` may have been filled.
pub fn read_at(file: BorrowedFd<'_>, mut at: u64, bytes: &mut [u8]) -> Result<(), HostError> {
    let mut rest = bytes;
    while !rest.is_empty() {
        let count = retry_on_intr(|| pread(file, &mut *rest, at)).map_err(failed("pread"))?;
        if count == 0 {
            rest.fill(0);
            break;
        }
        at += luo_kho::ByteLen::of(count).get();
        rest = rest.get_mut(count..).unwrap_or_default();
    }
    Ok(())
}

/// Writes from byte `at` on.
///
/// # Errors
///
/// The kernel's; some of `bytes` may have been written.
pub fn write_at(file: BorrowedFd<'_>, mut at: u64, bytes: &[u8]) -> Result<(), HostError> {
    let mut rest = bytes;
    while !rest.is_empty() {
        let count = retry_on_intr(|| pwrite(file, rest, at));
        // A write of no bytes would be made for ever.
        let count = count.and_then(|count| if count == 0 { Err(Errno::IO) } else { Ok(count) });
        let count = count.map_err(failed("pwrite"))?;
        at += luo_kho::ByteLen::of(count).get();
        rest = rest.get(count..).unwrap_or_default();
    }
    Ok(())
}

/// Device and inode: the same for every descriptor of one file.
pub fn number(file: BorrowedFd<'_>) -> u128 {
    // Asking an open descriptor cannot fail. Were it to, the number is at least nobody else's at this moment.
    let found = fstat(file).map(|stat| (stat.st_dev, stat.st_ino));
    let (device, inode) = found.unwrap_or((u64::MAX, file.as_raw_fd().unsigned_abs().into()));
    u128::from(device) << 64 | u128::from(inode)
}

/// What the kernel calls the open file.
///
/// # Errors
///
/// The kernel's.
pub fn link(file: BorrowedFd<'_>) -> Result<CString, HostError> {
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    readlink(path.as_str(), Vec::new()).map_err(failed("readlink"))
}

/// The name in a link, if it is that of a memfd.
pub fn memfd_name(link: &CString) -> Option<Name> {
    let (before, behind) = NAME_FRAME;
    link.as_bytes().strip_prefix(before)?.strip_suffix(behind).and_then(Name::new)
}

/// What users have put on the file that a copy cannot have: locks, extended attributes.
///
/// # Errors
///
/// The kernel's.
pub fn bonds(file: BorrowedFd<'_>) -> Result<Option<&'static str>, HostError> {
    let stat = fstat(file).map_err(failed("fstat"))?;
    if is_locked(&stat)? {
        return Ok(Some("locks"));
    }
    Ok(has_extended_attributes(file)?.then_some("extended attributes"))
}

/// A file that came by reference, for its new user: with `wanted`'s access, fixed status flags and close-on-exec flag.
/// Everything else of it is as it arrived, which is told too.
///
/// # Errors
///
/// The kernel's.
pub fn arrived(mut descriptor: OwnedFd, wanted: &Attributes) -> Result<(OwnedFd, Attributes), HostError> {
    use std::os::fd::AsFd as _;

    // Each call lies inside the pause: nothing is asked twice.
    let mut arrival = look(descriptor.as_fd())?;
    let fixed = |status: Status| status.only(Status::FIXED);
    if (arrival.access, fixed(arrival.status)) != (wanted.access, fixed(wanted.status)) {
        // A new kernel opens everything to be read and written. This opening is ours alone: it may be changed.
        descriptor = reopen(descriptor.as_fd(), flags::access(wanted.access) | flags::status(wanted.status))?;
        place(descriptor.as_fd(), wanted)?;
        arrival = look(descriptor.as_fd())?;
    }
    if arrival.close_on_exec != wanted.close_on_exec {
        close_on_exec(descriptor.as_fd(), wanted.close_on_exec)?;
        arrival.close_on_exec = wanted.close_on_exec;
    }
    Ok((descriptor, arrival))
}

/// Changes mode, owner, position, changeable status flags and seals from what they are to what they shall be. What the
/// kernel refuses stays as it is, and its user can see it.
pub fn amend(file: BorrowedFd<'_>, is: &Attributes, shall: &Attributes) {
    if is.owner != shall.owner {
        let _ = own(file, shall.owner);
    }
    if is.mode != shall.mode {
        let _ = fchmod(file, Mode::from_raw_mode(shall.mode));
    }
    if is.position != shall.position || is.status != shall.status {
        let _ = place(file, shall);
    }
    if is.seals != shall.seals {
        let seals = SealFlags::from_bits_retain(shall.seals.bits());
        // Sealing wants a descriptor that may write.
        if fcntl_add_seals(file, seals) == Err(Errno::PERM) {
            let _ = reopen(file, OFlags::RDWR).map(|writer| fcntl_add_seals(writer, seals));
        }
    }
}

/// Gives a new file of ours all attributes of `wanted` but its size: its seals last.
///
/// # Errors
///
/// The kernel's, also where it does not let this program give a file such an attribute.
pub fn dress(draft: OwnedFd, wanted: &Attributes) -> Result<OwnedFd, HostError> {
    use std::os::fd::AsFd as _;

    let is = look(draft.as_fd())?;
    // As long as the mode is that of a new file it can be opened, whatever it shall be.
    let opened = if wanted.access == Access::ReadWrite && wanted.status.only(Status::FIXED) == Status::NONE {
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
    if wanted.seals != is.seals {
        let seals = SealFlags::from_bits_retain(wanted.seals.bits());
        fcntl_add_seals(&draft, seals).map_err(failed("fcntl(F_ADD_SEALS)"))?;
    }
    Ok(opened.unwrap_or(draft))
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

/// Whether anybody holds a lock or a lease. `/proc/locks` names each by device and inode, as far as
/// this PID namespace can see who holds it.
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

fn has_extended_attributes(file: BorrowedFd<'_>) -> Result<bool, HostError> {
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
