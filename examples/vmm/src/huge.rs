//! Huge pages for guests, out of the pool of the host.

use luo_hugetlb::{HostError, Linux, Loan, LoanError, PageSize, Pool, Port as _, Shortage};

/// The pages that guests are made of.
pub(crate) const PAGE: PageSize = PageSize::MIB_2;

/// Why there are none for a guest.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HugeError {
    /// The host does not say what it has.
    #[error("this host shows no huge pages: {0}")]
    Host(#[from] HostError),
    /// Too few are free.
    #[error(
        "too few huge pages for the guest: {0}; `sysctl vm.nr_hugepages` is how many the host sets aside"
    )]
    Shortage(#[from] Shortage),
    /// The host gave none.
    #[error("too few huge pages for the guest, and the host adds none: {0}")]
    Loan(#[from] LoanError),
}

/// Whether so many bytes can be had.
///
/// # Errors
///
/// [`HugeError`]: with what is missing.
pub(crate) fn check(bytes: u64) -> Result<(), HugeError> {
    Ok(Pool::can_give(&Linux::new().pools()?, PAGE, PAGE.pages(bytes))?)
}

/// Makes the pool large enough for so many bytes, where it is not and this user may. Says so if it has to wait for
/// others.
///
/// # Errors
///
/// [`HugeError`]: with what is still missing.
pub(crate) fn borrow(bytes: u64) -> Result<Loan, HugeError> {
    let waits = || eprintln!("waiting for the pool of huge pages: somebody else has borrowed from it");
    Ok(Loan::borrow_telling(PAGE, PAGE.pages(bytes), waits)?)
}
