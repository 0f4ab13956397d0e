//! Saying no: what a participant answers, and the error that names participant, phase and cause.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::error::Error;
use core::fmt;

use luo_kho::carrier::CarrierError;
use luo_kho::ownership::OwnershipError;
use luo_kho::{KhoError, StoreError};

use crate::{Kind, SessionName, State, Token, Version, VersionRange};

/// A participant's no, with its cause. Cheap to copy: it is remembered and told again.
#[derive(Clone)]
pub struct Refusal(Arc<dyn Error + Send + Sync>);

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Because(Cow<'static, str>);

impl Refusal {
    /// Refuses with an error as the cause.
    pub fn new(cause: impl Error + Send + Sync + 'static) -> Self {
        Self(Arc::new(cause))
    }

    /// Refuses with a sentence: lower case, no full stop.
    pub fn because(reason: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Because(reason.into()))
    }

    /// The cause, if it is an `E`.
    pub fn cause<E: Error + 'static>(&self) -> Option<&E> {
        self.0.downcast_ref()
    }
}

impl fmt::Debug for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl Error for Refusal {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()
    }
}

impl From<KhoError> for Refusal {
    fn from(error: KhoError) -> Self {
        Self::new(error)
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self::new(error)
    }
}

/// Who takes part in an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Participant {
    /// A subsystem, by name.
    Subsystem(Kind),
    /// An object that several files lean on.
    Shared(Kind),
    /// A preserved file.
    File {
        /// Its session.
        session: SessionName,
        /// Its token.
        token: Token,
        /// The kind of its handler.
        kind: Kind,
    },
    /// The carrier, by name.
    Carrier(&'static str),
    /// The orchestrator's own records.
    Records,
}

/// The steps of an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Phase {
    /// An orchestrator begins on fresh memory.
    Found,
    /// A file joins a session.
    Preserve,
    /// State is written while guests run.
    Prepare,
    /// The last of it, with guests stopped.
    Freeze,
    /// The root is sealed and offered.
    HandOver,
    /// The far side rebuilds.
    Retrieve,
    /// A subsystem takes up its state.
    Restore,
    /// The far side takes the guest.
    Commit,
    /// Metadata is let go.
    Finish,
}

/// A step that failed: who, when, why. Everything the step had done was undone.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{participant} failed to {phase}: {cause}")]
pub struct PhaseError {
    /// The step.
    pub phase: Phase,
    /// Who failed.
    pub participant: Participant,
    /// Why.
    #[source]
    pub cause: Cause,
}

/// Why a step failed.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Cause {
    /// The participant said no.
    #[error("{0}")]
    Refused(Refusal),
    /// The carrier said no.
    #[error(transparent)]
    Carrier(CarrierError),
    /// Preserved memory said no.
    #[error(transparent)]
    Store(StoreError),
    /// The ownership word was not moved.
    #[error(transparent)]
    Ownership(OwnershipError),
    /// The step is not possible now.
    #[error("not possible in state {state}: {hint}")]
    WrongState {
        /// The state it is in.
        state: State,
        /// What to do first.
        hint: &'static str,
    },
    /// Writer and reader share no version.
    #[error("no common version: this side writes {writes:?}, the successor reads {reads}")]
    NoCommonVersion {
        /// What this side can write, newest first.
        writes: Vec<Version>,
        /// What the successor reads.
        reads: VersionRange,
    },
    /// The successor does not know this kind at all.
    #[error("the successor has nothing that reads this kind")]
    UnknownToSuccessor,
    /// A participant left out a version that it said it writes.
    #[error("no payload was put down for {version}")]
    PayloadMissing {
        /// Which one.
        version: Version,
    },
    /// Files depend on each other in a circle.
    #[error("files depend on each other in a circle: {tokens:?}")]
    DependencyCycle {
        /// The circle, each depending on the next.
        tokens: Vec<Token>,
    },
    /// More files depend on each other in a row than the far side follows.
    #[error("token {token} lies at the head of {depth} dependencies in a row, at most {max} are followed")]
    DependencyTooDeep {
        /// The file from which they are counted.
        token: Token,
        /// How many there are, at least.
        depth: u32,
        /// How many are followed.
        max: u32,
    },
    /// More than the records can hold.
    #[error("{what} number {found}, at most {max} fit")]
    TooMany {
        /// What there are too many of.
        what: &'static str,
        /// How many there are.
        found: u64,
        /// How many fit.
        max: u64,
    },
}

impl From<Refusal> for Cause {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<StoreError> for Cause {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<KhoError> for Cause {
    fn from(error: KhoError) -> Self {
        Self::Store(error.into())
    }
}

impl From<CarrierError> for Cause {
    fn from(error: CarrierError) -> Self {
        Self::Carrier(error)
    }
}

impl Cause {
    pub(crate) fn by(self, participant: Participant, phase: Phase) -> Box<PhaseError> {
        Box::new(PhaseError { phase, participant, cause: self })
    }
}

/// A step that did not happen: why, and what the caller gave, as it was before.
#[must_use = "what was given is still inside"]
#[derive(Debug)]
pub struct Stuck<S, E> {
    /// What the caller gave.
    pub kept: S,
    /// Why nothing happened.
    pub error: E,
}

impl<S, E> Stuck<S, E> {
    pub(crate) const fn new(kept: S, error: E) -> Self {
        Self { kept, error }
    }
}

impl<S, E: fmt::Display> fmt::Display for Stuck<S, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl<S: fmt::Debug, E: Error> Error for Stuck<S, E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.error.source()
    }
}

impl fmt::Display for Participant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Subsystem(name) => write!(f, "subsystem `{name}`"),
            Self::Shared(kind) => write!(f, "shared object `{kind}`"),
            Self::File { session, token, kind } => write!(f, "file {token} of session `{session}` ({kind})"),
            Self::Carrier(name) => write!(f, "carrier `{name}`"),
            Self::Records => f.write_str("the orchestrator"),
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Found => "found",
            Self::Preserve => "preserve",
            Self::Prepare => "prepare",
            Self::Freeze => "freeze",
            Self::HandOver => "hand over",
            Self::Retrieve => "retrieve",
            Self::Restore => "restore",
            Self::Commit => "commit",
            Self::Finish => "finish",
        })
    }
}
