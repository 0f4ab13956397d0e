//! `userfaultfd(2)` on a mapping that nobody touches.

use core::ffi::c_void;
use core::ptr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use luo_descriptor::linux::failed;
use luo_kho::ByteLen;
use rustix::io::Errno;
use rustix::ioctl::{Opcode, Updater, ioctl, opcode};
use rustix::mm::{MapFlags, ProtFlags, UserfaultfdFlags, mmap, munmap, userfaultfd};

use crate::HostError;

/// `UFFDIO` in `linux/userfaultfd.h`.
const GROUP: u8 = 0xAA;
const API: Opcode = opcode::read_write::<Api>(GROUP, 0x3F);
const REGISTER: Opcode = opcode::read_write::<Register>(GROUP, 0x00);
const CONTINUE: Opcode = opcode::read_write::<Continue>(GROUP, 0x07);
/// `UFFD_API`.
const API_VERSION: u64 = 0xAA;
/// `UFFD_FEATURE_MINOR_HUGETLBFS`: Linux 5.13.
const MINOR_HUGETLBFS: u64 = 1 << 9;
/// `UFFDIO_REGISTER_MODE_MINOR`.
const MODE_MINOR: u64 = 1 << 2;
/// `UFFD_USER_MODE_ONLY`: faults of the kernel are none of ours, and so no privilege is needed.
const USER_MODE_ONLY: UserfaultfdFlags = UserfaultfdFlags::from_bits_retain(1);

/// `struct uffdio_api`.
#[repr(C)]
struct Api {
    version: u64,
    features: u64,
    ioctls: u64,
}

/// `struct uffdio_register`.
#[repr(C)]
struct Register {
    start: u64,
    len: u64,
    mode: u64,
    ioctls: u64,
}

/// `struct uffdio_continue`.
#[repr(C)]
struct Continue {
    start: u64,
    len: u64,
    mode: u64,
    mapped: i64,
}

/// A mapping of a part of a file, private and without reservation, in which a fault finds pages that exist and makes
/// none.
///
/// # Invariants
///
/// - `at` is where `len` bytes are mapped, until it is dropped. They are never touched.
pub(super) struct Mapping {
    at: *mut c_void,
    len: usize,
    faults: OwnedFd,
}

/// What lies at a place of a mapping.
pub(super) enum Found {
    /// So many bytes of pages.
    Pages(u64),
    /// A hole.
    Hole,
    /// A page with broken memory.
    Broken,
}

impl Mapping {
    /// Maps `len` bytes of the file from byte `offset` on.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub(super) fn new(file: BorrowedFd<'_>, offset: u64, len: u64) -> Result<Self, HostError> {
        let flags = UserfaultfdFlags::CLOEXEC | UserfaultfdFlags::NONBLOCK | USER_MODE_ONLY;
        // SAFETY: a userfaultfd by itself changes nothing.
        let faults = unsafe { userfaultfd(flags) }.map_err(failed("userfaultfd"))?;
        let mut api = Api { version: API_VERSION, features: MINOR_HUGETLBFS, ioctls: 0 };
        // SAFETY: `Api` is what this ioctl takes.
        let ask = unsafe { Updater::<API, _>::new(&mut api) };
        // SAFETY: the kernel writes `api` and nothing else.
        unsafe { ioctl(faults.as_fd(), ask) }.map_err(failed("ioctl(UFFDIO_API)"))?;

        let len = ByteLen::new(len).as_usize();
        // Private, because a file that was opened to be read or is sealed against writing can be registered no other
        // way.
        let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
        // SAFETY: a new mapping at a place that the kernel chooses.
        let at = unsafe { mmap(ptr::null_mut(), len, ProtFlags::READ, flags, file, offset) };
        // INVARIANT: it was just mapped, and no pointer to it is given away.
        let mapping = Self { at: at.map_err(failed("mmap"))?, len, faults };
        let mut register =
            Register { start: mapping.start(), len: ByteLen::of(len).get(), mode: MODE_MINOR, ioctls: 0 };
        // SAFETY: `Register` is what this ioctl takes.
        let ask = unsafe { Updater::<REGISTER, _>::new(&mut register) };
        // SAFETY: the range is this mapping, which nobody touches.
        unsafe { ioctl(mapping.faults.as_fd(), ask) }.map_err(failed("ioctl(UFFDIO_REGISTER)"))?;
        Ok(mapping)
    }

    fn start(&self) -> u64 {
        ByteLen::of(self.at.addr()).get()
    }

    /// Where byte `at` of the mapping is.
    pub(super) fn address(&self, at: u64) -> *const c_void {
        self.at.wrapping_byte_add(ByteLen::new(at).as_usize())
    }

    /// What lies from byte `at` of the mapping on, for `len` bytes at most. Nothing is allocated.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub(super) fn find(&self, at: u64, len: u64) -> Result<Found, HostError> {
        loop {
            let mut ask = Continue { start: self.start() + at, len, mode: 0, mapped: 0 };
            // SAFETY: `Continue` is what this ioctl takes.
            let updater = unsafe { Updater::<CONTINUE, _>::new(&mut ask) };
            // SAFETY: it fills in page tables of this mapping with pages of its file.
            let answer = unsafe { ioctl(self.faults.as_fd(), updater) };
            let mapped = u64::try_from(ask.mapped).unwrap_or_default();
            return match answer {
                Ok(()) => Ok(Found::Pages(mapped)),
                Err(Errno::AGAIN) if mapped > 0 => Ok(Found::Pages(mapped)),
                // Other mappings of this process are being changed.
                Err(Errno::AGAIN) => {
                    std::thread::yield_now();
                    continue;
                }
                Err(Errno::FAULT) => Ok(Found::Hole),
                Err(Errno::IO | Errno::HWPOISON) => Ok(Found::Broken),
                Err(errno) => Err(failed("ioctl(UFFDIO_CONTINUE)")(errno)),
            };
        }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: it is mapped, and no pointer to it is used any more.
        let unmapped = unsafe { munmap(self.at, self.len) };
        debug_assert!(unmapped.is_ok(), "what was mapped can be unmapped");
    }
}
