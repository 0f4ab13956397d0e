//! Frozen: guests are stopped, the last changes are written, and nothing has been offered yet, or an offer failed.

use alloc::vec::Vec;
use core::fmt;

use luo_kho::ownership::{self, OwnershipError};
use luo_kho::{Departed, Kho, Offer, Owned};

use super::INSIDE;
use super::prepare::{Prepared, Work};
use crate::Stuck;
use crate::events::{State, Transition};
use crate::luo::{Luo, Step};

/// An update in which guests are stopped. Dropping it unfreezes and cancels, and leaves the right to run with the
/// [`Luo`], see [`Luo::take_right`].
#[must_use = "dropping the guard cancels the update"]
pub struct Frozen<'l, K: Kho> {
    // `None` only while a door is being crossed.
    inner: Option<Inner<'l, K>>,
}

pub(crate) struct Inner<'l, K: Kho> {
    pub(crate) work: Work<'l, K>,
    pub(crate) frozen: Vec<Step>,
    pub(crate) right: Right,
}

/// Where the right to run the guest is.
#[derive(Debug)]
pub(crate) enum Right {
    /// Here.
    Held(Owned),
    /// On offer, because it could not be taken back: the backend failed.
    Offered(Offer),
}

impl<'l, K: Kho> Frozen<'l, K> {
    pub(crate) fn new(work: Work<'l, K>, frozen: Vec<Step>, owned: Owned) -> Self {
        Self::from_inner(Inner { work, frozen, right: Right::Held(owned) })
    }

    pub(crate) fn from_inner(inner: Inner<'l, K>) -> Self {
        Self { inner: Some(inner) }
    }

    pub(crate) fn into_inner(mut self) -> Inner<'l, K> {
        self.inner.take().expect(INSIDE)
    }

    /// The orchestrator, to be looked at.
    #[expect(
        clippy::missing_panics_doc,
        reason = "the work leaves only through a door that consumes the guard"
    )]
    pub fn luo(&self) -> &Luo<K> {
        self.inner.as_ref().expect(INSIDE).work.luo
    }

    /// Goes back to prepared: guests may run again.
    ///
    /// # Errors
    ///
    /// Only after a handover whose offer could not be taken back: the guard comes back with the reason. If that is
    /// [`OwnershipError::Departed`], the guest runs elsewhere, and the guard lets go of everything when it is dropped.
    pub fn unfreeze(self) -> Result<(Prepared<'l, K>, Owned), Stuck<Self, OwnershipError>> {
        let mut inner = self.into_inner();
        let owned = match inner.right {
            Right::Held(owned) => owned,
            Right::Offered(offer) => match take_back(&mut inner.work, offer) {
                Ok(owned) => owned,
                Err(error) => return Err(Stuck::new(Self::from_inner(inner), error)),
            },
        };
        inner.work.luo.unfreeze_steps(&mut inner.frozen);
        inner.work.luo.bulletin.set(State::Prepared, Some(Transition::Cancel));
        Ok((Prepared::from_work(inner.work), owned))
    }

    /// Unfreezes and cancels.
    ///
    /// # Errors
    ///
    /// As [`unfreeze`](Self::unfreeze).
    pub fn cancel(self) -> Result<Owned, Stuck<Self, OwnershipError>> {
        let (prepared, owned) = self.unfreeze()?;
        prepared.cancel();
        Ok(owned)
    }
}

/// Revokes the offer, and then the name of the root.
pub(crate) fn take_back<K: Kho>(work: &mut Work<'_, K>, offer: Offer) -> Result<Owned, OwnershipError> {
    let owned = ownership::revoke(work.luo.memory_mut(), offer)?;
    work.luo.unseal();
    Ok(owned)
}

/// Lets go of everything because the guest runs elsewhere.
pub(crate) fn leave<K: Kho>(work: &mut Work<'_, K>, departed: Departed) -> Departed {
    work.luo.depart();
    departed
}

impl<K: Kho> Drop for Frozen<'_, K> {
    fn drop(&mut self) {
        let Some(mut inner) = self.inner.take() else { return };
        let owned = match inner.right {
            Right::Held(owned) => Ok(owned),
            Right::Offered(offer) => take_back(&mut inner.work, offer),
        };
        match owned {
            Ok(owned) => {
                inner.work.luo.unfreeze_steps(&mut inner.frozen);
                inner.work.luo.right = Some(owned);
                inner.work.cancel();
            }
            Err(OwnershipError::Departed(departed)) => {
                let _ = leave(&mut inner.work, departed);
            }
            // Nobody can say where the guest is. It may be lost, but it is not doubled: nothing is undone.
            Err(_) => inner.work.luo.depart(),
        }
    }
}

impl<K: Kho> fmt::Debug for Frozen<'_, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Frozen")
            .field("right", &self.inner.as_ref().map(|inner| &inner.right))
            .finish_non_exhaustive()
    }
}
