//! The footprint of whoever has a guest: its descriptors, and the memory that is nobody else's.

use crate::guest::Guest;

/// Kilobytes by which it may differ between two looks: an allocator's pages, a stack that was deeper once.
const SLACK: u64 = 256;
/// Descriptors by which it may differ: those of an update whose last steps nobody waits for. One update in ten that
/// left one behind would be found.
const DESCRIPTORS: u64 = 4;

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Footprint {
    descriptors: u64,
    /// Kilobytes of anonymous memory that are resident.
    anonymous: u64,
}

impl Footprint {
    /// Of the process that answered last.
    pub(crate) fn of(guest: &Guest) -> Self {
        let process = format!("/proc/{}", guest.pid());
        let descriptors = std::fs::read_dir(format!("{process}/fd")).unwrap().count() as u64;
        let status = std::fs::read_to_string(format!("{process}/status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
        let anonymous = line.trim().trim_end_matches(" kB").parse().unwrap();
        Self { descriptors, anonymous }
    }

    /// The larger of each.
    pub(crate) fn or(self, other: Self) -> Self {
        Self {
            descriptors: self.descriptors.max(other.descriptors),
            anonymous: self.anonymous.max(other.anonymous),
        }
    }

    /// As the other, or smaller.
    pub(crate) fn fits_into(self, other: Self) -> bool {
        self.descriptors <= other.descriptors + DESCRIPTORS && self.anonymous <= other.anonymous + SLACK
    }
}
