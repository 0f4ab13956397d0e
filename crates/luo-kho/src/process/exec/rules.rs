//! What becomes of this process's descriptors and signals before exec, and how it is undone if exec fails.
//!
//! Every descriptor above standard error is closed on exec, except those that are carried. No signal stays blocked or
//! ignored.

use alloc::vec::Vec;

use rustix::io::Errno;

use crate::process::door::{self, Disposition, all_close_on_exec, closes_on_exec, set_closes_on_exec};

const ABOVE_STDERR: i32 = 3;

/// How descriptors and signals were. Dropping it makes them so again.
#[derive(Debug)]
pub(super) struct Departure {
    /// Descriptors, and whether each was closed on exec.
    flags: Vec<(i32, bool)>,
    ignored: u64,
    mask: Option<u64>,
}

impl Departure {
    /// Makes everything ready for exec. `ignored` are the signals that are ignored.
    ///
    /// # Errors
    ///
    /// The host's, with everything as it was.
    pub(super) fn begin(carried: &[i32], ignored: u64) -> Result<Self, Errno> {
        let mut flags = Vec::new();
        for file in open_files()? {
            // What was closed since it was listed is nobody's.
            if let Ok(closes) = closes_on_exec(file)
                && (!closes || carried.contains(&file))
            {
                flags.push((file, closes));
            }
        }
        let mut departure = Self { flags, ignored: 0, mask: None };
        match all_close_on_exec(ABOVE_STDERR) {
            Ok(()) => {}
            // An older kernel: one by one.
            Err(Errno::INVAL | Errno::NOSYS) => {
                for &(file, _) in &departure.flags {
                    set_closes_on_exec(file, true)?;
                }
            }
            Err(errno) => return Err(errno),
        }
        for &file in carried {
            set_closes_on_exec(file, false)?;
        }
        departure.ignored = ignored;
        door::dispose(ignored, Disposition::Default);
        departure.mask = Some(door::set_mask(0));
        Ok(departure)
    }
}

impl Drop for Departure {
    fn drop(&mut self) {
        if let Some(mask) = self.mask {
            door::set_mask(mask);
        }
        door::dispose(self.ignored, Disposition::Ignored);
        for &(file, closes) in &self.flags {
            let _closed_since = set_closes_on_exec(file, closes);
        }
    }
}

/// Every open descriptor above standard error.
fn open_files() -> Result<Vec<i32>, Errno> {
    let errno = |error: std::io::Error| Errno::from_io_error(&error).unwrap_or(Errno::IO);
    let mut files = Vec::new();
    for entry in std::fs::read_dir("/proc/self/fd").map_err(errno)? {
        let name = entry.map_err(errno)?.file_name();
        let file: Option<i32> = name.to_str().and_then(|name| name.parse().ok());
        files.extend(file.filter(|file| *file >= ABOVE_STDERR));
    }
    Ok(files)
}
