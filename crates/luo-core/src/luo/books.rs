//! Sessions and files of the near side: opening, preserving, looking up, unpreserving, closing.

use alloc::boxed::Box;
use core::any::Any;

use luo_kho::Kho;
use luo_kho::carrier::Carrier;

use super::{Luo, Step};
use crate::events::{Event, State};
use crate::outgoing::{Place, PreserveError, Session, Stage};
use crate::{Cause, Kind, Participant, Phase, PhaseError, SessionName, Stuck, Token};

/// Why the books were not changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// The name is taken.
    #[error("session `{session}` is open already")]
    NameInUse {
        /// The name.
        session: SessionName,
    },
    /// No session has this name.
    #[error("there is no session `{session}`")]
    UnknownSession {
        /// The name.
        session: SessionName,
    },
    /// The session has no file with this token.
    #[error("session `{session}` has no token {token}")]
    UnknownToken {
        /// The session.
        session: SessionName,
        /// The token.
        token: Token,
    },
}

impl<K: Kho> Luo<K> {
    /// Opens a session: a named group of files that live and die together.
    ///
    /// # Errors
    ///
    /// [`SessionError::NameInUse`].
    pub fn open_session(&mut self, session: SessionName) -> Result<(), SessionError> {
        if self.out.sessions.contains_key(&session) {
            return Err(SessionError::NameInUse { session });
        }
        self.out.sessions.insert(session, Session::default());
        Ok(())
    }

    /// Closes a session: its files are cancelled and unpreserved, last one first.
    ///
    /// # Errors
    ///
    /// [`SessionError::UnknownSession`].
    pub fn close_session(&mut self, session: SessionName) -> Result<(), SessionError> {
        if self.close(session) { Ok(()) } else { Err(SessionError::UnknownSession { session }) }
    }

    /// Every open session, in the order in which they were opened.
    pub fn sessions(&self) -> impl ExactSizeIterator<Item = SessionName> + '_ {
        self.out.sessions.keys().copied()
    }

    /// The tokens of a session, in the order in which its files were preserved; none if there is no such session.
    pub fn tokens(&self, session: SessionName) -> impl Iterator<Item = Token> + '_ {
        self.out.sessions.get(&session).into_iter().flat_map(|books| books.files.keys().copied())
    }

    /// Preserves a file under a token of the user's choice. The handler is the first that says the file is its own.
    ///
    /// # Errors
    ///
    /// [`PreserveError`], and the file comes back. Nothing was changed.
    pub fn preserve<F: Clone + Send + Sync + 'static>(
        &mut self,
        session: SessionName,
        token: Token,
        file: F,
    ) -> Result<(), Stuck<F, PreserveError>> {
        if self.state() == State::Departed {
            return Err(Stuck::new(file, PreserveError::Departed { session, token }));
        }
        let place = Place { session, token };
        self.out.preserve(&self.handlers, &mut self.identities, place, file)?;
        let kind = self.kind_of(session, token);
        let of = self.out.sessions.get(&session).map_or(0, |books| books.files.len());
        self.bulletin.tell(|| Event::Done {
            phase: Phase::Preserve,
            participant: kind.map_or(Participant::Records, |kind| Participant::File { session, token, kind }),
            nth: of,
            of,
        });
        Ok(())
    }

    /// Takes one file out of its session. It is cancelled first if it was prepared, and so are the prepared files that
    /// have written its token down.
    ///
    /// # Errors
    ///
    /// [`SessionError`].
    pub fn unpreserve(&mut self, session: SessionName, token: Token) -> Result<(), SessionError> {
        let step = self.step_of(session, token)?;
        for other in self.session_steps(session)?.into_iter().rev() {
            if other == step || self.depends_on(other, token) {
                self.cancel_one(other);
            }
        }
        self.out.remove(&self.handlers, &mut self.identities, Place { session, token });
        Ok(())
    }

    /// The file with this token; `None` if there is none, or it has another type.
    pub fn file<F: Clone + 'static>(&self, session: SessionName, token: Token) -> Option<F> {
        let entry = self.out.sessions.get(&session)?.files.get(&token)?;
        (*entry.file).downcast_ref::<F>().cloned()
    }

    /// The token under which `file` is preserved in `session`, or in which it was retrieved and is not finished.
    pub fn token_of<F: Any>(&self, session: SessionName, file: &F) -> Option<Token> {
        let handler = self.handlers.owner(file)?;
        let identity = self.handlers.at(handler).handler.identity(file);
        let place = self.identities.get(&(handler, identity))?;
        (place.session == session).then_some(place.token)
    }

    /// The kind of handler that carries this file.
    pub fn kind_of(&self, session: SessionName, token: Token) -> Option<Kind> {
        let entry = self.out.sessions.get(&session)?.files.get(&token)?;
        Some(self.handlers.at(entry.handler).kind)
    }

    /// Whether a file is prepared. `None` if there is no such file.
    pub fn is_prepared(&self, session: SessionName, token: Token) -> Option<bool> {
        let entry = self.out.sessions.get(&session)?.files.get(&token)?;
        Some(entry.saved.stage != Stage::Idle)
    }

    /// Prepares one file now, for this carrier. The prepare of everything later skips it.
    ///
    /// # Errors
    ///
    /// As the file's handler answers. Preparing what is prepared does nothing.
    pub fn prepare_file(
        &mut self,
        session: SessionName,
        token: Token,
        carrier: &dyn Carrier<K>,
    ) -> Result<(), PrepareOneError> {
        let step = self.step_of(session, token)?;
        self.not_updated(Phase::Prepare)?;
        if self.prepare_one(step, &|kind| carrier.conveys(kind))? {
            self.done(step, Phase::Prepare, 1, 1);
        }
        Ok(())
    }

    /// Prepares every file of a session now, in order; all or nothing.
    ///
    /// # Errors
    ///
    /// As the first handler that refuses answers; files that were prepared before this call stay prepared.
    pub fn prepare_session(
        &mut self,
        session: SessionName,
        carrier: &dyn Carrier<K>,
    ) -> Result<(), PrepareOneError> {
        let steps = self.session_steps(session)?;
        self.not_updated(Phase::Prepare)?;
        let (mut done, of) = (alloc::vec::Vec::new(), steps.len());
        for (nth, step) in (1..).zip(steps) {
            match self.prepare_one(step, &|kind| carrier.conveys(kind)) {
                Ok(true) => done.push(step),
                Ok(false) => {}
                Err(error) => {
                    self.cancel_steps(&mut done);
                    return Err(error.into());
                }
            }
            self.done(step, Phase::Prepare, nth, of);
        }
        Ok(())
    }

    /// Undoes the prepare of one file; does nothing if it is not prepared.
    ///
    /// # Errors
    ///
    /// [`SessionError`].
    pub fn cancel_file(&mut self, session: SessionName, token: Token) -> Result<(), SessionError> {
        let step = self.step_of(session, token)?;
        self.cancel_one(step);
        Ok(())
    }

    /// Undoes the prepare of every file of a session, last one first.
    ///
    /// # Errors
    ///
    /// [`SessionError`].
    pub fn cancel_session(&mut self, session: SessionName) -> Result<(), SessionError> {
        for step in self.session_steps(session)?.into_iter().rev() {
            self.cancel_one(step);
        }
        Ok(())
    }

    /// Nothing is prepared before the update that brought this program here is finished: until then, what is
    /// preserved is what arrived.
    pub(crate) fn not_updated(&self, phase: Phase) -> Result<(), Box<PhaseError>> {
        if self.state() == State::Normal {
            return Ok(());
        }
        let hint = match self.state() {
            State::Updated => "finish the update that brought this program here first",
            State::Departed => "the memory belongs to a successor: exit",
            _ => "the guard of an update was forgotten: drop the orchestrator",
        };
        Err(Cause::WrongState { state: self.state(), hint }.by(Participant::Records, phase))
    }

    pub(crate) fn close_all(&mut self) {
        while let Some((session, _)) = self.out.sessions.last() {
            self.close(*session);
        }
    }

    /// Lets go of a session's files, last one first. `false` if there is no such session.
    fn close(&mut self, session: SessionName) -> bool {
        let Some(index) = self.out.sessions.get_index_of(&session) else { return false };
        while let Some((token, file)) = self.last_file(index) {
            self.cancel_one(Step::File { session: index, file });
            self.out.remove(&self.handlers, &mut self.identities, Place { session, token });
        }
        self.out.sessions.shift_remove(&session);
        true
    }

    fn last_file(&self, session: usize) -> Option<(Token, usize)> {
        let (_, books) = self.out.sessions.get_index(session)?;
        let (token, _) = books.files.last()?;
        Some((*token, books.files.len() - 1))
    }

    fn step_of(&self, session: SessionName, token: Token) -> Result<Step, SessionError> {
        let (index, _, books) =
            self.out.sessions.get_full(&session).ok_or(SessionError::UnknownSession { session })?;
        let file = books.files.get_index_of(&token).ok_or(SessionError::UnknownToken { session, token })?;
        Ok(Step::File { session: index, file })
    }

    fn session_steps(&self, session: SessionName) -> Result<alloc::vec::Vec<Step>, SessionError> {
        let (index, _, books) =
            self.out.sessions.get_full(&session).ok_or(SessionError::UnknownSession { session })?;
        Ok((0..books.files.len()).map(|file| Step::File { session: index, file }).collect())
    }

    /// Lets go of everything after the far side committed, without undoing what it relies on.
    pub(crate) fn depart(&mut self) {
        for entry in self.subsystems.values_mut() {
            entry.subsystem.depart();
        }
        for (_, books) in self.out.sessions.drain(..) {
            for (_, entry) in books.files {
                let entry = *entry;
                self.handlers.at(entry.handler).handler.depart(entry.file, entry.held);
            }
        }
        for (kind, shared) in self.out.shared.drain() {
            if let Some(maker) = self.handlers.shared(kind) {
                maker.depart(shared.object);
            }
        }
        self.identities.clear();
        self.bulletin.set(State::Departed, None);
    }
}

/// Why one file, or the files of one session, were not prepared.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PrepareOneError {
    /// There is no such session or file.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The handler refused.
    #[error(transparent)]
    Phase(#[from] Box<PhaseError>),
}
