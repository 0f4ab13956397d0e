//! The near side's books: sessions, the files in them, and who is who.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::any::Any;

use luo_kho::Memory;
use luo_kho::carrier::{Conveyance, DescriptorKind};

use crate::erased::{AnyFile, AnyHeld};
use crate::ledger::Ledger;
use crate::registry::{Handlers, NoHandler};
use crate::shared_table::SharedTable;
use crate::slots::Slots;
use crate::{Cause, Identity, Kind, Map, Participant, Phase, PhaseError, SessionName, Stuck, Token};

/// Everything that is to be carried.
#[derive(Default)]
pub(crate) struct Outgoing {
    pub(crate) sessions: Map<SessionName, Session>,
    pub(crate) shared: SharedTable,
}

/// Files that live and die together, in the order in which they were preserved.
#[derive(Default)]
pub(crate) struct Session {
    pub(crate) files: Map<Token, Box<FileOut>>,
}

/// A preserved file.
pub(crate) struct FileOut {
    pub(crate) handler: usize,
    pub(crate) identity: Identity,
    pub(crate) file: AnyFile,
    pub(crate) held: AnyHeld,
    pub(crate) saved: Saved,
}

/// How far a participant has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Stage {
    #[default]
    Idle,
    Prepared,
    Frozen,
}

/// What a participant has put down so far.
#[derive(Debug, Default)]
pub(crate) struct Saved {
    pub(crate) stage: Stage,
    pub(crate) slots: Slots,
    pub(crate) ledger: Ledger,
    /// The files it depends on: those that prepare looked up, then those that freeze did.
    pub(crate) depends_on: Vec<Token>,
    /// How many of them prepare looked up.
    pub(crate) depended_on_by_prepare: usize,
    /// What the carrier answered prepare.
    pub(crate) conveyances: Vec<(DescriptorKind, Conveyance)>,
}

/// Where a file is known, on either side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) session: SessionName,
    pub(crate) token: Token,
}

/// Files by what they are: (handler, identity) -> place. One file is in one place only.
pub(crate) type Identities = Map<(usize, Identity), Place>;

/// Why a file was not preserved. It is as it was.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PreserveError {
    /// No session has this name.
    #[error("there is no session `{session}`")]
    UnknownSession {
        /// The name.
        session: SessionName,
    },
    /// The token names another file of this session.
    #[error("token {token} is in use in session `{session}`")]
    TokenInUse {
        /// The session.
        session: SessionName,
        /// The token.
        token: Token,
    },
    /// The same file is preserved already, or was retrieved and is not finished.
    #[error(
        "token {token} of session `{session}`: the file is known already as token {other} of session `{other_session}`"
    )]
    FileInUse {
        /// The session.
        session: SessionName,
        /// The token.
        token: Token,
        /// Where the file is.
        other_session: SessionName,
        /// Its token there.
        other: Token,
    },
    /// No handler knows this kind of file.
    #[error("token {token} of session `{session}`: no handler knows this kind of file")]
    NoHandler {
        /// The session.
        session: SessionName,
        /// The token.
        token: Token,
    },
    /// Its handler says that it cannot travel.
    #[error("token {token} of session `{session}`: this {kind} cannot travel: {reason}")]
    CannotTravel {
        /// The session.
        session: SessionName,
        /// The token.
        token: Token,
        /// The handler's kind.
        kind: Kind,
        /// What the handler says.
        reason: Cow<'static, str>,
    },
    /// The memory belongs to a successor, and so may the file: exit.
    #[error("token {token} of session `{session}`: a successor has taken over, exit")]
    Departed {
        /// The session.
        session: SessionName,
        /// The token.
        token: Token,
    },
    /// The handler, or a shared object it leans on, failed.
    #[error(transparent)]
    Failed(Box<PhaseError>),
}

/// Why a dependency was not found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DependencyError {
    /// No handler knows this kind of file.
    #[error("depends on a file that no handler knows")]
    NoHandler,
    /// The file is not preserved.
    #[error("depends on a file that is not preserved in this session")]
    NotPreserved,
    /// The file is preserved, but in another session, which has a life of its own.
    #[error("depends on token {token}, which is in another session, `{session}`")]
    Elsewhere {
        /// The session it is in.
        session: SessionName,
        /// Its token there.
        token: Token,
    },
    /// A subsystem is in no session.
    #[error("a subsystem is in no session and cannot name files by token")]
    NoSession,
}

impl From<DependencyError> for crate::Refusal {
    fn from(error: DependencyError) -> Self {
        Self::new(error)
    }
}

/// Finds files of the same session by what they are, and remembers who asked.
pub(crate) struct Neighbours<'a> {
    pub(crate) handlers: &'a Handlers,
    pub(crate) identities: &'a Identities,
    pub(crate) session: Option<SessionName>,
    pub(crate) depends_on: &'a mut Vec<Token>,
}

impl Neighbours<'_> {
    pub(crate) fn token_of<F: Any>(&mut self, file: &F) -> Result<Token, DependencyError> {
        let session = self.session.ok_or(DependencyError::NoSession)?;
        let handler = self.handlers.owner(file).ok_or(DependencyError::NoHandler)?;
        let identity = self.handlers.at(handler).handler.identity(file);
        let place = self.identities.get(&(handler, identity)).ok_or(DependencyError::NotPreserved)?;
        if place.session != session {
            return Err(DependencyError::Elsewhere { session: place.session, token: place.token });
        }
        if !self.depends_on.contains(&place.token) {
            self.depends_on.push(place.token);
        }
        Ok(place.token)
    }
}

impl Outgoing {
    /// Preserves one file; all or nothing.
    pub(crate) fn preserve<F: Clone + Send + Sync + 'static>(
        &mut self,
        handlers: &Handlers,
        identities: &mut Identities,
        place: Place,
        file: F,
    ) -> Result<(), Stuck<F, PreserveError>> {
        let Place { session, token } = place;
        match self.admit(handlers, identities, place, &file) {
            Err(error) => Err(Stuck::new(file, error)),
            Ok((handler, identity)) => {
                let boxed: AnyFile = Box::new(file.clone());
                let held = match self.hold(handlers, handler, &boxed, place) {
                    Ok(held) => held,
                    Err(error) => return Err(Stuck::new(file, PreserveError::Failed(error))),
                };
                identities.insert((handler, identity), place);
                let entry = FileOut { handler, identity, file: boxed, held, saved: Saved::default() };
                if let Some(books) = self.sessions.get_mut(&session) {
                    books.files.insert(token, Box::new(entry));
                }
                Ok(())
            }
        }
    }

    /// Everything that can be known without touching the file.
    fn admit(
        &self,
        handlers: &Handlers,
        identities: &Identities,
        place: Place,
        file: &dyn Any,
    ) -> Result<(usize, Identity), PreserveError> {
        let Place { session, token } = place;
        let books = self.sessions.get(&session).ok_or(PreserveError::UnknownSession { session })?;
        if books.files.contains_key(&token) {
            return Err(PreserveError::TokenInUse { session, token });
        }
        let handler = handlers.choose(file).map_err(|none| match none {
            NoHandler::Unknown => PreserveError::NoHandler { session, token },
            NoHandler::Refused { kind, reason } => {
                PreserveError::CannotTravel { session, token, kind, reason }
            }
        })?;
        let identity = handlers.at(handler).handler.identity(file);
        if let Some(other) = identities.get(&(handler, identity)) {
            return Err(PreserveError::FileInUse {
                session,
                token,
                other_session: other.session,
                other: other.token,
            });
        }
        Ok((handler, identity))
    }

    /// Shared objects first, then the handler; undone in reverse if the handler refuses.
    fn hold(
        &mut self,
        handlers: &Handlers,
        handler: usize,
        file: &AnyFile,
        place: Place,
    ) -> Result<AnyHeld, Box<PhaseError>> {
        let entry = handlers.at(handler);
        if let Err((kind, refusal)) = self.shared.lean(handlers, &entry.leans_on) {
            return Err(Cause::from(refusal).by(Participant::Shared(kind), Phase::Preserve));
        }
        entry.handler.preserve(file).map_err(|refusal| {
            self.shared.let_go(&entry.leans_on);
            let Place { session, token } = place;
            let file = Participant::File { session, token, kind: entry.kind };
            Cause::from(refusal).by(file, Phase::Preserve)
        })
    }

    /// Takes a file that is not prepared out of the books. `false` if it is not there.
    pub(crate) fn remove(&mut self, handlers: &Handlers, identities: &mut Identities, place: Place) -> bool {
        let Some(books) = self.sessions.get_mut(&place.session) else { return false };
        let Some(file) = books.files.shift_remove(&place.token) else { return false };
        assert!(file.saved.stage == Stage::Idle, "a file is cancelled before it is let go");
        identities.swap_remove(&(file.handler, file.identity));
        let FileOut { handler, file, held, .. } = *file;
        drop(held);
        drop(file);
        self.shared.let_go(&handlers.at(handler).leans_on);
        true
    }
}

impl Saved {
    /// Forgets what freeze put down and looked up.
    pub(crate) fn thaw(&mut self) {
        self.slots.thaw();
        self.depends_on.truncate(self.depended_on_by_prepare);
    }

    /// Gives back what the participant took, and forgets what it put down.
    pub(crate) fn reset(&mut self, memory: &mut dyn Memory) {
        self.ledger.settle(memory);
        self.slots.clear();
        self.depends_on.clear();
        self.depended_on_by_prepare = 0;
        self.conveyances.clear();
        self.stage = Stage::Idle;
    }
}
