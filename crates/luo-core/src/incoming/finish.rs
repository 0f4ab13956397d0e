//! Finish: what carried the handover is let go of, once everybody agrees. Nothing is lost by finishing.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;

use luo_kho::{Kho, KhoError};

use super::adopt;
use super::arrived::{FileState, Incoming};
use super::retrieve::{RetrievedOne, retrieve, retrieve_all};
use super::{Fate, RetrieveError};
use crate::ledger::Claims;
use crate::luo::Luo;
use crate::{Cause, Kind, Participant, Phase, PhaseError, Record, SessionName, Set, Stuck, Token};

/// A program that has taken over: guests run, and what arrived can be retrieved until it is finished.
///
/// Dropping it finishes nothing: what arrived stays preserved, and is lost to this program.
#[must_use = "finish it: until then nothing new can be prepared"]
pub struct Updated<K: Kho> {
    pub(super) luo: Luo<K>,
    pub(super) incoming: Incoming,
    /// What nobody claimed, on its way to be released.
    pub(super) leftovers: Claims,
    pub(super) subsystems_finished: bool,
}

/// The caller knows that what it asks for cannot be undone. Destructive steps want one.
#[derive(Clone, Copy, Debug)]
pub struct Irrevocable(());

impl Irrevocable {
    /// Says so.
    pub const fn knowingly() -> Self {
        Self(())
    }
}

/// Files that nobody took, or that cannot be read. They are all still there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unclaimed {
    /// Session and token of each, in registration order.
    pub tokens: Vec<(SessionName, Token)>,
}

/// Why nothing was finished.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FinishError {
    /// Somebody's files would be lost.
    #[error("nothing was finished: {0}")]
    Unclaimed(Unclaimed),
    /// A handler wants to wait.
    #[error(transparent)]
    NotYet(Box<PhaseError>),
    /// No session of this name arrived.
    #[error("no session `{session}` arrived")]
    UnknownSession {
        /// The name.
        session: SessionName,
    },
    /// A file that the caller wants discarded did not arrive.
    #[error("session `{session}` arrived without token {token}, which was to be discarded")]
    UnknownToken {
        /// The session.
        session: SessionName,
        /// The token.
        token: Token,
    },
    /// Memory could not be let go. Everybody has been told to finish; calling again goes on from here.
    #[error("memory could not be released: {0}")]
    Release(KhoError),
}

impl<K: Kho> Updated<K> {
    pub(super) fn new(mut luo: Luo<K>, incoming: Incoming) -> Self {
        luo.bulletin.set(crate::State::Updated, None);
        Self { luo, incoming, leftovers: Claims::default(), subsystems_finished: false }
    }

    /// The orchestrator, to be looked at.
    pub const fn luo(&self) -> &Luo<K> {
        &self.luo
    }

    /// The orchestrator: new sessions and files may be preserved already; nothing can be prepared.
    pub fn luo_mut(&mut self) -> &mut Luo<K> {
        &mut self.luo
    }

    /// As [`Adopted::sessions`](super::Adopted::sessions).
    pub fn sessions(&self) -> impl ExactSizeIterator<Item = SessionName> + '_ {
        self.incoming.sessions.keys().copied()
    }

    /// As [`Adopted::files`](super::Adopted::files).
    pub fn files(&self, session: SessionName) -> impl Iterator<Item = (Token, Kind, Fate)> + '_ {
        adopt::list(&self.incoming, session)
    }

    /// As [`Adopted::retrieve`](super::Adopted::retrieve).
    ///
    /// # Errors
    ///
    /// As [`Adopted::retrieve`](super::Adopted::retrieve).
    pub fn retrieve<F: Clone + Send + Sync + 'static>(
        &mut self,
        session: SessionName,
        token: Token,
    ) -> Result<F, RetrieveError> {
        retrieve(&mut self.luo, &mut self.incoming, session, token)
    }

    /// As [`Adopted::retrieve_all`](super::Adopted::retrieve_all).
    pub fn retrieve_all<F: Clone + Send + Sync + 'static>(&mut self) -> Vec<RetrievedOne<F>> {
        retrieve_all(&mut self.luo, &mut self.incoming)
    }

    /// Finishes everything: every file was taken, and every handler agrees. Files are finished last one first.
    ///
    /// # Errors
    ///
    /// [`FinishError`], with this as it was. After [`FinishError::Release`] only memory is left to be released.
    pub fn finish(self) -> Result<Luo<K>, Stuck<Self, FinishError>> {
        self.finish_with(&Set::default())
    }

    /// As [`finish`](Self::finish), giving up exactly the files that the caller names. Others that nobody took keep
    /// everything from being finished.
    ///
    /// # Errors
    ///
    /// As [`finish`](Self::finish), and [`FinishError::UnknownToken`].
    pub fn finish_discarding(
        self,
        files: &[(SessionName, Token)],
        _irrevocable: Irrevocable,
    ) -> Result<Luo<K>, Stuck<Self, FinishError>> {
        self.finish_with(&files.iter().copied().collect())
    }

    fn finish_with(
        mut self,
        discard: &Set<(SessionName, Token)>,
    ) -> Result<Luo<K>, Stuck<Self, FinishError>> {
        let sessions: Vec<_> = self.sessions().collect();
        if let Err(error) = self.settle(&sessions, discard) {
            return Err(Stuck::new(self, error));
        }
        self.finish_subsystems();
        match self.sweep(&sessions) {
            Ok(()) => Ok(self.luo),
            Err(error) => Err(Stuck::new(self, FinishError::Release(error))),
        }
    }

    /// Finishes one session; the others stay as they are. Its memory is released now.
    ///
    /// # Errors
    ///
    /// As [`finish`](Self::finish), and [`FinishError::UnknownSession`].
    pub fn finish_session(&mut self, session: SessionName) -> Result<(), FinishError> {
        self.settle(&[session], &Set::default())?;
        self.release_sessions(&[session]).map_err(FinishError::Release)
    }

    /// As [`finish_session`](Self::finish_session), giving up exactly the files that the caller names.
    ///
    /// # Errors
    ///
    /// As [`finish_session`](Self::finish_session), and [`FinishError::UnknownToken`].
    pub fn finish_session_discarding(
        &mut self,
        session: SessionName,
        tokens: &[Token],
        _irrevocable: Irrevocable,
    ) -> Result<(), FinishError> {
        self.settle(&[session], &tokens.iter().map(|token| (session, *token)).collect())?;
        self.release_sessions(&[session]).map_err(FinishError::Release)
    }

    /// Asks everybody, then finishes the sessions in reverse order.
    fn settle(
        &mut self,
        sessions: &[SessionName],
        discard: &Set<(SessionName, Token)>,
    ) -> Result<(), FinishError> {
        let place = |session: &SessionName| {
            let found = self.incoming.sessions.get_index_of(session);
            found.ok_or(FinishError::UnknownSession { session: *session })
        };
        let places = sessions.iter().map(place).collect::<Result<Vec<_>, _>>()?;
        for (session, token) in discard {
            if self.incoming.locate(*session, *token).is_err() {
                return Err(FinishError::UnknownToken { session: *session, token: *token });
            }
        }
        self.ask_all(sessions, discard)?;
        for place in places.into_iter().rev() {
            for listed in self.incoming.listed(place).rev() {
                self.finish_one(listed);
            }
        }
        Ok(())
    }

    /// First pass: changes nothing.
    fn ask_all(
        &self,
        sessions: &[SessionName],
        discard: &Set<(SessionName, Token)>,
    ) -> Result<(), FinishError> {
        let entries =
            sessions.iter().filter_map(|session| Some((*session, self.incoming.sessions.get(session)?)));
        let files = entries.flat_map(|(session, entries)| {
            entries.files.iter().map(move |(token, entry)| (session, *token, entry))
        });
        let unclaimed = files.clone().filter(|(session, token, entry)| {
            let claimed =
                matches!(entry.state, FileState::Finished | FileState::Retrieved { taken: true, .. });
            !claimed && !discard.contains(&(*session, *token))
        });
        let tokens: Vec<_> = unclaimed.map(|(session, token, _)| (session, token)).collect();
        if !tokens.is_empty() {
            return Err(FinishError::Unclaimed(Unclaimed { tokens }));
        }
        for (session, token, entry) in files {
            let (FileState::Retrieved { file, .. }, Ok(readable)) = (&entry.state, &entry.readable) else {
                continue;
            };
            let record: Record<'_> = Incoming::record(&self.incoming.image, &readable.object);
            let handler = &self.luo.handlers.at(readable.handler).handler;
            if let Err(refusal) = handler.can_finish(&record, file) {
                let participant = Participant::File { session, token, kind: entry.kind };
                return Err(FinishError::NotYet(Cause::from(refusal).by(participant, Phase::Finish)));
            }
        }
        Ok(())
    }
}

impl fmt::Display for Unclaimed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} files are unclaimed:", self.tokens.len())?;
        for (session, token) in self.tokens.iter().take(8) {
            write!(f, " `{session}` {token}")?;
        }
        if self.tokens.len() > 8 { f.write_str(" ...") } else { Ok(()) }
    }
}

impl<K: Kho> fmt::Debug for Updated<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Updated")
            .field("luo", &self.luo)
            .field("incoming", &self.incoming)
            .finish_non_exhaustive()
    }
}
