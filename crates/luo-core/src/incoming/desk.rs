//! The desk where arrived things are asked for, by users and by each other.
//!
//! A file that depends on another asks for it here while it is retrieved itself; so does one that leans on a shared
//! object. Circles are seen by the entry that is under way, and the depth is bounded.

use core::any::Any;

use luo_kho::Memory;

use super::arrived::{FileState, Incoming, Listed, Readable, SharedState};
use super::retrieve::{RetrieveError, SharedNotRetrieved};
use crate::ledger::Claims;
use crate::outgoing::{Identities, Place};
use crate::registry::Handlers;
use crate::scope::RetrieveScope;
use crate::view::View;
use crate::{Kind, Refusal, SessionName, Token};

/// How deep files may depend on files: each level is a frame of the stack. A VM, its devices and their memory make
/// three; 32 leaves room.
pub(crate) const DEPTH_MAX: u32 = 32;

/// Access to what arrived, for one retrieve.
pub(crate) struct Desk<'a> {
    pub(crate) incoming: &'a mut Incoming,
    pub(crate) handlers: &'a Handlers,
    pub(crate) identities: &'a mut Identities,
    pub(crate) depth: u32,
}

impl Desk<'_> {
    fn lend(&mut self, depth: u32) -> Desk<'_> {
        let Self { incoming, handlers, identities, depth: _ } = self;
        Desk { incoming, handlers, identities, depth }
    }

    /// A file for a participant that depends on it.
    pub(crate) fn depend<F: Clone + 'static>(
        &mut self,
        memory: &mut dyn Memory,
        session: SessionName,
        token: Token,
    ) -> Result<F, RetrieveError> {
        let at = self.incoming.locate(session, token)?;
        self.lend(self.depth + 1).make::<F>(memory, Place { session, token }, at)?;
        let file = match &self.incoming.file(at).state {
            FileState::Retrieved { file, .. } => (**file).downcast_ref::<F>(),
            _ => None,
        };
        file.cloned().ok_or(RetrieveError::WrongType { session, token })
    }

    /// A file for its user: as [`depend`](Self::depend), once.
    pub(crate) fn take<F: Clone + 'static>(
        &mut self,
        memory: &mut dyn Memory,
        session: SessionName,
        token: Token,
    ) -> Result<F, RetrieveError> {
        let at = self.incoming.locate(session, token)?;
        if matches!(self.incoming.file(at).state, FileState::Retrieved { taken: true, .. }) {
            return Err(RetrieveError::AlreadyRetrieved { session, token });
        }
        self.make::<F>(memory, Place { session, token }, at)?;
        let FileState::Retrieved { file, taken, .. } = &mut self.incoming.file(at).state else {
            unreachable!("`make` left the file retrieved");
        };
        let file = (**file).downcast_ref::<F>().ok_or(RetrieveError::WrongType { session, token })?.clone();
        *taken = true;
        Ok(file)
    }

    /// Makes sure that a file is retrieved, or says why it is not. The type is checked before the handler is called:
    /// a mistyped question does not spend the record.
    fn make<F: 'static>(
        &mut self,
        memory: &mut dyn Memory,
        place: Place,
        at: Listed,
    ) -> Result<(), RetrieveError> {
        let Place { session, token } = place;
        let entry = self.incoming.file(at);
        let readable = match (&entry.state, &entry.readable) {
            (FileState::Retrieved { .. }, _) => return Ok(()),
            (FileState::Finished, _) => return Err(RetrieveError::Finished { session, token }),
            (FileState::Retrieving, _) => return Err(RetrieveError::DependencyCycle { session, token }),
            (FileState::Failed(refusal), _) => {
                let (kind, refusal) = (entry.kind, refusal.clone());
                return Err(RetrieveError::Failed { session, token, kind, refusal, again: true });
            }
            (FileState::Waiting, Err(reason)) => {
                return Err(RetrieveError::Orphan { session, token, reason: reason.clone() });
            }
            (FileState::Waiting, Ok(readable)) => readable.clone(),
        };
        let known = self.handlers.at(readable.handler);
        if known.handler.file_type() != core::any::TypeId::of::<F>() {
            return Err(RetrieveError::WrongType { session, token });
        }
        if self.depth > DEPTH_MAX {
            return Err(RetrieveError::DependencyTooDeep { session, token, max: DEPTH_MAX });
        }
        entry.state = FileState::Retrieving;
        let kind = entry.kind;
        let outcome = self.run_handler(memory, place, at, &readable);
        let refused = outcome.as_ref().err().cloned();
        self.incoming.file(at).state = match outcome {
            Ok(state) => state,
            Err(refusal) => FileState::Failed(refusal),
        };
        match refused {
            None => Ok(()),
            Some(refusal) => Err(RetrieveError::Failed { session, token, kind, refusal, again: false }),
        }
    }

    fn run_handler(
        &mut self,
        memory: &mut dyn Memory,
        place: Place,
        at: Listed,
        readable: &Readable,
    ) -> Result<FileState, Refusal> {
        let handlers = self.handlers;
        let known = handlers.at(readable.handler);
        // The scope lends the desk to the handler, so the payload is copied out of it.
        let payload = Incoming::record(&self.incoming.image, &readable.object).payload.to_vec();
        let record = crate::Record { version: readable.object.version, payload: &payload };
        let shared = self.incoming.file(at).leans_on.clone();
        let leans_on = self.incoming.kinds_of(&shared);
        let mut claims = Claims::default();
        let mut scope = RetrieveScope {
            view: View::retrieve(&mut *memory, &mut claims),
            desk: self.lend(self.depth),
            session: Some(place.session),
            leans_on: &leans_on,
        };
        let outcome = known.handler.retrieve(&record, &mut scope).and_then(|file| {
            let identity = known.handler.identity(&*file);
            if let Some(other) = self.identities.get(&(readable.handler, identity)) {
                return Err(Refusal::because(alloc::format!(
                    "it turned out to be the same file as token {} of session `{}`",
                    other.token,
                    other.session
                )));
            }
            self.identities.insert((readable.handler, identity), place);
            Ok(FileState::Retrieved { file, identity, taken: false })
        });
        match &outcome {
            Ok(_) => self.incoming.file(at).claims.append(&mut claims),
            Err(_) => claims.forgo(memory),
        }
        outcome
    }

    /// A shared object for a file that leans on it, retrieved once.
    pub(crate) fn shared(
        &mut self,
        memory: &mut dyn Memory,
        kind: Kind,
    ) -> Result<&mut (dyn Any + Send), Refusal> {
        let missing = || Refusal::because(alloc::format!("shared object `{kind}` was not handed over"));
        let at = self.incoming.shared.iter().position(|shared| shared.kind == kind).ok_or_else(missing)?;
        self.make_shared(memory, at)?;
        match self.incoming.shared.get_mut(at).map(|shared| &mut shared.state) {
            Some(SharedState::Retrieved(object)) => Ok(&mut **object),
            _ => Err(missing()),
        }
    }

    fn make_shared(&mut self, memory: &mut dyn Memory, at: usize) -> Result<(), Refusal> {
        let Some(shared) = self.incoming.shared.get_mut(at) else { return Ok(()) };
        let object = match (&shared.state, &shared.object) {
            (SharedState::Retrieved(_), _) => return Ok(()),
            (SharedState::Failed(refusal), _) => return Err(refusal.clone()),
            (SharedState::Retrieving, _) => {
                return Err(Refusal::because("a shared object depends on itself"));
            }
            (SharedState::Finished, _) => return Err(Refusal::because("the shared object is finished")),
            (SharedState::Waiting, Err(reason)) => return Err(Refusal::new(reason.clone())),
            (SharedState::Waiting, Ok(object)) => object.clone(),
        };
        let kind = shared.kind;
        let handlers = self.handlers;
        let Some(maker) = handlers.shared(kind) else { return Err(Refusal::because("not registered")) };
        shared.state = SharedState::Retrieving;
        let payload = Incoming::record(&self.incoming.image, &object).payload.to_vec();
        let record = crate::Record { version: object.version, payload: &payload };
        let mut claims = Claims::default();
        let mut scope = RetrieveScope {
            view: View::retrieve(&mut *memory, &mut claims),
            desk: self.lend(self.depth + 1),
            session: None,
            leans_on: &[],
        };
        let outcome = maker.retrieve(&record, &mut scope);
        if outcome.is_err() {
            claims.forgo(memory);
        }
        let Some(shared) = self.incoming.shared.get_mut(at) else { return Ok(()) };
        match outcome {
            Ok(object) => {
                shared.state = SharedState::Retrieved(object);
                shared.claims.append(&mut claims);
                Ok(())
            }
            Err(refusal) => {
                let refusal = Refusal::new(SharedNotRetrieved { kind, refusal });
                shared.state = SharedState::Failed(refusal.clone());
                Err(refusal)
            }
        }
    }
}
