//! Who can carry what: the participants that a build knows, in the order in which they were registered.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::any::Any;
use core::fmt;

use crate::erased::{AnyHandler, AnyShared};
use crate::handler::{FileHandler, SharedObject, Subsystem, Verdict};
use crate::manifest::{Manifest, Role, Support};
use crate::{Kind, Map, Set, Version, VersionRange};

/// The participants of a build. Filled before the orchestrator is made, and given to it.
#[derive(Default)]
pub struct Registry {
    pub(crate) handlers: Handlers,
    pub(crate) subsystems: Map<Kind, Box<dyn Subsystem>>,
    features: Vec<Kind>,
}

/// File handlers and the objects they share.
#[derive(Default)]
pub(crate) struct Handlers {
    by_kind: Map<Kind, HandlerEntry>,
    shared: Map<Kind, Box<dyn AnyShared>>,
}

pub(crate) struct HandlerEntry {
    pub(crate) handler: Box<dyn AnyHandler>,
    pub(crate) kind: Kind,
    pub(crate) leans_on: Vec<Kind>,
    pub(crate) reads: VersionRange,
    pub(crate) writes: Vec<Version>,
}

/// Why a participant was not registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// The name is taken.
    #[error("a {role} `{kind}` is registered already")]
    Duplicate {
        /// The sort of participant.
        role: Role,
        /// Its name.
        kind: Kind,
    },
    /// The participant names no version that it writes, or not newest first.
    #[error("{role} `{kind}` has to name the versions it writes, newest first, each once")]
    BadVersions {
        /// The sort of participant.
        role: Role,
        /// Its name.
        kind: Kind,
    },
    /// A handler leans on the same object twice.
    #[error("handler `{kind}` leans on `{shared}` twice")]
    Twice {
        /// The handler.
        kind: Kind,
        /// What it leans on.
        shared: Kind,
    },
    /// More than 65,535 versions, or objects to lean on.
    #[error("{role} `{kind}` names {named} versions or objects, 65535 are the most")]
    TooMany {
        /// The sort of participant.
        role: Role,
        /// Its name.
        kind: Kind,
        /// How many it names.
        named: usize,
    },
    /// A handler leans on what is not registered: register shared objects before their handlers.
    #[error("handler `{kind}` leans on `{shared}`, which is not registered")]
    NoSuchShared {
        /// The handler.
        kind: Kind,
        /// What it leans on.
        shared: Kind,
    },
}

fn check_versions(role: Role, kind: Kind, writes: &[Version]) -> Result<(), RegistryError> {
    check_count(role, kind, writes.len())?;
    let descending = writes.is_sorted_by(|newer, older| newer > older);
    if writes.is_empty() || !descending { Err(RegistryError::BadVersions { role, kind }) } else { Ok(()) }
}

/// Records count them in 16 bits.
fn check_count(role: Role, kind: Kind, named: usize) -> Result<(), RegistryError> {
    if named > usize::from(u16::MAX) { Err(RegistryError::TooMany { role, kind, named }) } else { Ok(()) }
}

impl Registry {
    /// Nobody.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a file handler. Where several could carry a file, the one registered first is asked first.
    ///
    /// # Errors
    ///
    /// [`RegistryError`]; the registry is as before.
    pub fn handler(&mut self, handler: impl FileHandler) -> Result<&mut Self, RegistryError> {
        let kind = FileHandler::kind(&handler);
        let entry = HandlerEntry {
            kind,
            leans_on: FileHandler::leans_on(&handler),
            reads: FileHandler::reads(&handler),
            writes: FileHandler::writes(&handler),
            handler: Box::new(handler),
        };
        check_versions(Role::Handler, kind, &entry.writes)?;
        if self.handlers.by_kind.contains_key(&kind) {
            return Err(RegistryError::Duplicate { role: Role::Handler, kind });
        }
        if let Some(shared) = entry.leans_on.iter().find(|kind| !self.handlers.shared.contains_key(*kind)) {
            return Err(RegistryError::NoSuchShared { kind, shared: *shared });
        }
        check_count(Role::Handler, kind, entry.leans_on.len())?;
        let mut seen = Set::default();
        if let Some(shared) = entry.leans_on.iter().find(|shared| !seen.insert(**shared)) {
            return Err(RegistryError::Twice { kind, shared: *shared });
        }
        self.handlers.by_kind.insert(kind, entry);
        Ok(self)
    }

    /// Adds an object that files share.
    ///
    /// # Errors
    ///
    /// [`RegistryError`]; the registry is as before.
    pub fn shared(&mut self, shared: impl SharedObject) -> Result<&mut Self, RegistryError> {
        let kind = SharedObject::kind(&shared);
        check_versions(Role::Shared, kind, &SharedObject::writes(&shared))?;
        if self.handlers.shared.contains_key(&kind) {
            return Err(RegistryError::Duplicate { role: Role::Shared, kind });
        }
        self.handlers.shared.insert(kind, Box::new(shared));
        Ok(self)
    }

    /// Adds a subsystem. Subsystems prepare and freeze before files, in the order of their registration.
    ///
    /// # Errors
    ///
    /// [`RegistryError`]; the registry is as before.
    pub fn subsystem(&mut self, subsystem: impl Subsystem + 'static) -> Result<&mut Self, RegistryError> {
        let kind = subsystem.name();
        check_versions(Role::Subsystem, kind, &subsystem.writes())?;
        if self.subsystems.contains_key(&kind) {
            return Err(RegistryError::Duplicate { role: Role::Subsystem, kind });
        }
        self.subsystems.insert(kind, Box::new(subsystem));
        Ok(self)
    }

    /// Names an ability of this build that is no payload version.
    pub fn feature(&mut self, feature: Kind) -> &mut Self {
        if !self.features.contains(&feature) {
            self.features.push(feature);
        }
        self
    }

    /// What this build reads and writes.
    pub fn manifest(&self) -> Manifest {
        let subsystems = self.subsystems.values().map(|subsystem| Support {
            role: Role::Subsystem,
            kind: subsystem.name(),
            reads: subsystem.reads(),
            writes: subsystem.writes(),
        });
        let shared = self.handlers.shared.iter().map(|(kind, shared)| Support {
            role: Role::Shared,
            kind: *kind,
            reads: shared.reads(),
            writes: shared.writes(),
        });
        let handlers = self.handlers.by_kind.values().map(|entry| Support {
            role: Role::Handler,
            kind: entry.kind,
            reads: entry.reads,
            writes: entry.writes.clone(),
        });
        Manifest {
            supports: subsystems.chain(shared).chain(handlers).collect(),
            features: self.features.clone(),
        }
    }
}

impl Handlers {
    /// The handler that an index names, which the registry gave out.
    pub(crate) fn at(&self, handler: usize) -> &HandlerEntry {
        let entry = self.by_kind.get_index(handler).map(|(_, entry)| entry);
        entry.expect("handlers are never unregistered, so their indexes stay good")
    }

    pub(crate) fn index_of(&self, kind: Kind) -> Option<usize> {
        self.by_kind.get_index_of(&kind)
    }

    pub(crate) fn kinds(&self) -> impl ExactSizeIterator<Item = Kind> + '_ {
        self.by_kind.keys().copied()
    }

    pub(crate) fn shared(&self, kind: Kind) -> Option<&dyn AnyShared> {
        self.shared.get(&kind).map(|shared| &**shared)
    }

    /// The first handler that says the file is its own, or why there is none.
    pub(crate) fn choose(&self, file: &dyn Any) -> Result<usize, NoHandler> {
        for (index, entry) in self.by_kind.values().enumerate() {
            match entry.handler.judge(file) {
                Verdict::Mine => return Ok(index),
                Verdict::MineButNo { reason } => return Err(NoHandler::Refused { kind: entry.kind, reason }),
                Verdict::NotMine => {}
            }
        }
        Err(NoHandler::Unknown)
    }

    /// The first handler that knows the file as its own, whether or not it can travel: what was preserved may have
    /// changed since.
    pub(crate) fn owner(&self, file: &dyn Any) -> Option<usize> {
        self.by_kind.values().position(|entry| entry.handler.judge(file) != Verdict::NotMine)
    }
}

/// Why no handler takes a file.
pub(crate) enum NoHandler {
    Unknown,
    Refused { kind: Kind, reason: alloc::borrow::Cow<'static, str> },
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry")
            .field("handlers", &self.handlers.by_kind.keys())
            .field("shared", &self.handlers.shared.keys())
            .field("subsystems", &self.subsystems.keys())
            .finish_non_exhaustive()
    }
}
