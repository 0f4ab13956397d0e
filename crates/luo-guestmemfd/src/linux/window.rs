//! A whole guest_memfd, mapped: the only way in which the host reaches what is in it.
//!
//! A page that is touched exists from then on. So whoever copies asks first which pages do. Touching one that cannot be
//! had is a bus error, so whoever copies populates first, and is told.

use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;
use std::fs::File;
use std::io;

use luo_kho::{ByteLen, FRAME_BYTES};
use vm_memory::{FileOffset, MmapRegion, VolatileMemory as _, VolatileSlice};

use super::door;

/// Pages of which the kernel is asked at once: 1 GiB, in 256 KiB of answers.
const ASKED: u64 = 1 << 18;

/// A mapping of a whole file, to be read and written.
pub struct Window {
    mapping: MmapRegion,
    pages: u64,
}

impl Window {
    pub(super) fn of(file: File, pages: u64) -> io::Result<Self> {
        let len = ByteLen::new(pages.saturating_mul(FRAME_BYTES)).as_usize();
        let access = libc::PROT_READ | libc::PROT_WRITE;
        let mapping = MmapRegion::build(Some(FileOffset::new(file, 0)), len, access, libc::MAP_SHARED);
        let mapping = mapping.map_err(|error| match error {
            vm_memory::mmap::MmapRegionError::Mmap(error) => error,
            other => io::Error::other(other),
        })?;
        Ok(Self { mapping, pages })
    }

    /// The mapping. Others may write it at any time: it is volatile memory.
    pub const fn mapping(&self) -> &MmapRegion {
        &self.mapping
    }

    /// Which pages exist: ascending, not touching.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn present(&self) -> io::Result<Vec<Range<u64>>> {
        let mut runs: Vec<Range<u64>> = Vec::new();
        let mut exists = vec![0; ByteLen::new(self.pages.min(ASKED)).as_usize()];
        let mut page = 0;
        while page < self.pages {
            let count = (self.pages - page).min(ASKED);
            let exists = exists.get_mut(..ByteLen::new(count).as_usize()).unwrap_or_default();
            door::mincore(&self.mapping, page, exists)?;
            for (page, _) in (page..).zip(exists).filter(|(_, exists)| **exists & 1 == 1) {
                match runs.last_mut() {
                    Some(run) if run.end == page => run.end += 1,
                    _ => runs.push(page..page + 1),
                }
            }
            page += count;
        }
        Ok(runs)
    }

    /// Puts pages in place, so that reading or writing them cannot fail, or says why it would. Those that did not exist
    /// do from then on.
    ///
    /// # Errors
    ///
    /// The kernel's: `EHWPOISON` for a page whose memory is broken; where there is no memory, or the guest has the
    /// pages to itself, `ENOMEM` or `EFAULT`.
    pub fn populate(&self, pages: &Range<u64>, write: bool) -> io::Result<()> {
        door::populate(&self.mapping, pages, write)
    }

    /// Reads from byte `at` on.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::UnexpectedEof`]: beyond the end.
    pub fn read(&self, at: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.part(at, bytes.len())?.copy_to(bytes);
        Ok(())
    }

    /// Writes from byte `at` on.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    pub fn write(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.part(at, bytes.len())?.copy_from(bytes);
        Ok(())
    }

    /// Copies pages to the same place in another file, however large they are.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    pub fn copy_to(&self, other: &Self, pages: &Range<u64>) -> io::Result<()> {
        let at = pages.start * FRAME_BYTES;
        let len = ByteLen::new((pages.end - pages.start) * FRAME_BYTES).as_usize();
        self.part(at, len)?.copy_to_volatile_slice(other.part(at, len)?);
        Ok(())
    }

    fn part(&self, at: u64, len: usize) -> io::Result<VolatileSlice<'_>> {
        let part = self.mapping.get_slice(ByteLen::new(at).as_usize(), len);
        part.map_err(|error| io::Error::new(io::ErrorKind::UnexpectedEof, error))
    }
}

impl fmt::Debug for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Window").field("pages", &self.pages).finish_non_exhaustive()
    }
}
