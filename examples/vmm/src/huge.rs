//! Huge pages for guests, out of the pool of the host.
//!
//! - The **pool** is what the administrator has set aside: `nr_hugepages`. Of it some are free, and some of these promised.
//! - A [`Loan`] is pages by which the demo has made the pool larger. They go back when it is dropped. Until then whoever else
//!   makes it larger for a while waits, if he asks for the lock: the tests of `luo-hugetlb` do.

use std::fs::File;
use std::io;
use std::path::Path;

use luo_hugetlb::PageSize;

/// The pages that guests are made of.
pub(crate) const PAGE: PageSize = PageSize::MIB_2;
/// Where the kernel shows their pool.
const POOL: &str = "/sys/kernel/mm/hugepages/hugepages-2048kB";

/// See the room's head.
#[derive(Debug)]
pub(crate) struct Loan {
    pages: u64,
    _lock: File,
}

/// Why there are not enough.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HugeError {
    /// This host has none of this size.
    #[error("this host has no huge pages of 2 MiB: {0}")]
    None(#[source] io::Error),
    /// Too few are free.
    #[error(
        "the guest needs {needed} huge pages of 2 MiB, {free} are free: {missing} are missing; \
         `sysctl vm.nr_hugepages={enough}` asks the host for them"
    )]
    TooFew {
        /// How many it needs.
        needed: u64,
        /// How many nobody has, and nobody was promised.
        free: u64,
        /// The difference.
        missing: u64,
        /// How large the pool would have to be.
        enough: u64,
    },
}

fn count(name: &str) -> Result<u64, HugeError> {
    let text = std::fs::read_to_string(Path::new(POOL).join(name)).map_err(HugeError::None)?;
    text.trim().parse().map_err(io::Error::other).map_err(HugeError::None)
}

/// Whether so many bytes can be had.
///
/// # Errors
///
/// [`HugeError`]: with what is missing.
pub(crate) fn check(bytes: u64) -> Result<(), HugeError> {
    let needed = PAGE.pages(bytes);
    let free = count("free_hugepages")?.saturating_sub(count("resv_hugepages")?);
    match needed.checked_sub(free) {
        None | Some(0) => Ok(()),
        Some(missing) => {
            let enough = count("nr_hugepages")? + missing;
            Err(HugeError::TooFew { needed, free, missing, enough })
        }
    }
}

/// Makes the pool large enough for so many bytes, where it is not and this user may; nothing else has to be given back.
///
/// # Errors
///
/// [`HugeError`]: with what is still missing.
pub(crate) fn borrow(bytes: u64) -> Result<Option<Loan>, HugeError> {
    let lock = File::open(Path::new(POOL).join("nr_hugepages")).map_err(HugeError::None)?;
    lock.lock().map_err(HugeError::None)?;
    let Err(HugeError::TooFew { enough, .. }) = check(bytes) else {
        return check(bytes).map(|()| Some(Loan { pages: 0, _lock: lock }));
    };
    let before = count("nr_hugepages")?;
    // What the host does not give, or not to this user, is told by the next look.
    let _refused = resize(enough);
    let loan = Loan { pages: count("nr_hugepages")?.saturating_sub(before), _lock: lock };
    check(bytes).map(|()| Some(loan))
}

fn resize(pages: u64) -> io::Result<()> {
    std::fs::write(Path::new(POOL).join("nr_hugepages"), pages.to_string())
}

impl Drop for Loan {
    fn drop(&mut self) {
        // Others may have changed the pool meanwhile: what was added is taken away.
        let given_back = count("nr_hugepages").map_err(io::Error::other);
        let given_back = given_back.and_then(|now| resize(now.saturating_sub(self.pages)));
        if let Err(error) = given_back {
            eprintln!("luo-vmm: {} huge pages stay with the host's pool: {error}", self.pages);
        }
    }
}
