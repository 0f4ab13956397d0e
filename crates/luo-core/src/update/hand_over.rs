//! The handover: the root is sealed and offered, and the carrier takes the offer across.
//!
//! Once the offer stands, only the ownership word says where the guest is. A carrier that fails after the successor
//! has committed has not failed; a carrier that succeeds before the commit is not believed. A [`Departed`] that shows a
//! later word is the word's own testimony, also where this side can no longer read it: after a kexec, say.

use alloc::boxed::Box;

use luo_kho::ownership::{self, Kept, OwnershipError};
use luo_kho::{Departed, Kho};

use super::freeze::{Frozen, Inner, Right, leave, take_back};
use crate::{Cause, Participant, Phase, PhaseError, Stuck};

impl<K: Kho> Frozen<'_, K> {
    /// Hands over. Returns when the guest runs elsewhere: close everything and exit.
    ///
    /// # Errors
    ///
    /// The guard comes back with the reason; the guest is still here and everything is frozen, as before the call.
    /// It can be handed over again, or unfrozen.
    pub fn hand_over(self) -> Result<Departed, Stuck<Self, Box<PhaseError>>> {
        let mut inner = self.into_inner();
        let records = |cause: Cause| cause.by(Participant::Records, Phase::HandOver);
        let owned = match inner.right {
            Right::Held(owned) => owned,
            Right::Offered(offer) => match take_back(&mut inner.work, offer) {
                Ok(owned) => owned,
                Err(OwnershipError::Departed(departed)) => return Ok(leave(&mut inner.work, departed)),
                Err(error) => return Err(stuck(inner, records(Cause::Ownership(error)))),
            },
        };
        if let Err(cause) = inner.work.luo.seal(&mut inner.work.records, owned.word().turn()) {
            inner.work.luo.unseal();
            inner.right = Right::Held(owned);
            return Err(stuck(inner, records(cause)));
        }
        let offer = match ownership::offer(inner.work.luo.memory_mut(), owned) {
            Ok(offer) => offer,
            Err(Kept { error: OwnershipError::Departed(departed), .. }) => {
                return Ok(leave(&mut inner.work, departed));
            }
            Err(Kept { kept, error }) => {
                inner.work.luo.unseal();
                inner.right = Right::Held(kept);
                return Err(stuck(inner, records(Cause::Ownership(error))));
            }
        };
        let carried = inner.work.carrier.hand_over(inner.work.luo.memory_mut(), offer);
        let named = Participant::Carrier(inner.work.carrier.name());
        let error = match carried {
            Ok(departed) if departed.word().turn() > offer.word().turn() => {
                return Ok(leave(&mut inner.work, departed));
            }
            Ok(_) => Cause::Ownership(OwnershipError::WrongTurn { attempt: "departing", word: offer.word() }),
            Err(error) => Cause::from(error),
        };
        // Whatever the carrier said: the word decides.
        match take_back(&mut inner.work, offer) {
            Err(OwnershipError::Departed(departed)) => Ok(leave(&mut inner.work, departed)),
            Ok(owned) => {
                inner.right = Right::Held(owned);
                Err(stuck(inner, error.by(named, Phase::HandOver)))
            }
            Err(backend) => {
                inner.right = Right::Offered(offer);
                Err(stuck(inner, records(Cause::Ownership(backend))))
            }
        }
    }
}

fn stuck<K: Kho>(inner: Inner<'_, K>, error: Box<PhaseError>) -> Stuck<Frozen<'_, K>, Box<PhaseError>> {
    Stuck::new(Frozen::from_inner(inner), error)
}
