//! Huge pages of the machine, borrowed for one test.
//!
//! A pool is everybody's, so one test at a time has its hands on it: a lock on the kernel's own file keeps the others
//! waiting, in whatever process they are. Pages that are free beyond those that a test asked for are taken out of its way,
//! so that it finds as many as it wants to and no more.

use std::fs::{self, File};
use std::path::PathBuf;

use luo_hugetlb::{HugetlbFile, Linux, PageSize, Pool, Port};
use rustix::fs::{FallocateFlags, fallocate};

/// Bytes of the pages that most tests use.
pub const PAGE: u64 = PageSize::MIB_2.bytes();

/// So many free pages, until it is dropped. Declare it before every file that uses them.
#[derive(Debug)]
pub struct Borrowed {
    page_size: PageSize,
    /// What this test added to the pool.
    added: u64,
    /// Holds the other free pages.
    others: Option<HugetlbFile>,
    _lock: File,
}

/// Pages of this size for the test of this name; where they cannot be had it says that the test is skipped, and why.
pub fn borrow(test: &str, page_size: PageSize, pages: u64) -> Option<Borrowed> {
    match Borrowed::fetch(page_size, pages) {
        Ok(borrowed) => Some(borrowed),
        Err(why) => {
            println!("SKIPPED: {test}: {why}");
            None
        }
    }
}

impl Borrowed {
    /// Exactly so many pages are free now.
    ///
    /// # Errors
    ///
    /// Why they cannot be had, in words.
    pub fn fetch(page_size: PageSize, pages: u64) -> Result<Self, String> {
        let path = count_of(page_size);
        let lock = File::open(&path).map_err(|_| format!("this machine has no huge pages of {page_size}"))?;
        lock.lock().map_err(|error| format!("{} cannot be locked: {error}", path.display()))?;
        let mut borrowed = Self { page_size, added: 0, others: None, _lock: lock };
        borrowed.have(pages)?;
        Ok(borrowed)
    }

    fn have(&mut self, pages: u64) -> Result<(), String> {
        let page_size = self.page_size;
        let before = self.unreserved().ok_or(format!("this machine has no huge pages of {page_size}"))?;
        if let Some(missing) = pages.checked_sub(before).filter(|missing| *missing > 0) {
            self.resize(i64::try_from(missing).unwrap_or(i64::MAX))?;
        }
        let free = self.unreserved().unwrap_or_default();
        if free < pages {
            let why = "the pool does not grow: its memory is in pieces, or this user may not";
            return Err(format!("{pages} huge pages of {page_size} are needed, {free} are free, and {why}"));
        }
        if free > pages {
            let others = HugetlbFile::create("others", (free - pages) * page_size.bytes(), page_size);
            let others = others.map_err(|error| format!("free pages cannot be put aside: {error}"))?;
            let all = fallocate(&others, FallocateFlags::empty(), 0, (free - pages) * page_size.bytes());
            all.map_err(|error| format!("free pages cannot be put aside: {error}"))?;
            self.others = Some(others);
        }
        Ok(())
    }

    fn resize(&mut self, by: i64) -> Result<(), String> {
        let path = count_of(self.page_size);
        let read = || -> Option<u64> { fs::read_to_string(&path).ok()?.trim().parse().ok() };
        let refused = || format!("{} cannot be changed", path.display());
        let before = read().ok_or_else(refused)?;
        let written = fs::write(&path, before.saturating_add_signed(by).to_string());
        let after = read().ok_or_else(refused)?;
        if by > 0 {
            self.added += after.saturating_sub(before);
        }
        written.map_err(|error| format!("{}: {error}", refused()))
    }

    /// The pool.
    pub fn pool(&self) -> Option<Pool> {
        pool(self.page_size)
    }

    /// Free pages that are promised to nobody.
    pub fn unreserved(&self) -> Option<u64> {
        Some(self.pool()?.unreserved())
    }
}

/// Where the kernel counts the pages: the one file that all tests see, whatever their folders are.
fn count_of(page_size: PageSize) -> PathBuf {
    let kib = page_size.bytes() >> 10;
    format!("/sys/kernel/mm/hugepages/hugepages-{kib}kB/nr_hugepages").into()
}

fn pool(page_size: PageSize) -> Option<Pool> {
    let pools = Linux::new().pools().ok()?;
    pools.into_iter().find(|pool| pool.page_size == page_size)
}

impl Drop for Borrowed {
    fn drop(&mut self) {
        self.others = None;
        let added = i64::try_from(self.added).unwrap_or(i64::MAX);
        if added > 0
            && let Err(error) = self.resize(-added)
        {
            println!("huge pages were not given back: {error}");
        }
    }
}
