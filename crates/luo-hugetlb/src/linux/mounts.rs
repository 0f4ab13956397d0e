//! Where a file is: its mount, and its path below that.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use std::fs;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use luo_descriptor::linux;
use rustix::fs::{AtFlags, CWD, fstat, statat};
use rustix::io::Errno;

use super::HugetlbFile;
use crate::{HostError, Path, Place};

/// Where the file is; `None` if that is nowhere we know: neither a memfd, nor below a mount of this process's.
pub(super) fn place(file: &HugetlbFile) -> Result<Option<Place>, HostError> {
    let stat = fstat(file).map_err(linux::failed("fstat"))?;
    let link = linux::link(file.as_fd())?;
    let Some(mount) = mount_point(file.as_fd())? else {
        return Ok(linux::memfd_name(&link).map(Place::Memfd));
    };
    let inode = stat.st_ino;
    if stat.st_nlink == 0 {
        return Ok(Some(Place::Mounted { mount, path: None, inode }));
    }
    let is_there = |path: &Path| {
        let full = [mount.as_bytes(), b"/", path.as_bytes()].concat();
        let found = statat(CWD, full.as_slice(), AtFlags::SYMLINK_NOFOLLOW);
        found.is_ok_and(|found| (found.st_dev, found.st_ino) == (stat.st_dev, inode))
    };
    let below = link.as_bytes().strip_prefix(mount.as_bytes());
    let below = below.map(|path| path.strip_prefix(b"/").unwrap_or(path));
    let seen = below.and_then(Path::new).filter(is_there);
    let path = seen.or_else(|| match file.maybe_at() {
        Some(Place::Mounted { path: Some(path), .. }) => Some(path.clone()).filter(is_there),
        _ => None,
    });
    // None: it has a name that this opening does not know, or is being renamed, or something is mounted over it.
    Ok(Some(Place::Mounted { mount, path, inode }))
}

/// Where the file system of the file is mounted; `None` if it is mounted nowhere.
fn mount_point(file: BorrowedFd<'_>) -> Result<Option<Path>, HostError> {
    let refused = |call: &'static str| {
        move |error: std::io::Error| HostError { call, errno: error.raw_os_error().unwrap_or_default() }
    };
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", file.as_raw_fd()));
    let info = info.map_err(refused("read(/proc/self/fdinfo)"))?;
    let id = info.lines().find_map(|line| line.strip_prefix("mnt_id:")).map(str::trim);
    let id = id.ok_or(HostError { call: "read(/proc/self/fdinfo)", errno: Errno::INVAL.raw_os_error() })?;
    let mounts =
        fs::read("/proc/thread-self/mountinfo").map_err(refused("read(/proc/thread-self/mountinfo)"))?;
    Ok(point_of(&mounts, id.as_bytes()))
}

/// The fifth field of the line that begins with this number.
fn point_of(mounts: &[u8], id: &[u8]) -> Option<Path> {
    mounts.split(|byte| *byte == b'\n').find_map(|line| {
        let mut fields = line.split(|byte| *byte == b' ');
        let this = fields.next()? == id;
        let point = fields.nth(3).filter(|_| this)?;
        Path::new(unescaped(point)).filter(Path::is_absolute)
    })
}

/// Blanks and the like are written as a backslash and three octal digits.
fn unescaped(field: &[u8]) -> Vec<u8> {
    let mut rest = field;
    let mut plain = Vec::with_capacity(field.len());
    while let Some((&first, behind)) = rest.split_first() {
        let octal = behind.get(..3).filter(|_| first == b'\\').and_then(|digits| {
            let digits = String::from_utf8(digits.to_vec()).ok()?;
            u8::from_str_radix(&digits, 8).ok()
        });
        plain.push(octal.unwrap_or(first));
        rest = if octal.is_some() { behind.get(3..).unwrap_or_default() } else { behind };
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_point_is_found_and_unescaped() {
        let mounts = b"22 1 0:5 / /proc rw - proc proc rw\n\
                       63 43 0:39 / /mnt/huge\\040pages rw,relatime - hugetlbfs none rw,pagesize=2M\n";
        assert_eq!(point_of(mounts, b"63"), Path::new("/mnt/huge pages"));
        assert_eq!(point_of(mounts, b"2"), None);
        assert_eq!(unescaped(b"a\\134b\\"), b"a\\b\\");
    }
}
