//! Adoption: the root is verified, what arrived is listed, nothing is consumed; then the commit.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;

use luo_kho::ownership::{self, OwnershipError};
use luo_kho::{ByteLen, Kho, KhoError, Name, Offer, Owned, PreservedArray, PreservedBox, StoreError};

use super::arrived::{Incoming, SubsystemState, live};
use super::desk::Desk;
use super::finish::Updated;
use super::retrieve::{RetrievedOne, retrieve, retrieve_all};
use super::{Fate, OrphanReason, RetrieveError};
use crate::events::State;
use crate::ledger::Claims;
use crate::luo::Luo;
use crate::registry::Registry;
use crate::scope::RetrieveScope;
use crate::view::View;
use crate::wire::{Image, RootV1, WireError};
use crate::{Cause, Kind, Participant, Phase, PhaseError, Record, Refusal, SessionName, Stuck, Token};

/// Why nothing was adopted. Whoever made the offer still has the guest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AdoptError {
    /// The memory's backend failed, or nothing is on offer.
    #[error(transparent)]
    Kho(#[from] KhoError),
    /// There is an offer, but no root.
    #[error("the memory is on offer but names no root")]
    NoRoot,
    /// The bytes are not believed.
    #[error(transparent)]
    Wire(#[from] WireError),
}

/// A handover that is being taken over. Dropping it gives it up: the bytes are as they were, and whoever offered them
/// takes the guest back.
#[must_use = "dropping it gives the handover up"]
pub struct Adopted<K: Kho> {
    pub(super) luo: Luo<K>,
    pub(super) incoming: Incoming,
    offer: Offer,
}

fn read_image<K: Kho>(kho: &K, offer: Offer) -> Result<Image, AdoptError> {
    let root = kho.root().ok_or(AdoptError::NoRoot)?;
    let name = Name::new(root.get())
        .ok_or(WireError::Impossible { section: "root", why: "its name is no frame" })?;
    let root = *PreservedBox::<RootV1>::open(kho, name).map_err(WireError::from)?.get();
    if root.turn.get() >= offer.word().turn().get() {
        return Err(WireError::Impossible { section: "root", why: "it is younger than the offer" }.into());
    }
    let bytes = read_array(kho, &root).map_err(WireError::from)?;
    Ok(Image::read(bytes?, &root)?)
}

fn read_array<K: Kho>(kho: &K, root: &RootV1) -> Result<Result<Vec<u8>, WireError>, StoreError> {
    let Some(name) = Name::new(root.image.get()) else {
        return Ok(Err(WireError::Impossible { section: "root", why: "the image's name is no frame" }));
    };
    let image = PreservedArray::<u8>::open(kho, name)?;
    let len = root.image_len.get();
    if len > image.len() {
        return Ok(Err(WireError::Truncated { section: "image" }));
    }
    // The frames exist, but memory that nobody wrote costs its writer nothing: who reads it pays.
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(ByteLen::new(len).as_usize()).map_err(|_| StoreError::BadLength {
        len: ByteLen::new(len),
        why: "this program has no memory for a copy",
    })?;
    bytes.resize(ByteLen::new(len).as_usize(), 0);
    image.read(kho, 0, &mut bytes)?;
    Ok(Ok(bytes))
}

impl<K: Kho> Luo<K> {
    /// Takes up what is on offer: reads and verifies the root and the records, and lists what arrived. Claims nothing.
    ///
    /// # Errors
    ///
    /// [`AdoptError`]; memory and registry come back, and nothing was changed.
    pub fn adopt(kho: K, registry: Registry) -> Result<Adopted<K>, Stuck<(K, Registry), AdoptError>> {
        let offered = || -> Result<(Offer, Incoming), AdoptError> {
            let word = kho.word()?;
            let offer = Offer::from_word(word).ok_or(KhoError::NotOffered { word })?;
            let image = read_image(&kho, offer)?;
            Ok((offer, Incoming::list(image, &registry)?))
        };
        match offered() {
            Ok((offer, incoming)) => {
                Ok(Adopted { luo: Self::assemble(kho, registry, State::Updated), incoming, offer })
            }
            Err(error) => Err(Stuck::new((kho, registry), error)),
        }
    }
}

impl<K: Kho> Adopted<K> {
    /// The offer that is being taken up.
    pub const fn offer(&self) -> Offer {
        self.offer
    }

    /// The orchestrator in the making, to be looked at.
    pub const fn luo(&self) -> &Luo<K> {
        &self.luo
    }

    /// Adds somebody who follows every event from now on.
    pub fn observe(&mut self, observer: impl crate::Observer + 'static) {
        self.luo.observe(observer);
    }

    /// Every session that arrived, in the order in which they were opened.
    pub fn sessions(&self) -> impl ExactSizeIterator<Item = SessionName> + '_ {
        self.incoming.sessions.keys().copied()
    }

    /// The tokens of a session that arrived, and what became of them so far; none if there is no such session.
    pub fn files(&self, session: SessionName) -> impl Iterator<Item = (Token, Kind, Fate)> + '_ {
        list(&self.incoming, session)
    }

    /// Makes a file again. The newest version that both sides know is read. In any order; each at most once.
    ///
    /// # Errors
    ///
    /// [`RetrieveError`]. A handler's refusal is remembered.
    pub fn retrieve<F: Clone + Send + Sync + 'static>(
        &mut self,
        session: SessionName,
        token: Token,
    ) -> Result<F, RetrieveError> {
        retrieve(&mut self.luo, &mut self.incoming, session, token)
    }

    /// Makes every file of one type again that nobody took yet, in registration order. Files of other types are
    /// passed over; one that fails does not concern the others.
    pub fn retrieve_all<F: Clone + Send + Sync + 'static>(&mut self) -> Vec<RetrievedOne<F>> {
        retrieve_all(&mut self.luo, &mut self.incoming)
    }

    /// The token under which a file was retrieved in `session`.
    pub fn token_of<F: core::any::Any>(&self, session: SessionName, file: &F) -> Option<Token> {
        self.luo.token_of(session, file)
    }

    /// Subsystems whose state arrived and cannot be read here.
    pub fn unreadable_subsystems(&self) -> impl Iterator<Item = (Kind, &OrphanReason)> {
        self.incoming.subsystems.iter().filter_map(|item| Some((item.name, item.object.as_ref().err()?)))
    }

    /// Gives each subsystem the state that arrived for it, in registration order. Each is asked once.
    ///
    /// # Errors
    ///
    /// The first refusal, now or at an earlier call, or a state that cannot be read here.
    pub fn restore(&mut self) -> Result<(), Box<PhaseError>> {
        for at in 0..self.incoming.subsystems.len() {
            self.restore_one(at)?;
        }
        Ok(())
    }

    fn restore_one(&mut self, at: usize) -> Result<(), Box<PhaseError>> {
        let Some(item) = self.incoming.subsystems.get(at) else { return Ok(()) };
        let name = item.name;
        let failed = |refusal: Refusal| Cause::from(refusal).by(Participant::Subsystem(name), Phase::Restore);
        let object = match (&item.state, &item.object) {
            (SubsystemState::Restored | SubsystemState::Waived, _) => return Ok(()),
            (SubsystemState::Failed(refusal), _) => return Err(failed(refusal.clone())),
            (SubsystemState::Waiting, Err(reason)) => return Err(failed(Refusal::new(reason.clone()))),
            (SubsystemState::Waiting, Ok(object)) => object.clone(),
        };
        let payload = Incoming::record(&self.incoming.image, &object).payload.to_vec();
        let Luo { kho, handlers, subsystems, identities, .. } = &mut self.luo;
        let Some(entry) = live(subsystems, name) else {
            return Err(failed(Refusal::new(OrphanReason::UnknownKind { kind: name })));
        };
        let mut claims = Claims::default();
        let mut scope = RetrieveScope {
            view: View::retrieve(&mut *kho, &mut claims),
            desk: Desk { incoming: &mut self.incoming, handlers, identities, depth: 0 },
            session: None,
            leans_on: &[],
        };
        let outcome =
            entry.subsystem.restore(&Record { version: object.version, payload: &payload }, &mut scope);
        if outcome.is_err() {
            claims.forgo(kho);
        }
        if let Some(item) = self.incoming.subsystems.get_mut(at) {
            item.claims.append(&mut claims);
            item.state = match &outcome {
                Ok(()) => SubsystemState::Restored,
                Err(refusal) => SubsystemState::Failed(refusal.clone()),
            };
        }
        outcome.map_err(failed)
    }

    /// Goes on without the state of a subsystem. `false` if none of this name arrived, or it was restored.
    pub fn waive(&mut self, name: Kind) -> bool {
        let item = self.incoming.subsystems.iter_mut().find(|item| item.name == name);
        let Some(item) = item.filter(|item| !matches!(item.state, SubsystemState::Restored)) else {
            return false;
        };
        item.state = SubsystemState::Waived;
        true
    }

    /// Takes the guest over. Everything that can fail lies before this; after it, enter the first vCPU.
    ///
    /// # Errors
    ///
    /// [`Cause::Ownership`] if the offer is gone: drop this and exit. [`Cause::Refused`] naming a subsystem whose
    /// state arrived and was neither restored nor waived.
    pub fn commit(mut self) -> Result<(Updated<K>, Owned), Stuck<Self, Box<PhaseError>>> {
        let open = self
            .incoming
            .subsystems
            .iter()
            .find(|item| !matches!(item.state, SubsystemState::Restored | SubsystemState::Waived));
        if let Some(item) = open {
            let refusal = Refusal::because("its state arrived and was not restored");
            let error = Cause::from(refusal).by(Participant::Subsystem(item.name), Phase::Commit);
            return Err(Stuck::new(self, error));
        }
        match ownership::commit(&mut self.luo.kho, self.offer) {
            Ok(owned) => Ok((Updated::new(self.luo, self.incoming), owned)),
            Err(error) => Err(Stuck::new(self, lost(error))),
        }
    }
}

fn lost(error: OwnershipError) -> Box<PhaseError> {
    Cause::Ownership(error).by(Participant::Records, Phase::Commit)
}

pub(super) fn list(
    incoming: &Incoming,
    session: SessionName,
) -> impl Iterator<Item = (Token, Kind, Fate)> + '_ {
    let entries = incoming.sessions.get(&session).into_iter().flat_map(|entries| &entries.files);
    entries.map(|(token, entry)| (*token, entry.kind, entry.fate()))
}

impl<K: Kho> fmt::Debug for Adopted<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Adopted")
            .field("offer", &self.offer)
            .field("incoming", &self.incoming)
            .finish_non_exhaustive()
    }
}
