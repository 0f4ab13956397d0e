//! One huge page, mapped to be written.

use std::os::fd::{AsRawFd, BorrowedFd};

use luo_kho::ByteLen;
use memmap2::{MmapOptions, MmapRaw};

use crate::HostError;

/// A populated page of a file that this side fills.
///
/// # Invariants
///
/// - `map` is a shared mapping of `map.len()` bytes that may be written.
/// - The page was populated by the same thread before it was mapped, and nobody else changes the file: it is new, or
///   its users are stopped. So touching it does not fault for want of a page.
#[derive(Debug)]
pub(in crate::linux) struct Window {
    map: MmapRaw,
}

impl Window {
    /// Maps `len` bytes from byte `at` on.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub(in crate::linux) fn map(file: BorrowedFd<'_>, at: u64, len: u64) -> Result<Self, HostError> {
        let map = MmapOptions::new().offset(at).len(ByteLen::new(len).as_usize()).map_raw(file.as_raw_fd());
        // INVARIANT: `map_raw` maps shared, to be read and written; callers populate the page first.
        let refused = |error: std::io::Error| HostError {
            call: "mmap",
            errno: error.raw_os_error().unwrap_or_default(),
        };
        Ok(Self { map: map.map_err(refused)? })
    }

    /// Stores bytes from byte `at` of the page on. `false` if they do not fit into it.
    pub(in crate::linux) fn store(&self, at: u64, bytes: &[u8]) -> bool {
        let at = ByteLen::new(at).as_usize();
        let fits = at.checked_add(bytes.len()).is_some_and(|end| end <= self.map.len());
        if fits {
            // SAFETY: the range lies in the mapping, as was just checked.
            let place = unsafe { self.map.as_mut_ptr().add(at) };
            // SAFETY: `place` is good for `bytes.len()` bytes of a mapping that may be written; no reference into it
            // exists, so nothing overlaps.
            unsafe { place.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
        }
        fits
    }
}
