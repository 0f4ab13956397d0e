//! Windows onto memfds that other processes map as well.
//!
//! # Who may change the bytes under a slice
//!
//! In this process nobody: storing wants `&mut`. In other processes only the running owner of the memory does, and
//! whoever reads here is that owner, or reads what was sealed when the owner stopped writing. One reader can see bytes
//! change: a successor whose offer was revoked and who does not know yet. It has lost the memory and must exit; each
//! use of what it reads is checked against bounds of its own, so that bytes which change after they were checked do no
//! harm here.

use core::sync::atomic::{AtomicU64, Ordering};
use std::fs::File;

use memmap2::{MmapOptions, MmapRaw};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{SealFlags, fcntl_get_seals, fstat, ftruncate};
use rustix::mm::{Advice, MprotectFlags, madvise, mprotect};

use crate::process::error::{OpenError, host, host_io};
use crate::{ByteLen, FRAME_BYTES, FRAME_SIZE, KhoError};

/// Bytes in a word.
const WORD: usize = 8;

/// A memfd of which a prefix can be read and, if it is writable, changed a word at a time.
///
/// # Invariants
///
/// - The file has `F_SEAL_SHRINK`, so it never gets shorter.
/// - The file has at least `valid` bytes, and `map` maps at least that many from its start, for as long as the window
///   lives.
/// - If `writable`, the mapping may be stored to.
#[derive(Debug)]
pub(in crate::process) struct Window {
    file: OwnedFd,
    map: MmapRaw,
    valid: usize,
    writable: bool,
}

/// The page with the ownership word.
///
/// # Invariants
///
/// - The file has `F_SEAL_SHRINK` and at least one page; `map` maps that page, readable and writable.
#[derive(Debug)]
pub(in crate::process) struct WordPage {
    file: OwnedFd,
    map: MmapRaw,
}

impl Window {
    /// Maps `span` bytes of a file that may have fewer so far.
    ///
    /// # Errors
    ///
    /// [`OpenError::NotMemfd`], [`OpenError::MayShrink`], [`OpenError::ReadOnly`], or the host's.
    pub(in crate::process) fn open(
        file: OwnedFd,
        what: &'static str,
        span: ByteLen,
        writable: bool,
    ) -> Result<Self, OpenError> {
        let len = check(file.as_fd(), what)?;
        let file = File::from(file);
        let mut options = MmapOptions::new();
        options.len(span.as_usize());
        let map = if writable { options.map_raw(&file) } else { options.map_raw_read_only(&file) };
        let map = map.map_err(host_io("mmap"))?;
        // INVARIANT: the seal was checked; the length is what the file has and the mapping covers.
        let valid = len.as_usize().min(map.len());
        Ok(Self { file: file.into(), map, valid, writable })
    }

    pub(in crate::process) fn file(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// Bytes that can be read.
    pub(in crate::process) fn len(&self) -> ByteLen {
        ByteLen::of(self.valid)
    }

    /// Bytes that are mapped, whether the file has them or not.
    pub(in crate::process) fn span(&self) -> ByteLen {
        ByteLen::of(self.map.len())
    }

    /// Maps the first `len` bytes page by page, as far as the file has them, so that reading them takes no faults.
    /// Tells nobody what is in them. Kernels before 5.14 cannot.
    pub(in crate::process) fn populate(&self, len: ByteLen) {
        let len = len.as_usize().min(self.valid);
        let start = self.map.as_mut_ptr().cast();
        // SAFETY: inside the mapping that this window owns, and inside the file; nothing is changed.
        let _only_slower = unsafe { madvise(start, len, Advice::LinuxPopulateRead) };
    }

    /// Asks how long the file has become: somebody else may have made it longer.
    ///
    /// # Errors
    ///
    /// The host's.
    pub(in crate::process) fn look_again(&mut self) -> Result<(), KhoError> {
        // INVARIANT: the length is what the file has and the mapping covers.
        self.valid = length(self.file.as_fd())?.as_usize().min(self.map.len());
        Ok(())
    }

    /// Makes the file at least `len` bytes long, which must lie within the mapping.
    ///
    /// # Errors
    ///
    /// [`KhoError::Host`].
    pub(in crate::process) fn grow(&mut self, len: ByteLen) -> Result<(), KhoError> {
        assert!(len.as_usize() <= self.map.len(), "a window cannot grow beyond what was mapped");
        if len.as_usize() > self.valid {
            ftruncate(&self.file, len.get()).map_err(host("ftruncate"))?;
            // INVARIANT: the file is that long now, and cannot shrink.
            self.valid = len.as_usize();
        }
        Ok(())
    }

    /// Allows stores, if they are not allowed yet.
    ///
    /// # Errors
    ///
    /// [`KhoError::Host`].
    pub(in crate::process) fn make_writable(&mut self) -> Result<(), KhoError> {
        if !self.writable {
            let flags = MprotectFlags::READ | MprotectFlags::WRITE;
            // SAFETY: exactly the mapping that this window owns; allowing more invalidates no reference into it.
            let changed = unsafe { mprotect(self.map.as_mut_ptr().cast(), self.map.len(), flags) };
            changed.map_err(host("mprotect"))?;
            // INVARIANT: the host said so.
            self.writable = true;
        }
        Ok(())
    }

    /// `len` bytes from offset `from` on; `None` unless the file has them.
    pub(in crate::process) fn bytes(&self, from: usize, len: usize) -> Option<&[u8]> {
        let end = from.checked_add(len)?;
        if end > self.valid {
            return None;
        }
        let start = self.map.as_ptr().wrapping_add(from);
        // SAFETY: by the invariants these bytes are mapped, readable and stay so while `self` is borrowed; nobody in
        // this process stores meanwhile, because that wants `&mut self`; who else may is said at the head of this file.
        Some(unsafe { core::slice::from_raw_parts(start, len) })
    }

    /// Stores whole words from offset `at` on, in ascending order, each in one piece. `false`, and nothing is stored,
    /// unless stores are allowed, the file has these bytes, and `at` and their number are multiples of 8.
    pub(in crate::process) fn store(&mut self, at: usize, bytes: &[u8]) -> bool {
        let (words, rest) = bytes.as_chunks::<WORD>();
        let inside = at.checked_add(bytes.len()).is_some_and(|end| end <= self.valid);
        if !self.writable || !inside || !rest.is_empty() || !at.is_multiple_of(WORD) {
            return false;
        }
        let mut slot = self.map.as_mut_ptr().wrapping_add(at);
        for word in words {
            // SAFETY: mapped, writable and inside the file, as checked; aligned, because the mapping starts at a page
            // and `at` is a multiple of 8. `&mut self` keeps every other access of this process away, and other
            // processes that look do so a word at a time or not before the offer.
            let slot_word = unsafe { AtomicU64::from_ptr(slot.cast()) };
            // Release: whoever sees a word sees all that was stored before it.
            slot_word.store(u64::from_le_bytes(*word).to_le(), Ordering::Release);
            slot = slot.wrapping_add(WORD);
        }
        true
    }
}

impl WordPage {
    /// Maps the page.
    ///
    /// # Errors
    ///
    /// As [`Window::open`], and [`OpenError::TooShort`].
    pub(in crate::process) fn open(file: OwnedFd, what: &'static str) -> Result<Self, OpenError> {
        let len = check(file.as_fd(), what)?.get();
        if len < FRAME_BYTES {
            return Err(OpenError::TooShort { file: what, len, least: FRAME_BYTES });
        }
        let file = File::from(file);
        let map = MmapOptions::new().len(FRAME_SIZE).map_raw(&file).map_err(host_io("mmap"))?;
        // INVARIANT: seal and length were checked.
        Ok(Self { file: file.into(), map })
    }

    pub(in crate::process) fn file(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// The word, as it is stored: little-endian.
    pub(in crate::process) fn atomic(&self) -> &AtomicU64 {
        // SAFETY: the first word of a page that is mapped, writable and aligned for as long as `self` lives; everybody
        // who maps it reaches it by atomic operations only.
        unsafe { AtomicU64::from_ptr(self.map.as_mut_ptr().cast()) }
    }
}

/// The length of a memfd that cannot shrink and can be written.
fn check(file: BorrowedFd<'_>, what: &'static str) -> Result<ByteLen, OpenError> {
    let seals = fcntl_get_seals(file).map_err(|_| OpenError::NotMemfd { file: what })?;
    if !seals.contains(SealFlags::SHRINK) {
        return Err(OpenError::MayShrink { file: what });
    }
    if seals.intersects(SealFlags::WRITE | SealFlags::FUTURE_WRITE) {
        return Err(OpenError::ReadOnly { file: what });
    }
    Ok(length(file)?)
}

fn length(file: BorrowedFd<'_>) -> Result<ByteLen, KhoError> {
    let stat = fstat(file).map_err(host("fstat"))?;
    Ok(ByteLen::new(u64::try_from(stat.st_size).unwrap_or(0)))
}
