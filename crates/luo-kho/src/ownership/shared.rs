//! The ownership word where several programs see it: one atomic, in whatever memory they share.
//!
//! Who loads the word sees everything that was written before the swap that made it; so the image is whole when the
//! offer is seen, and the guest's memory when the guest goes on elsewhere.

#[cfg(not(loom))]
use core::sync::atomic::{AtomicU64, Ordering};
#[cfg(loom)]
use loom::sync::atomic::{AtomicU64, Ordering};

use super::Word;
use crate::KhoError;

fn believe(bits: u64) -> Result<Word, KhoError> {
    Word::from_bits(u64::from_le(bits)).ok_or(KhoError::BadWord { bits: u64::from_le(bits) })
}

/// Reads a shared word. Allocates nothing.
///
/// # Errors
///
/// [`KhoError::BadWord`].
pub fn load(shared: &AtomicU64) -> Result<Word, KhoError> {
    believe(shared.load(Ordering::Acquire))
}

/// Moves a shared word. Allocates nothing.
///
/// # Errors
///
/// [`KhoError::SwapLost`] if it says something else, [`KhoError::BadWord`] if that is no word.
pub fn swap(shared: &AtomicU64, from: Word, to: Word) -> Result<(), KhoError> {
    let (old, new) = (from.to_bits().to_le(), to.to_bits().to_le());
    match shared.compare_exchange(old, new, Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => Ok(()),
        Err(found) => Err(KhoError::SwapLost { expected: from, found: believe(found)? }),
    }
}
