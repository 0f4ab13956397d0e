//! Private memory, for an embedder with the means to get it out of the guest and into another.
//!
//! - To **export** a page is to make bytes of it that the host may hold: encrypted by a firmware, for instance. To
//!   **import** it is to make the page of them again. What the bytes mean is nobody else's business.

use core::ops::Range;

use luo_core::Refusal;

/// A way to the private pages of one file: what the host itself cannot read.
///
/// An embedder who has one gives it to [`GuestMemfds::private_memory`](crate::GuestMemfds::private_memory). Pages are
/// exported while the guest is stopped, and imported before the commit, into a file that nobody uses yet.
pub trait PrivateMemory: Send {
    /// The first run of pages at or after `page` that exist, private ones or not.
    ///
    /// # Errors
    ///
    /// A refusal stops prepare or freeze.
    fn next_present(&mut self, page: u64) -> Result<Option<Range<u64>>, Refusal>;

    /// Fills `bytes`, 4 KiB, with what `page` becomes.
    ///
    /// # Errors
    ///
    /// A refusal stops freeze.
    fn export(&mut self, page: u64, bytes: &mut [u8]) -> Result<(), Refusal>;

    /// Makes `page` of what it became.
    ///
    /// # Errors
    ///
    /// A refusal refuses the retrieve.
    fn import(&mut self, page: u64, bytes: &[u8]) -> Result<(), Refusal>;
}
