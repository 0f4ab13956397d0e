//! A file that is being filled. Files of huge pages cannot be written by system calls: they are mapped, a page at a
//! time.

use alloc::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Mutex, PoisonError};

use luo_descriptor::linux::{self, failed};
use rustix::fs::{
    AtFlags, CWD, FallocateFlags, Mode, OFlags, RenameFlags, fallocate, ftruncate, linkat, open, openat,
    renameat, renameat_with, statat, unlinkat,
};
use rustix::io::{Errno, retry_on_intr};

use super::door::Window;
use super::{file, page_size};
use crate::{Attributes, HostError, HugetlbError, PageSize, Path, Place};

/// A file that is being filled.
#[derive(Debug)]
pub struct LinuxDraft {
    file: OwnedFd,
    page_size: PageSize,
    /// The page that is written now.
    window: Mutex<Option<(u64, Window)>>,
}

impl LinuxDraft {
    /// A new file for this place.
    pub(super) fn new(place: &Place, size: PageSize, wanted: &Attributes) -> Result<Self, HugetlbError> {
        let file = match place {
            Place::Memfd(name) => {
                let name = CString::new(name.as_bytes()).map_err(|_| Errno::INVAL);
                let flags = file::flags(size) | linux::flags::creation(wanted);
                name.and_then(|name| linux::create(&name, flags)).map_err(failed("memfd_create"))?
            }
            Place::Mounted { mount, path, .. } => {
                let folder = folder(mount, path.as_ref(), size)?;
                let way = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
                let made = openat(&folder, c".", way, Mode::RUSR | Mode::WUSR);
                // Opened once more, because its users' descriptor has no such flag.
                linux::reopen(made.map_err(failed("open(O_TMPFILE)"))?.as_fd(), OFlags::RDWR)?
            }
        };
        ftruncate(&file, wanted.size).map_err(failed("ftruncate"))?;
        Ok(Self::of(file, size))
    }

    /// The file itself, opened to be read and written.
    pub(super) const fn of(file: OwnedFd, page_size: PageSize) -> Self {
        Self { file, page_size, window: Mutex::new(None) }
    }

    pub(super) fn into_file(self) -> OwnedFd {
        self.file
    }

    pub(super) const fn page_size(&self) -> PageSize {
        self.page_size
    }

    fn range(&self, page: u64) -> (u64, u64) {
        (page.saturating_mul(self.page_size.bytes()), self.page_size.bytes())
    }

    /// A page of zeros. `false` if none can be had.
    pub(super) fn populate(&self, page: u64) -> Result<bool, HostError> {
        let (at, len) = self.range(page);
        // Unlike the touch of a mapping, this fails where a page lacks and does not end the process.
        match retry_on_intr(|| fallocate(&self.file, FallocateFlags::empty(), at, len)) {
            Ok(()) => Ok(true),
            Err(Errno::NOSPC | Errno::NOMEM) => Ok(false),
            Err(errno) => Err(failed("fallocate")(errno)),
        }
    }

    /// A hole.
    pub(super) fn punch(&self, page: u64) -> Result<(), HostError> {
        self.window.lock().unwrap_or_else(PoisonError::into_inner).take();
        let (at, len) = self.range(page);
        let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        retry_on_intr(|| fallocate(&self.file, hole, at, len))
            .map_err(failed("fallocate(FALLOC_FL_PUNCH_HOLE)"))
    }

    /// Writes within one populated page.
    pub(super) fn write(&self, at: u64, bytes: &[u8]) -> Result<(), HostError> {
        let page = at / self.page_size.bytes();
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        if window.as_ref().is_none_or(|(mapped, _)| *mapped != page) {
            let (at, len) = self.range(page);
            *window = Some((page, Window::map(self.file.as_fd(), at, len)?));
        }
        let stored =
            window.as_ref().is_some_and(|(_, window)| window.store(at % self.page_size.bytes(), bytes));
        if stored { Ok(()) } else { Err(HostError { call: "mmap", errno: Errno::INVAL.raw_os_error() }) }
    }
}

/// The folder in which a file of this path lies, if such a file system is mounted there.
fn folder(mount: &Path, path: Option<&Path>, size: PageSize) -> Result<OwnedFd, HugetlbError> {
    let way = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
    let missing = || HugetlbError::NoMount { mount: mount.clone(), page_size: size };
    let root = match open(mount.as_bytes(), way, Mode::empty()) {
        Err(Errno::NOENT | Errno::NOTDIR) => return Err(missing()),
        root => root.map_err(failed("open"))?,
    };
    if page_size(root.as_fd())? != Some(size) {
        return Err(missing());
    }
    match path.and_then(|path| path.split().0) {
        Some(below) => {
            Ok(openat(&root, below, way | OFlags::NOFOLLOW, Mode::empty()).map_err(failed("open"))?)
        }
        None => Ok(root),
    }
}

/// Gives an unnamed file its path, in place of the inode with number `replaces`. Whether it has it now.
pub(super) fn settle(
    file: impl AsFd,
    (mount, path, replaces): (&Path, &Path, u64),
    size: PageSize,
) -> Result<bool, HugetlbError> {
    use std::os::fd::AsRawFd as _;

    let folder = folder(mount, Some(path), size)?;
    let name = path.split().1;
    let own = alloc::format!("/proc/self/fd/{}", file.as_fd().as_raw_fd());
    let link = |name: &[u8]| linkat(CWD, own.as_str(), &folder, name, AtFlags::SYMLINK_FOLLOW);
    match link(name) {
        Ok(()) => return Ok(true),
        Err(Errno::EXIST) => {}
        Err(errno) => return Err(failed("linkat")(errno).into()),
    }
    let found = statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW).map_err(failed("fstatat"))?;
    if found.st_ino != replaces {
        return Ok(false);
    }
    let aside = alloc::format!(".luo-{}-{replaces}", std::process::id());
    let aside = aside.as_bytes();
    let drop_aside = || unlinkat(&folder, aside, AtFlags::empty());
    if let Err(errno) = link(aside).or_else(|errno| match errno {
        // Of a program with this number that ended here.
        Errno::EXIST => drop_aside().and_then(|()| link(aside)),
        errno => Err(errno),
    }) {
        return Err(failed("linkat")(errno).into());
    }
    // In one step, so that at no time there is nothing under the path.
    let exchange = || renameat_with(&folder, aside, &folder, name, RenameFlags::EXCHANGE);
    let settled = match exchange() {
        Ok(()) => statat(&folder, aside, AtFlags::SYMLINK_NOFOLLOW).and_then(|came_out| {
            // Another: somebody put it there a moment ago.
            if came_out.st_ino == replaces { Ok(true) } else { exchange().map(|()| false) }
        }),
        // Before Linux 5.16 no names are exchanged in such a file system.
        Err(Errno::INVAL) => renameat(&folder, aside, &folder, name).map(|()| true),
        Err(errno) => Err(errno),
    };
    // What is there now is the old file, or one more name of the new one.
    let _ = drop_aside();
    Ok(settled.map_err(failed("renameat2"))?)
}
