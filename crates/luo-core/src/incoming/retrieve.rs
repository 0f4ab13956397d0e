//! Why a file was not retrieved.

use super::arrived::OrphanReason;
use crate::{Kind, Refusal, SessionName, Token};

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
