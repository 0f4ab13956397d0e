//! A carrier takes preserved memory, and the descriptors that reach it, across the gap: exec, a socket to another
//! process, a service manager's descriptor store, or a new kernel.

use alloc::borrow::Cow;
use alloc::string::String;

use crate::{Departed, Kho, KhoError, Offer};

/// A kind of descriptor, as carriers and file handlers name it: `memfd`, `hugetlb`, `guest_memfd`, ...
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DescriptorKind(pub &'static str);

/// Whether a carrier can take a kind of descriptor across.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Conveyance {
    /// The descriptor, or the frames behind it, reach the far side: nothing is copied.
    ByReference,
    /// It cannot. The contents would have to be copied into preserved frames.
    Refused {
        /// Why, for a person who reads a plan.
        reason: Cow<'static, str>,
    },
}

/// Why a carrier did not carry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CarrierError {
    /// The far side said no, and why.
    #[error("the successor refused: {reason}")]
    Refused {
        /// What it said.
        reason: String,
    },
    /// The far side did not answer in time.
    #[error("the successor did not {awaited} in time")]
    Deadline {
        /// What was waited for.
        awaited: &'static str,
    },
    /// The far side went away: it exited, or was killed.
    #[error("the successor went away; it was to {awaited}")]
    Gone {
        /// What was waited for.
        awaited: &'static str,
    },
    /// What the far side said makes no sense, or not all of what was sent arrived.
    #[error("the successor could not be understood: {what}")]
    Garbled {
        /// What is wrong.
        what: String,
    },
    /// The guardian died before the offer: nobody would bring the guest back.
    #[error("the guardian is gone, so there would be no way back")]
    Unguarded,
    /// What is to be carried has changed since the carrier was prepared: a segment, or a descriptor that was given
    /// along.
    #[error("what is to be carried has changed since the carrier was prepared")]
    CargoChanged,
    /// It was not prepared, or was cancelled.
    #[error("it cannot hand over: it is not prepared")]
    NotPrepared,
    /// A call on the host failed.
    #[error("{call} failed with errno {errno}")]
    Host {
        /// The call.
        call: &'static str,
        /// The host's error number.
        errno: i32,
    },
    /// The memory's backend failed.
    #[error(transparent)]
    Kho(#[from] KhoError),
}

/// One way across the gap. It takes part in the life cycle, because some need heavy work before the guest stops.
///
/// The orchestrator makes the offer before [`hand_over`](Self::hand_over) and revokes it if that fails; the
/// ownership word, not the carrier's answer, decides which side the guest is on.
pub trait Carrier<K: Kho + ?Sized> {
    /// The name in plans and messages: `exec`, `socket`, ...
    fn name(&self) -> &'static str;

    /// Whether descriptors of this kind can cross.
    fn conveys(&self, kind: DescriptorKind) -> Conveyance;

    /// Whatever can be done while the guest still runs. Everything that is to cross has been prepared: segments are
    /// attached, frames are allocated and preserved; only their bytes may still change until the offer.
    ///
    /// # Errors
    ///
    /// Anything that would make the handover fail; the carrier is then as before the call.
    fn prepare(&mut self, kho: &mut K) -> Result<(), CarrierError>;

    /// Undoes [`prepare`](Self::prepare). Cannot fail.
    fn cancel(&mut self, kho: &mut K);

    /// Takes the offer across. Returns only when this program's part is over, or when it failed.
    ///
    /// # Errors
    ///
    /// The guest is still on this side, unless the word says otherwise. The carrier is prepared, as before the call.
    fn hand_over(&mut self, kho: &mut K, offer: Offer) -> Result<Departed, CarrierError>;
}
