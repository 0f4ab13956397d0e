//! The ownership protocol: who may run the guest, decided by one compare-and-swap.
//!
//! | from -> to | by | here |
//! |---|---|---|
//! | `VACANT -> RUNNING(A)` | the first program on fresh memory | [`found`] |
//! | `RUNNING(A) -> OFFERED(A)` | A, with its vCPUs stopped and the root sealed | [`offer`] |
//! | `OFFERED(A) -> RUNNING(B)` | B: the commit | [`commit`] |
//! | `OFFERED(A) -> RUNNING(A)` | A, still alive: refusal, deadline, death of B | [`revoke`] |
//! | `OFFERED(A) -> OFFERED(A)`, new turn | the guardian: whoever read the old offer is shut out | [`reoffer`] |
//! | `RUNNING(A) -> RETIRED(A)` | A, on purpose: nobody restores | [`retire`] |
//!
//! [`Owned`] is the right to run the guest, as a value: it is made here, by a swap that succeeded, and in no other
//! place; it cannot be copied; stopping the guest means giving it up. Whoever loses a swap gets [`Departed`]: close
//! everything and exit. Messages between programs are hints; the word decides.

mod word;
pub mod shared;

pub use word::{Holding, Owner, Turn, Word};

use crate::{Kho, KhoError};

/// The right to run the guest. The function that enters a vCPU asks for one.
///
/// One exists for each word that says `RUNNING`, in the program that the word names.
#[must_use = "whoever drops the right to run the guest leaves it stopped"]
#[derive(Debug, PartialEq, Eq)]
pub struct Owned {
    word: Word,
}

/// An offer that stands until its word is swapped. Plain data: a message may carry its turn to the successor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer {
    word: Word,
}

/// Proof that the memory belongs to somebody else now: close everything and exit.
#[must_use = "whoever departed has to stop touching the memory"]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Departed {
    word: Word,
}

/// Why the word was not moved.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OwnershipError {
    /// Somebody else moved the word first: this program departs.
    #[error("the memory went to somebody else: its word says {}", .0.word)]
    Departed(Departed),
    /// The word does not allow this turn.
    #[error("{attempt} is not possible while the ownership word says {word}")]
    WrongTurn {
        /// The turn.
        attempt: &'static str,
        /// What the word says.
        word: Word,
    },
    /// The word has been moved as often as it can be.
    #[error("the ownership word has no turn left after {word}")]
    TurnsUsedUp {
        /// The last word.
        word: Word,
    },
    /// The backend failed; the word was not moved.
    #[error(transparent)]
    Kho(KhoError),
}

/// A turn that did not happen gives back what it was given.
#[must_use = "the right to run the guest is still inside"]
#[derive(Debug, PartialEq, Eq)]
pub struct Kept<T> {
    /// What the caller gave.
    pub kept: T,
    /// Why nothing happened.
    pub error: OwnershipError,
}

impl Owned {
    /// The word that gave the right.
    pub const fn word(&self) -> Word {
        self.word
    }
}

impl Offer {
    /// The word that makes the offer.
    pub const fn word(self) -> Word {
        self.word
    }

    /// The offer that this word makes; `None` unless it says `OFFERED`. How a guardian or a successor gets at it.
    pub fn from_word(word: Word) -> Option<Self> {
        (word.holding() == Holding::Offered).then_some(Self { word })
    }
}

impl Departed {
    /// Reads the word and says whether the offer was taken: how a carrier learns that its part is over.
    ///
    /// # Errors
    ///
    /// The backend's, if the word cannot be read.
    pub fn witness<K: Kho + ?Sized>(kho: &K, offer: Offer) -> Result<Option<Self>, KhoError> {
        let word = kho.word()?;
        Ok((word != offer.word).then_some(Self { word }))
    }

    /// What the word said when the swap was lost.
    pub const fn word(self) -> Word {
        self.word
    }
}

impl From<KhoError> for OwnershipError {
    fn from(error: KhoError) -> Self {
        match error {
            KhoError::SwapLost { found, .. } => Self::Departed(Departed { word: found }),
            other => Self::Kho(other),
        }
    }
}

fn turn<K: Kho + ?Sized>(
    kho: &mut K,
    from: Word,
    owner: Owner,
    holding: Holding,
) -> Result<Word, OwnershipError> {
    let to = from.next(owner, holding).ok_or(OwnershipError::TurnsUsedUp { word: from })?;
    kho.swap(from, to)?;
    Ok(to)
}

/// Takes fresh memory: `VACANT -> RUNNING`.
///
/// # Errors
///
/// [`OwnershipError::WrongTurn`] if the memory is not fresh.
pub fn found<K: Kho + ?Sized>(kho: &mut K) -> Result<Owned, OwnershipError> {
    let word = kho.word()?;
    if word.holding() != Holding::Vacant {
        return Err(OwnershipError::WrongTurn { attempt: "founding", word });
    }
    Ok(Owned { word: turn(kho, word, Owner::FIRST, Holding::Running)? })
}

/// Offers the memory: `RUNNING(A) -> OFFERED(A)`. vCPUs are stopped, I/O is drained, the root is sealed.
///
/// # Errors
///
/// The right to run comes back unless somebody else had moved the word ([`OwnershipError::Departed`]), in which
/// case it is worth nothing.
pub fn offer<K: Kho + ?Sized>(kho: &mut K, owned: Owned) -> Result<Offer, Kept<Owned>> {
    match turn(kho, owned.word, owned.word.owner(), Holding::Offered) {
        Ok(word) => Ok(Offer { word }),
        Err(error) => Err(Kept { kept: owned, error }),
    }
}

/// Takes the memory over: `OFFERED(A) -> RUNNING(B)`. The commit; nothing that can fail may lie between it and
/// the entry of the first vCPU.
///
/// # Errors
///
/// [`OwnershipError::Departed`] if the offer was revoked, renewed, or taken by somebody else.
pub fn commit<K: Kho + ?Sized>(kho: &mut K, offer: Offer) -> Result<Owned, OwnershipError> {
    let word = turn(kho, offer.word, offer.word.owner().successor(), Holding::Running)?;
    Ok(Owned { word })
}

/// Takes the guest back: `OFFERED(A) -> RUNNING(A)`.
///
/// # Errors
///
/// [`OwnershipError::Departed`] if the successor committed first, or a guardian shut this program out.
pub fn revoke<K: Kho + ?Sized>(kho: &mut K, offer: Offer) -> Result<Owned, OwnershipError> {
    let word = turn(kho, offer.word, offer.word.owner(), Holding::Running)?;
    Ok(Owned { word })
}

/// Renews the offer: `OFFERED(A) -> OFFERED(A)` with a new turn. The guardian's turn: a successor that read the
/// old offer can no longer commit.
///
/// # Errors
///
/// [`OwnershipError::Departed`] if the offer was taken or revoked first.
pub fn reoffer<K: Kho + ?Sized>(kho: &mut K, offer: Offer) -> Result<Offer, OwnershipError> {
    let word = turn(kho, offer.word, offer.word.owner(), Holding::Offered)?;
    Ok(Offer { word })
}

/// Ends on purpose: `RUNNING(A) -> RETIRED(A)`. Nobody restores what this memory holds.
///
/// # Errors
///
/// The right to run comes back with the reason.
pub fn retire<K: Kho + ?Sized>(kho: &mut K, owned: Owned) -> Result<(), Kept<Owned>> {
    match turn(kho, owned.word, owned.word.owner(), Holding::Retired) {
        Ok(_) => Ok(()),
        Err(error) => Err(Kept { kept: owned, error }),
    }
}
