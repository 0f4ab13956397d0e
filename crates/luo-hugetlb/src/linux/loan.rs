//! A **loan**: huge pages by which a program makes the pool of a size larger for a while.
//!
//! A pool is everybody's, so one loan of a size at a time is open on a host: a lock on the kernel's own file keeps the
//! other borrowers waiting, in whatever process they are. Who takes pages without borrowing any is not kept from it.

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use super::pools::{SYS, count_of, read, refused, resize};
use crate::pool::{Node, Pool, Shortage};
use crate::{HostError, PageSize};

/// Huge pages that go back to the host's common memory when this is dropped. Drop what uses them first: a pool that
/// others make larger before the last page is free keeps those that are still in use.
///
/// ```no_run
/// use luo_hugetlb::{HugetlbFile, Loan, PageSize};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let loan = Loan::borrow(PageSize::MIB_2, 512)?; // waits for whoever else has borrowed
/// let guest = HugetlbFile::create("guest", 1 << 30, PageSize::MIB_2)?;
/// println!("{} pages were added to the pool", loan.added());
/// # drop(guest);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Loan {
    sys: PathBuf,
    page_size: PageSize,
    added: u64,
    _lock: File,
}

/// Why nothing was borrowed. The pool is as before.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoanError {
    /// The host refused.
    #[error(transparent)]
    Host(#[from] HostError),
    /// Pages are short: there is no such size, the host's memory is in pieces, or this user may not change the pool.
    #[error(transparent)]
    Shortage(#[from] Shortage),
}

impl Loan {
    /// Waits until nobody else has a loan of this size, and makes the pool large enough that `pages` are free and
    /// promised to nobody. A pool that is large enough is left as it is; others still have to wait.
    ///
    /// # Errors
    ///
    /// [`LoanError`].
    pub fn borrow(page_size: PageSize, pages: u64) -> Result<Self, LoanError> {
        Self::borrow_telling(page_size, pages, || ())
    }

    /// As [`borrow`](Self::borrow). If somebody else has a loan it calls `waits` before it waits.
    ///
    /// # Errors
    ///
    /// [`LoanError`].
    pub fn borrow_telling(page_size: PageSize, pages: u64, waits: impl FnOnce()) -> Result<Self, LoanError> {
        Self::of(SYS.as_ref(), page_size, pages, waits)
    }

    fn of(sys: &Path, page_size: PageSize, pages: u64, waits: impl FnOnce()) -> Result<Self, LoanError> {
        pool(sys, page_size, pages)?;
        let lock = File::open(count_of(sys, page_size)).map_err(refused("open(nr_hugepages)"))?;
        let locked = match lock.try_lock() {
            Err(TryLockError::WouldBlock) => {
                waits();
                lock.lock()
            }
            Err(TryLockError::Error(error)) => Err(error),
            Ok(()) => Ok(()),
        };
        locked.map_err(refused("flock(nr_hugepages)"))?;
        let mut loan = Self { sys: sys.into(), page_size, added: 0, _lock: lock };
        let missing = pages.saturating_sub(pool(sys, page_size, pages)?.unreserved());
        if missing > 0 {
            // What the host does not give, or not to this user, is told by the next look.
            loan.added = loan.resize(i64::try_from(missing).unwrap_or(i64::MAX)).unwrap_or_default();
        }
        let pool = pool(sys, page_size, pages)?;
        match pool.unreserved() {
            free if free < pages => Err(pool.too_few(pages, free).into()),
            _ => Ok(loan),
        }
    }

    fn resize(&self, by: i64) -> io::Result<u64> {
        resize(&self.sys, self.page_size, Node::UNKNOWN, by)
    }

    /// Their size.
    pub const fn page_size(&self) -> PageSize {
        self.page_size
    }

    /// How many were added to the pool.
    pub const fn added(&self) -> u64 {
        self.added
    }
}

/// The pool of this size, of which `needed` pages are wanted.
fn pool(sys: &Path, page_size: PageSize, needed: u64) -> Result<Pool, LoanError> {
    let pools = read(sys)?;
    let found = pools.iter().find(|pool| pool.page_size == page_size).cloned();
    let sizes = || pools.iter().map(|pool| pool.page_size).collect();
    found.ok_or_else(|| Shortage::NoSuchSize { page_size, needed, sizes: sizes() }.into())
}

impl Drop for Loan {
    fn drop(&mut self) {
        if self.added > 0 {
            // Others may have changed the pool meanwhile: what was added is taken away. Who may no longer change it
            // leaves the pages where they are.
            let _left_there = self.resize(-i64::try_from(self.added).unwrap_or(i64::MAX));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{create_dir_all, read_to_string, write};

    use super::*;

    /// A kernel's folder with a pool of so many pages, all of them free or not.
    fn sys(name: &str, all: u64, free: u64) -> PathBuf {
        let sys = std::env::temp_dir().join(alloc::format!("luo-hugetlb-loan-{name}-{}", std::process::id()));
        let pool = sys.join("kernel/mm/hugepages/hugepages-2048kB");
        create_dir_all(&pool).unwrap();
        let counts = [("nr", all), ("free", free), ("resv", 0), ("nr_overcommit", 0), ("surplus", 0)];
        for (count, pages) in counts {
            write(pool.join(alloc::format!("{count}_hugepages")), alloc::format!("{pages}\n")).unwrap();
        }
        sys
    }

    fn all(sys: &Path) -> alloc::string::String {
        read_to_string(count_of(sys, PageSize::MIB_2)).unwrap().trim().into()
    }

    #[test]
    fn a_pool_that_is_large_enough_is_left_as_it_is() {
        let sys = sys("enough", 9, 7);
        let loan = Loan::of(&sys, PageSize::MIB_2, 7, || panic!("it waits")).unwrap();
        assert_eq!((loan.added(), &*all(&sys)), (0, "9"));
        drop(loan);
        assert_eq!(all(&sys), "9");
        std::fs::remove_dir_all(sys).unwrap();
    }

    #[test]
    fn who_has_to_wait_is_told() {
        let sys = sys("waits", 9, 7);
        let first = Loan::of(&sys, PageSize::MIB_2, 1, || ()).unwrap();
        let second = Loan::of(&sys, PageSize::MIB_2, 1, || drop(first));
        assert_eq!(second.unwrap().added(), 0);
        std::fs::remove_dir_all(sys).unwrap();
    }

    #[test]
    fn what_a_pool_does_not_give_is_named_and_what_it_gave_goes_back() {
        // Nobody counts the pages that are added here as free ones.
        let sys = sys("short", 9, 7);
        let short = Loan::of(&sys, PageSize::MIB_2, 8, || ()).unwrap_err();
        let said = "8 pages of 2048 KiB are needed, 7 can be had (node 0: 7 free): 1 are missing";
        assert_eq!((alloc::format!("{short}"), &*all(&sys)), (said.into(), "9"));
        let none = Loan::of(&sys, PageSize::GIB_1, 1, || ()).unwrap_err();
        assert!(matches!(none, LoanError::Shortage(Shortage::NoSuchSize { needed: 1, .. })), "{none}");
        std::fs::remove_dir_all(sys).unwrap();
    }
}
