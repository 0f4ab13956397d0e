//! The host is Linux.
//!
//! - [`HugetlbFile`] is a descriptor that several holders share.
//! - [`Linux`] is the port: what the handler asks the kernel for.
//! - A [`Loan`] makes the pool of a size larger until it is dropped.
//! - What belongs to an open file is found under `/proc`: its name, its mount, and a second way to it with a position
//!   of its own. Pools are found under `/sys`. Without these no file is taken.
//! - Populated pages are found with `userfaultfd(2)`. Nothing else tells: on hugetlbfs `SEEK_DATA` calls everything
//!   data, and `mincore` nothing.
//!
//! ```no_run
//! use luo_core::{Luo, Registry, SessionName, Token};
//! use luo_hugetlb::{HugetlbFile, HugetlbFiles, Linux, PageSize};
//! use luo_kho::process::{DEFAULT_CAPACITY, ProcessKho};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut registry = Registry::new();
//! registry.handler(HugetlbFiles::new(Linux::new()))?;
//! let memory = ProcessKho::create(DEFAULT_CAPACITY)?;
//! let (mut luo, owned) = Luo::found(memory, registry).map_err(|stuck| stuck.error)?;
//!
//! let guest = HugetlbFile::create("guest", 4 << 30, PageSize::MIB_2)?; // or HugetlbFile::from(fd)
//! let session = SessionName::new("vm-42")?;
//! luo.open_session(session)?;
//! luo.preserve(session, Token(0), guest)?;
//! // The successor: let guest: HugetlbFile = adopted.retrieve(session, Token(0))?;
//! # drop(owned);
//! # Ok(())
//! # }
//! ```

mod door;
mod draft;
mod file;
mod loan;
mod mounts;
mod pools;
mod port;

pub use draft::LinuxDraft;
pub use file::HugetlbFile;
pub use loan::{Loan, LoanError};

/// The port of this process's kernel.
#[derive(Clone, Copy, Debug, Default)]
pub struct Linux;

impl Linux {
    /// Asks nothing of the kernel yet.
    pub const fn new() -> Self {
        Self
    }
}

/// The page size of an open file, or of a folder in its file system; `None` if it has no huge pages.
fn page_size(file: std::os::fd::BorrowedFd<'_>) -> Result<Option<crate::PageSize>, crate::HostError> {
    /// `HUGETLBFS_MAGIC` in `statfs(2)`.
    const HUGETLBFS_MAGIC: rustix::fs::FsWord = 0x9584_58F6;
    let stat = rustix::fs::fstatfs(file).map_err(luo_descriptor::linux::failed("fstatfs"))?;
    if stat.f_type != HUGETLBFS_MAGIC {
        return Ok(None);
    }
    Ok(u64::try_from(stat.f_bsize).ok().and_then(crate::PageSize::new))
}
