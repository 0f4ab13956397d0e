//! Retrieving for a user: one file under its token, or every file of one type; and why a file was not retrieved.
//!
//! What a file takes to be made again, and what it depends on, is the [desk](super::desk)'s business.

use alloc::vec::Vec;
use core::any::TypeId;

use luo_kho::Kho;

use super::arrived::{FileIn, FileState, Incoming, OrphanReason};
use super::desk::Desk;
use crate::luo::Luo;
use crate::registry::Handlers;
use crate::{Kind, Participant, Phase, Refusal, SessionName, Token};

/// One answer of `retrieve_all`.
#[derive(Clone, Debug)]
pub struct RetrievedOne<F> {
    /// The session.
    pub session: SessionName,
    /// The token.
    pub token: Token,
    /// The file, or why there is none.
    pub file: Result<F, RetrieveError>,
}

/// A shared object was not retrieved: the cause that every file leaning on it is given.
#[derive(Clone, Debug, thiserror::Error)]
#[error("shared object `{kind}` could not be retrieved: {refusal}")]
pub struct SharedNotRetrieved {
    /// Its kind.
    pub kind: Kind,
    /// What it answered.
    #[source]
    pub refusal: Refusal,
}

/// Why a file was not retrieved. Other files are not concerned.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RetrieveError {
    /// No session of this name arrived.
    #[error("no session `{session}` arrived")]
    UnknownSession {
        /// The name.
        session: SessionName,
    },
    /// The session has no such token.
    #[error("session `{session}` arrived without token {token}")]
    UnknownToken {
        /// The session.
        session: SessionName,
        /// The token.
        token: Token,
    },
    /// It was handed out before: at most once per adoption.
    #[error("token {token} of session `{session}` was retrieved already")]
    AlreadyRetrieved {
        /// The session.
        session: SessionName,
        /// The token.
        token: Token,
    },
    /// What carried it is released.
    #[error("token {token} of session `{session}` is finished")]
    Finished {
        /// The session.
        session: SessionName,
        /// The token.
        token: Token,
    },
    /// The caller asks for another type of file than the handler makes. The record is not spent.
    #[error("token {token} of session `{session}` is a file of another type")]
    WrongType {
        /// The session.
        session: SessionName,
        /// The token.
        token: Token,
    },
    /// The handler refused; it is not asked again.
    #[error("token {token} of session `{session}` ({kind}) could not be retrieved{}: {refusal}", if *.again { " before" } else { "" })]
    Failed {
        /// The session.
        session: SessionName,
        /// The token.
        token: Token,
        /// The kind of its handler.
        kind: Kind,
        /// What the handler said.
        refusal: Refusal,
        /// Whether that was at an earlier attempt.
        again: bool,
    },
    /// This build cannot read it.
    #[error("token {token} of session `{session}` is set aside: {reason}")]
    Orphan {
        /// The session.
        session: SessionName,
        /// The token.
        token: Token,
        /// Why.
        reason: OrphanReason,
    },
    /// Retrieving it asks for itself.
    #[error("token {token} of session `{session}` depends on itself")]
    DependencyCycle {
        /// The session.
        session: SessionName,
        /// The token.
        token: Token,
    },
    /// More files depend on each other in a row than are followed.
    #[error("token {token} of session `{session}` lies more than {max} dependencies deep")]
    DependencyTooDeep {
        /// The session.
        session: SessionName,
        /// The token.
        token: Token,
        /// How many are followed.
        max: u32,
    },
}

pub(super) fn retrieve<K: Kho, F: Clone + Send + Sync + 'static>(
    luo: &mut Luo<K>,
    incoming: &mut Incoming,
    session: SessionName,
    token: Token,
) -> Result<F, RetrieveError> {
    let Luo { kho, handlers, identities, bulletin, .. } = luo;
    let taken = Desk { incoming, handlers, identities, depth: 0 }.take(kho, session, token);
    bulletin.tell(|| {
        let kind = incoming.locate(session, token).map(|at| incoming.file(at).kind);
        let participant =
            kind.map_or(Participant::Records, |kind| Participant::File { session, token, kind });
        let phase = Phase::Retrieve;
        match &taken {
            Ok(_) => crate::Event::Done { phase, participant, nth: 1, of: 1 },
            Err(_) => crate::Event::Failed { phase, participant },
        }
    });
    taken
}

pub(super) fn retrieve_all<K: Kho, F: Clone + Send + Sync + 'static>(
    luo: &mut Luo<K>,
    incoming: &mut Incoming,
) -> Vec<RetrievedOne<F>> {
    let wanted = |entry: &FileIn| is_waiting_as(TypeId::of::<F>(), entry, &luo.handlers);
    let entries = incoming.sessions.iter().flat_map(|(session, entries)| {
        entries.files.iter().map(move |(token, entry)| (*session, *token, entry))
    });
    let wanted = entries.filter(|(.., entry)| wanted(entry)).map(|(session, token, _)| (session, token));
    let places: Vec<_> = wanted.collect();
    let retrieved = places.into_iter().map(|(session, token)| {
        let file = retrieve(luo, incoming, session, token);
        RetrievedOne { session, token, file }
    });
    retrieved.collect()
}

/// Whether nobody took the file yet, and it may be of this type: the type of what no handler reads is not known.
fn is_waiting_as(wanted: TypeId, entry: &FileIn, handlers: &Handlers) -> bool {
    let over = matches!(entry.state, FileState::Finished | FileState::Retrieved { taken: true, .. });
    let handler = handlers.index_of(entry.kind).map(|index| &handlers.at(index).handler);
    !over && handler.is_none_or(|handler| handler.file_type() == wanted)
}
