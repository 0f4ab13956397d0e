//! The second pass of finish: everybody is told, last one first, and memory is released.
//!
//! Telling cannot fail. Releasing can, if the backend does; it then goes on where it stopped when it is called again.

use luo_kho::{Kho, KhoError};

use super::arrived::{FileState, Incoming, Listed, SharedState, SubsystemIn, SubsystemState, live};
use super::desk::Desk;
use super::finish::Updated;
use crate::events::{Event, State, Transition};
use crate::ledger::Claims;
use crate::luo::Luo;
use crate::scope::RetrieveScope;
use crate::view::View;
use crate::{Participant, Phase, Record, SessionName};

impl<K: Kho> Updated<K> {
    /// Tells one file's handler that its part is over, and then the shared objects it leaned on.
    pub(super) fn finish_one(&mut self, at: Listed) {
        let entry = self.incoming.file(at);
        let state = core::mem::replace(&mut entry.state, FileState::Finished);
        if matches!(state, FileState::Finished) {
            return;
        }
        let (readable, leans_on) = (entry.readable.clone(), entry.leans_on.clone());
        if let Ok(readable) = readable {
            let record = Incoming::record(&self.incoming.image, &readable.object);
            let Luo { kho, handlers, identities, .. } = &mut self.luo;
            let known = handlers.at(readable.handler);
            if let FileState::Retrieved { file, identity, .. } = state {
                known.handler.finish(&record, &file);
                identities.swap_remove(&(readable.handler, identity));
            } else {
                // The scope lends the desk to the handler, so the payload is copied out of it.
                let payload = record.payload.to_vec();
                let record = Record { version: record.version, payload: &payload };
                let kinds = self.incoming.kinds_of(&leans_on);
                let (session, _) = self.incoming.names(at);
                let mut claims = Claims::default();
                let mut scope = RetrieveScope {
                    view: View::retrieve(kho, &mut claims),
                    desk: Desk { incoming: &mut self.incoming, handlers, identities, depth: 0 },
                    session: Some(session),
                    leans_on: &kinds,
                };
                known.handler.discard(&record, &mut scope);
                // Nobody keeps anything of a file that is discarded.
                claims.borrow_all();
                self.incoming.file(at).claims.append(&mut claims);
            }
        }
        for shared in leans_on.into_iter().rev() {
            self.let_go_shared(shared);
        }
        let Self { luo, incoming, .. } = self;
        luo.bulletin.tell(|| {
            let ((session, token), kind) = (incoming.names(at), incoming.file(at).kind);
            let participant = Participant::File { session, token, kind };
            Event::Done { phase: Phase::Finish, participant, nth: 1, of: 1 }
        });
    }

    /// One file less leans on a shared object; with the last one it is finished too.
    fn let_go_shared(&mut self, at: usize) {
        let Some(shared) = self.incoming.shared.get_mut(at) else { return };
        shared.files = shared.files.saturating_sub(1);
        if shared.files > 0 {
            return;
        }
        let state = core::mem::replace(&mut shared.state, SharedState::Finished);
        let (kind, object) = (shared.kind, shared.object.clone());
        let Luo { kho, handlers, identities, .. } = &mut self.luo;
        let (Some(maker), Ok(object)) = (handlers.shared(kind), object) else { return };
        if let SharedState::Retrieved(live) = state {
            maker.finish(live);
            return;
        }
        let payload = Incoming::record(&self.incoming.image, &object).payload.to_vec();
        let record = Record { version: object.version, payload: &payload };
        let mut claims = Claims::default();
        let mut scope = RetrieveScope {
            view: View::retrieve(kho, &mut claims),
            desk: Desk { incoming: &mut self.incoming, handlers, identities, depth: 0 },
            session: None,
            leans_on: &[],
        };
        maker.discard(&record, &mut scope);
        claims.borrow_all();
        if let Some(shared) = self.incoming.shared.get_mut(at) {
            shared.claims.append(&mut claims);
        }
    }

    /// Releases what carried the finished files of these sessions, and finished shared objects.
    pub(super) fn release_sessions(&mut self, sessions: &[SessionName]) -> Result<(), KhoError> {
        for session in sessions.iter().rev() {
            let Some(entries) = self.incoming.sessions.get_mut(session) else { continue };
            for entry in entries.files.values_mut().rev() {
                entry.claims.release(&mut self.luo.kho)?;
            }
        }
        for shared in self.incoming.shared.iter_mut().rev() {
            if matches!(shared.state, SharedState::Finished) {
                shared.claims.release(&mut self.luo.kho)?;
            }
        }
        Ok(())
    }

    /// Tells the subsystems that were restored, last one first.
    pub(super) fn finish_subsystems(&mut self) {
        if self.subsystems_finished {
            return;
        }
        let restored = |item: &&SubsystemIn| matches!(item.state, SubsystemState::Restored);
        for item in self.incoming.subsystems.iter().filter(restored).rev() {
            if let Some(entry) = live(&mut self.luo.subsystems, item.name) {
                entry.subsystem.finish();
            }
        }
        self.subsystems_finished = true;
    }

    /// The end of the whole update, when everybody has been told: releases what carried it, and whatever nobody
    /// claimed.
    pub(super) fn sweep(&mut self, sessions: &[SessionName]) -> Result<(), KhoError> {
        self.release_sessions(sessions)?;
        self.release_rest()?;
        self.luo.bulletin.set(State::Normal, Some(Transition::Finish));
        Ok(())
    }

    fn release_rest(&mut self) -> Result<(), KhoError> {
        let kho = &mut self.luo.kho;
        for item in self.incoming.subsystems.iter_mut().rev() {
            item.claims.release(kho)?;
        }
        // What a call before this one had begun to release.
        self.leftovers.release(kho)?;
        if kho.root().is_some() {
            kho.publish(None)?;
        }
        for segment in kho.segments().into_iter().rev() {
            kho.detach(segment)?;
        }
        for run in kho.preserved()?.into_iter().rev() {
            kho.reclaim(run)?;
            self.leftovers.borrowed.push(run);
            self.leftovers.release(kho)?;
        }
        Ok(())
    }
}
