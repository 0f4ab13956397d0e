//! What arrived: an entry for each file, shared object and subsystem of the image, and what became of it so far.

use alloc::vec::Vec;
use core::fmt;

use super::retrieve::RetrieveError;
use crate::erased::{AnyFile, AnyHeld, AnyShared};
use crate::handler::Record;
use crate::ledger::Claims;
use crate::luo::SubsystemEntry;
use crate::registry::{Handlers, Registry};
use crate::wire::{Image, Object, WireError};
use crate::{Identity, Kind, Map, Refusal, Role, SessionName, Token, Version, VersionRange};

/// Everything that arrived.
pub(crate) struct Incoming {
    pub(crate) image: Image,
    pub(crate) subsystems: Vec<SubsystemIn>,
    pub(crate) shared: Vec<SharedIn>,
    pub(crate) sessions: Map<SessionName, SessionIn>,
}

/// A session that arrived, its files in the order in which they were preserved.
#[derive(Default)]
pub(crate) struct SessionIn {
    pub(crate) files: Map<Token, FileIn>,
}

/// Where a file is listed. Nothing is ever taken off the list.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Listed {
    session: usize,
    file: usize,
}

pub(crate) struct FileIn {
    pub(crate) kind: Kind,
    /// Indexes of the shared objects it leans on.
    pub(crate) leans_on: Vec<usize>,
    pub(crate) state: FileState,
    pub(crate) readable: Result<Readable, OrphanReason>,
    pub(crate) claims: Claims,
}

const LISTED: &str = "nothing is taken off the list of what arrived";

/// A record that this build can read.
#[derive(Clone)]
pub(crate) struct Readable {
    pub(crate) handler: usize,
    pub(crate) object: Object,
}

pub(crate) enum FileState {
    Waiting,
    Retrieving,
    Retrieved { file: AnyFile, identity: Identity, taken: bool },
    Failed(Refusal),
    Finished,
}

pub(crate) struct SharedIn {
    pub(crate) kind: Kind,
    /// Files that lean on it and are not finished.
    pub(crate) files: u64,
    pub(crate) object: Result<Object, OrphanReason>,
    pub(crate) state: SharedState,
    pub(crate) claims: Claims,
}

pub(crate) enum SharedState {
    Waiting,
    Retrieving,
    Retrieved(AnyHeld),
    Failed(Refusal),
    Finished,
}

pub(crate) struct SubsystemIn {
    pub(crate) name: Kind,
    pub(crate) object: Result<Object, OrphanReason>,
    pub(crate) state: SubsystemState,
    pub(crate) claims: Claims,
}

#[derive(Clone, Debug)]
pub(crate) enum SubsystemState {
    Waiting,
    Restored,
    Failed(Refusal),
    Waived,
}

/// Why this build cannot read what arrived. It is kept, and concerns nobody else.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OrphanReason {
    /// Nothing of this kind is registered.
    #[error("nothing that is registered reads `{kind}`")]
    UnknownKind {
        /// The kind.
        kind: Kind,
    },
    /// It was written in versions that are not read here.
    #[error("`{kind}` was written as {written:?}, this build reads {reads}")]
    UnknownVersion {
        /// The kind.
        kind: Kind,
        /// The versions that were written, newest first.
        written: Vec<Version>,
        /// What this build reads.
        reads: VersionRange,
    },
    /// The payload's checksum is wrong.
    #[error("the payload of this `{kind}` is damaged")]
    Damaged {
        /// The kind.
        kind: Kind,
    },
}

/// What became of a file that arrived.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Fate {
    /// Nobody asked for it yet.
    Waiting,
    /// It is in use. `taken` says whether its user has it, or only files that depend on it.
    Retrieved {
        /// Whether it was handed out under its token.
        taken: bool,
    },
    /// Its handler refused, once and for all.
    Failed(Refusal),
    /// This build cannot read it.
    Orphan(OrphanReason),
    /// What carried it is released.
    Finished,
}

impl FileIn {
    pub(crate) fn fate(&self) -> Fate {
        match (&self.state, &self.readable) {
            (FileState::Finished, _) => Fate::Finished,
            (FileState::Failed(refusal), _) => Fate::Failed(refusal.clone()),
            (FileState::Retrieved { taken, .. }, _) => Fate::Retrieved { taken: *taken },
            (FileState::Waiting | FileState::Retrieving, Ok(_)) => Fate::Waiting,
            (FileState::Waiting | FileState::Retrieving, Err(reason)) => Fate::Orphan(reason.clone()),
        }
    }
}

/// Takes objects off the front of the image, participant by participant.
struct Objects<'a>(&'a [Object]);

impl Objects<'_> {
    /// The newest of the next `count` objects that the reader understands, if there is one.
    fn choose(
        &mut self,
        image: &Image,
        count: usize,
        kind: Kind,
        reads: Option<VersionRange>,
    ) -> Result<Object, OrphanReason> {
        let (own, rest) = self.0.split_at_checked(count).unwrap_or((self.0, &[]));
        self.0 = rest;
        let reads = reads.ok_or(OrphanReason::UnknownKind { kind })?;
        let newest =
            own.iter().filter(|object| reads.contains(object.version)).max_by_key(|object| object.version);
        let Some(object) = newest else {
            let written = own.iter().map(|object| object.version).collect();
            return Err(OrphanReason::UnknownVersion { kind, written, reads });
        };
        let descending = own.is_sorted_by(|newer, older| newer.version > older.version);
        if !descending || image.payload(object).is_none() {
            return Err(OrphanReason::Damaged { kind });
        }
        Ok(object.clone())
    }
}

fn impossible(section: &'static str, why: &'static str) -> WireError {
    WireError::Impossible { section, why }
}

impl Incoming {
    /// Makes an entry for everything in the image, and finds its reader.
    pub(crate) fn list(image: Image, registry: &Registry) -> Result<Self, WireError> {
        let mut objects = Objects(image.objects());
        let mut names = 0..;
        let mut next_name = |role| {
            let index = names.next().unwrap_or_default();
            image.name(index, role).ok_or_else(|| impossible("names", "names and participants disagree"))
        };
        let mut subsystems = Vec::with_capacity(image.subsystems().len());
        for item in image.subsystems() {
            let name = next_name(Role::Subsystem)?;
            let count = item.objects.get() as usize;
            let reads = registry.subsystems.get(&name).map(|subsystem| subsystem.reads());
            let object = objects.choose(&image, count, name, reads);
            subsystems.push(SubsystemIn {
                name,
                object,
                state: SubsystemState::Waiting,
                claims: Claims::default(),
            });
        }
        let mut shared = Vec::with_capacity(image.shared().len());
        for item in image.shared() {
            let kind = next_name(Role::Shared)?;
            let count = item.objects.get() as usize;
            let reads = registry.handlers.shared(kind).map(AnyShared::reads);
            let object = objects.choose(&image, count, kind, reads);
            let (files, state) = (item.files.get(), SharedState::Waiting);
            shared.push(SharedIn { kind, files, object, state, claims: Claims::default() });
        }
        let sessions = list_sessions(&image, &mut objects, &registry.handlers)?;
        Ok(Self { image, subsystems, shared, sessions })
    }

    /// A record for its reader.
    ///
    /// Its checksum was compared when the entry was made, and nobody changes the private copy.
    pub(crate) fn record<'i>(image: &'i Image, object: &Object) -> Record<'i> {
        Record { version: object.version, payload: image.payload_as_it_is(object) }
    }

    /// The kinds of these shared objects. A file leans on those that it was written with, whatever its handler leans on
    /// now: only they count it.
    pub(crate) fn kinds_of(&self, shared: &[usize]) -> Vec<Kind> {
        shared.iter().filter_map(|at| Some(self.shared.get(*at)?.kind)).collect()
    }

    /// Finds a file: to be done once, because names are long.
    pub(crate) fn locate(&self, session: SessionName, token: Token) -> Result<Listed, RetrieveError> {
        let found = self.sessions.get_full(&session);
        let (at, _, entries) = found.ok_or(RetrieveError::UnknownSession { session })?;
        let file = entries.files.get_index_of(&token);
        Ok(Listed { session: at, file: file.ok_or(RetrieveError::UnknownToken { session, token })? })
    }

    /// Where the files of the session at this index are listed.
    pub(crate) fn listed(&self, session: usize) -> impl DoubleEndedIterator<Item = Listed> + use<> {
        let files = self.sessions.get_index(session).map_or(0, |(_, entries)| entries.files.len());
        (0..files).map(move |file| Listed { session, file })
    }

    pub(crate) fn file(&mut self, at: Listed) -> &mut FileIn {
        let (_, entries) = self.sessions.get_index_mut(at.session).expect(LISTED);
        entries.files.get_index_mut(at.file).expect(LISTED).1
    }

    /// The names of a file that is listed.
    pub(crate) fn names(&self, at: Listed) -> (SessionName, Token) {
        let (session, entries) = self.sessions.get_index(at.session).expect(LISTED);
        (*session, *entries.files.get_index(at.file).expect(LISTED).0)
    }
}

fn list_sessions(
    image: &Image,
    objects: &mut Objects<'_>,
    handlers: &Handlers,
) -> Result<Map<SessionName, SessionIn>, WireError> {
    let mut sessions = Map::default();
    let mut files = image.files().iter();
    let mut links = image.links().iter();
    for item in image.sessions() {
        let session =
            SessionName::from_padded(&item.name).ok_or_else(|| impossible("sessions", "not a name"))?;
        let mut entries = SessionIn::default();
        // The image was checked: sessions claim exactly the files that there are, so this ends with them.
        entries.files.reserve_exact(item.files.get().try_into().unwrap_or(0));
        for _ in 0..item.files.get() {
            let file = files.next().ok_or_else(|| impossible("files", "fewer than sessions claim"))?;
            let token = Token(file.token.get());
            let kind = image.name(file.name.get() as usize, Role::Handler);
            let kind = kind.ok_or_else(|| impossible("files", "a file names no handler"))?;
            let count = usize::from(file.objects.get());
            let handler = handlers.index_of(kind);
            let object =
                objects.choose(image, count, kind, handler.map(|handler| handlers.at(handler).reads));
            let readable = object.map(|object| Readable { handler: handler.unwrap_or_default(), object });
            let leans_on =
                links.by_ref().take(file.links.get().into()).map(|link| link.shared.get() as usize);
            let leans_on = leans_on.collect();
            let (state, claims) = (FileState::Waiting, Claims::default());
            if entries.files.insert(token, FileIn { kind, leans_on, state, readable, claims }).is_some() {
                return Err(WireError::DuplicateToken { session, token });
            }
        }
        if sessions.insert(session, entries).is_some() {
            return Err(WireError::DuplicateSession { session });
        }
    }
    Ok(sessions)
}

/// The live subsystem of this name.
pub(crate) fn live(subsystems: &mut Map<Kind, SubsystemEntry>, name: Kind) -> Option<&mut SubsystemEntry> {
    subsystems.get_mut(&name)
}

impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incoming").field("sessions", &self.sessions.keys()).finish_non_exhaustive()
    }
}
