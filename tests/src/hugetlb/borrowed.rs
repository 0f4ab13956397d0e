//! Huge pages of the machine, borrowed for one test.
//!
//! A pool is everybody's, so one test at a time has its hands on it: the others wait until its loan is over. Pages that
//! are free beyond those that a test asked for are taken out of its way, so that it finds as many as it wants to and no
//! more.

use luo_hugetlb::{HugetlbFile, Linux, Loan, PageSize, Pool, Port};
use rustix::fs::{FallocateFlags, fallocate};

/// Bytes of the pages that most tests use.
pub const PAGE: u64 = PageSize::MIB_2.bytes();

/// So many free pages, until it is dropped. Declare it before every file that uses them.
#[derive(Debug)]
pub struct Borrowed {
    /// Holds the other free pages.
    _others: Option<HugetlbFile>,
    // Dropped last: others may look at the pool then.
    loan: Loan,
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
        let loan = Loan::borrow(page_size, pages).map_err(|error| error.to_string())?;
        let free = pool(page_size).map_or(0, |pool| pool.unreserved());
        let others = free.checked_sub(pages).filter(|others| *others > 0);
        let others = others.map(|others| put_aside(page_size, others)).transpose();
        let others = others.map_err(|error| format!("free pages cannot be put aside: {error}"))?;
        Ok(Self { _others: others, loan })
    }

    /// The pool.
    pub fn pool(&self) -> Option<Pool> {
        pool(self.loan.page_size())
    }

    /// Free pages that are promised to nobody.
    pub fn unreserved(&self) -> Option<u64> {
        Some(self.pool()?.unreserved())
    }
}

fn pool(page_size: PageSize) -> Option<Pool> {
    let pools = Linux::new().pools().ok()?;
    pools.into_iter().find(|pool| pool.page_size == page_size)
}

/// A file that takes so many pages.
fn put_aside(page_size: PageSize, pages: u64) -> std::io::Result<HugetlbFile> {
    let bytes = pages * page_size.bytes();
    let file = HugetlbFile::create("others", bytes, page_size)?;
    fallocate(&file, FallocateFlags::empty(), 0, bytes)?;
    Ok(file)
}
