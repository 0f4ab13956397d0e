//! Huge pages for the tests that need some: they are **reserved** when the first of these tests comes up, and the
//! machine gets them back when the last of them has ended.
//!
//! One program of a machine does so at a time: it holds a lock on the kernel's own file. Without the right to reserve,
//! tests share what is free.

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::path::PathBuf;

use anyhow::{Context as _, Result};

use super::needs::{Bytes, Needs, size};

/// The pages that tests share, until it is dropped.
#[derive(Debug)]
pub(super) struct Reserve {
    /// Bytes of a page, what there was of it before, and with what was reserved.
    grown: BTreeMap<Bytes, (Counts, Counts)>,
    /// Where pages are counted.
    folder: PathBuf,
    /// Of counts of pages: held, so that nobody else reserves.
    locks: Vec<File>,
}

/// Pages of one size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Counts {
    all: u64,
    free: u64,
}

/// Where the kernel shows them.
const FOLDER: &str = "/sys/kernel/mm/hugepages";
/// How many pages of a size there are, in the folder of that size.
const COUNT: &str = "nr_hugepages";

impl Reserve {
    /// Reserves enough for each of `waiting`, and for so many side by side as `jobs` says, if the machine has them.
    /// `None` while somebody else has hands on the pools. Also says what there is to share.
    pub(super) fn fetch<'n>(
        waiting: impl IntoIterator<Item = &'n Needs>,
        jobs: usize,
    ) -> Result<Option<(Self, BTreeMap<Bytes, u64>)>> {
        let mut reserve = Self { grown: BTreeMap::new(), folder: FOLDER.into(), locks: Vec::new() };
        let wanted = wanted(waiting, jobs);
        for page in wanted.keys() {
            let path = reserve.file(*page, COUNT);
            // Of pages that this machine does not have there are none to share.
            let Ok(count) = File::open(&path) else { continue };
            match count.try_lock() {
                Err(TryLockError::WouldBlock) => return Ok(None),
                taken => taken.with_context(|| format!("cannot lock {}", path.display()))?,
            }
            reserve.locks.push(count);
        }
        let there = reserve.grow(&wanted);
        Ok(Some((reserve, there)))
    }

    fn grow(&mut self, wanted: &BTreeMap<Bytes, u64>) -> BTreeMap<Bytes, u64> {
        let mut there = BTreeMap::new();
        for (page, want) in wanted {
            let Some(before) = self.counts(*page) else { continue };
            if before.free < *want {
                // Who may not has what is free.
                let _refused = self.set(*page, before.all + want - before.free);
            }
            let after = self.counts(*page).unwrap_or(before);
            self.grown.insert(*page, (before, after));
            there.insert(*page, after.free.min(*want));
        }
        there
    }

    fn file(&self, page: Bytes, name: &str) -> PathBuf {
        self.folder.join(format!("hugepages-{}kB", page >> 10)).join(name)
    }

    fn counts(&self, page: Bytes) -> Option<Counts> {
        let read = |name| fs::read_to_string(self.file(page, name)).ok()?.trim().parse().ok();
        Some(Counts { all: read(COUNT)?, free: read("free_hugepages")? })
    }

    fn set(&self, page: Bytes, all: u64) -> std::io::Result<()> {
        fs::write(self.file(page, COUNT), all.to_string())
    }

    /// Gives back what was reserved. Nobody of ours runs any more who may have huge pages: those that are taken now and
    /// were not before are named, one line for each size. Where somebody else changed the count meanwhile nobody can
    /// tell.
    pub(super) fn put_back(self) -> Vec<String> {
        let mut left = Vec::new();
        for (page, (before, after)) in &self.grown {
            let Some(now) = self.counts(*page) else { continue };
            let taken = now.taken().saturating_sub(before.taken());
            if taken > 0 && now.all == after.all {
                left.push(format!("{taken} huge pages of {} are taken though nobody runs", size(*page)));
            }
            let reserved = after.all.saturating_sub(before.all);
            if reserved > 0
                && let Err(error) = self.set(*page, now.all.saturating_sub(reserved))
            {
                left.push(format!("huge pages of {} cannot be given back: {error}", size(*page)));
            }
        }
        left
    }
}

impl Counts {
    fn taken(self) -> u64 {
        self.all.saturating_sub(self.free)
    }
}

/// For each size what the `jobs` tests that need most need together: as many can run side by side.
fn wanted<'n>(waiting: impl IntoIterator<Item = &'n Needs>, jobs: usize) -> BTreeMap<Bytes, u64> {
    let mut counts: BTreeMap<Bytes, Vec<u64>> = BTreeMap::new();
    for needs in waiting {
        for (page, count) in &needs.huge {
            counts.entry(*page).or_default().push(*count);
        }
    }
    let most = |mut counts: Vec<u64>| {
        counts.sort_unstable_by(|a, b| b.cmp(a));
        counts.into_iter().take(jobs).sum()
    };
    counts.into_iter().map(|(page, counts)| (page, most(counts))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A machine that gives what it is asked for, as far as it goes.
    fn machine(all: u64, free: u64) -> (tempfile::TempDir, Reserve) {
        let folder = tempfile::tempdir().unwrap();
        let pages = folder.path().join("hugepages-2048kB");
        fs::create_dir(&pages).unwrap();
        fs::write(pages.join("nr_hugepages"), all.to_string()).unwrap();
        fs::write(pages.join("free_hugepages"), free.to_string()).unwrap();
        let reserve = Reserve { grown: BTreeMap::new(), folder: folder.path().to_owned(), locks: Vec::new() };
        (folder, reserve)
    }

    fn says(folder: &tempfile::TempDir, name: &str) -> String {
        fs::read_to_string(folder.path().join("hugepages-2048kB").join(name)).unwrap()
    }

    fn now(folder: &tempfile::TempDir, name: &str, count: u64) {
        fs::write(folder.path().join("hugepages-2048kB").join(name), count.to_string()).unwrap();
    }

    #[test]
    fn as_many_run_side_by_side_as_there_are_jobs() {
        let needs = ["huge-2M=8", "huge-2M=2", "huge-2M=4 huge-1G=1", ""].map(|words| words.parse().unwrap());
        assert_eq!(wanted(&needs, 2), BTreeMap::from([(2 << 20, 12), (1 << 30, 1)]));
    }

    #[test]
    fn what_is_missing_is_reserved_and_put_back() {
        let (folder, mut reserve) = machine(3, 2);
        let there = reserve.grow(&BTreeMap::from([(2 << 20, 10), (1 << 30, 1)]));
        assert_eq!(says(&folder, "nr_hugepages"), "11");
        // This machine does not count what it got as free; nobody has more than is free.
        assert_eq!(there, BTreeMap::from([(2 << 20, 2)]));
        now(&folder, "free_hugepages", 10);
        assert_eq!(reserve.put_back(), [""; 0]);
        assert_eq!(says(&folder, "nr_hugepages"), "3");
    }

    #[test]
    fn pages_that_stay_taken_are_named() {
        let (folder, mut reserve) = machine(0, 0);
        reserve.grow(&BTreeMap::from([(2 << 20, 4)]));
        now(&folder, "free_hugepages", 3);
        assert_eq!(reserve.put_back(), ["1 huge pages of 2 MiB are taken though nobody runs"]);
    }

    #[test]
    fn what_somebody_else_reserved_meanwhile_stays_theirs() {
        let (folder, mut reserve) = machine(0, 0);
        reserve.grow(&BTreeMap::from([(2 << 20, 4)]));
        now(&folder, "nr_hugepages", 24);
        now(&folder, "free_hugepages", 8);
        assert_eq!(reserve.put_back(), [""; 0]);
        assert_eq!(says(&folder, "nr_hugepages"), "20");
    }
}
