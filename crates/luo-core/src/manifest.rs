//! What a build can read and write, as plain data: compared before anything is paused.

use alloc::vec::Vec;
use core::fmt;

use crate::{Kind, Version, VersionRange};

/// The sorts of participants that save state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// A file handler.
    Handler,
    /// A subsystem.
    Subsystem,
    /// A shared object.
    Shared,
}

/// What a build does with one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Support {
    /// The sort of participant.
    pub role: Role,
    /// Its kind or name.
    pub kind: Kind,
    /// The versions it reads.
    pub reads: VersionRange,
    /// The versions it can write, newest first.
    pub writes: Vec<Version>,
}

/// Everything that a build can read and write.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manifest {
    /// One entry for each participant that is registered, in registration order.
    pub supports: Vec<Support>,
    /// Names of abilities outside the versions of payloads.
    pub features: Vec<Kind>,
}

/// Which versions are put down side by side.
///
/// Writing the newest two keeps a downgrade possible: a program that knows only the older one can take over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WritePolicy {
    at_most: usize,
    successor: Option<Manifest>,
}

/// Why no version can be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NoVersion {
    NoCommon { writes: Vec<Version>, reads: VersionRange },
    Unknown,
}

impl Role {
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Handler => 1,
            Self::Subsystem => 2,
            Self::Shared => 3,
        }
    }

    pub(crate) const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Handler),
            2 => Some(Self::Subsystem),
            3 => Some(Self::Shared),
            _ => None,
        }
    }
}

impl Manifest {
    /// The manifest as bytes: for messages between programs, and for an ELF note. Version 1 of their layout. One that
    /// no [`Registry`](crate::Registry) made, with a name twice or versions out of order, is not believed by its
    /// reader.
    pub fn to_bytes(&self) -> Vec<u8> {
        crate::wire::write_manifest(self)
    }

    /// The manifest from bytes that arrived.
    ///
    /// # Errors
    ///
    /// [`WireError`](crate::WireError) if they are not believed.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, crate::WireError> {
        crate::wire::read_manifest(bytes)
    }

    /// What it says of one participant.
    pub fn support(&self, role: Role, kind: Kind) -> Option<&Support> {
        self.supports.iter().find(|support| support.role == role && support.kind == kind)
    }

    /// What `self` might write that `successor` could not read: empty if an update is possible for every kind.
    pub fn unreadable_by<'a>(&'a self, successor: &Self) -> Vec<&'a Support> {
        let readable = |ours: &Support| {
            successor
                .support(ours.role, ours.kind)
                .is_some_and(|theirs| ours.writes.iter().any(|version| theirs.reads.contains(*version)))
        };
        self.supports.iter().filter(|ours| !readable(ours)).collect()
    }
}

impl WritePolicy {
    /// Only the newest version that this build writes.
    pub const fn newest() -> Self {
        Self { at_most: 1, successor: None }
    }

    /// The newest `count` versions, at least one.
    pub const fn newest_of(count: usize) -> Self {
        Self { at_most: if count == 0 { 1 } else { count }, successor: None }
    }

    /// Every version that this build writes.
    pub const fn every() -> Self {
        Self { at_most: usize::MAX, successor: None }
    }

    /// Only versions that the successor reads. A kind of which it reads none stops the prepare.
    #[must_use]
    pub fn for_successor(mut self, successor: Manifest) -> Self {
        self.successor = Some(successor);
        self
    }

    /// The versions to write, newest first; never empty.
    pub(crate) fn choose(
        &self,
        role: Role,
        kind: Kind,
        writes: &[Version],
    ) -> Result<Vec<Version>, NoVersion> {
        let Some(successor) = &self.successor else {
            return Ok(writes.iter().copied().take(self.at_most).collect());
        };
        let reads = successor.support(role, kind).ok_or(NoVersion::Unknown)?.reads;
        let chosen: Vec<_> =
            writes.iter().copied().filter(|v| reads.contains(*v)).take(self.at_most).collect();
        if chosen.is_empty() {
            Err(NoVersion::NoCommon { writes: writes.to_vec(), reads })
        } else {
            Ok(chosen)
        }
    }
}

impl Default for WritePolicy {
    fn default() -> Self {
        Self::newest()
    }
}

impl From<NoVersion> for crate::Cause {
    fn from(none: NoVersion) -> Self {
        match none {
            NoVersion::NoCommon { writes, reads } => Self::NoCommonVersion { writes, reads },
            NoVersion::Unknown => Self::UnknownToSuccessor,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Handler => "file handler",
            Self::Subsystem => "subsystem",
            Self::Shared => "shared object",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMFD: Kind = Kind::literal("memfd");

    fn manifest(oldest: u16, newest: u16) -> Manifest {
        let reads = VersionRange::new(Version(oldest), Version(newest)).unwrap();
        let writes = (oldest..=newest).rev().map(Version).collect();
        let support = Support { role: Role::Handler, kind: MEMFD, reads, writes };
        Manifest { supports: [support].into(), features: Vec::new() }
    }

    #[test]
    fn the_newest_version_that_both_know_wins() {
        let policy = WritePolicy::newest().for_successor(manifest(1, 3));
        let chosen = policy.choose(Role::Handler, MEMFD, &[Version(5), Version(3), Version(2)]);
        assert_eq!(chosen, Ok([Version(3)].into()));
    }

    #[test]
    fn writing_two_keeps_a_downgrade_possible() {
        let chosen =
            WritePolicy::newest_of(2).choose(Role::Handler, MEMFD, &[Version(5), Version(4), Version(3)]);
        assert_eq!(chosen, Ok([Version(5), Version(4)].into()));
    }

    #[test]
    fn no_common_version_is_known_beforehand() {
        let policy = WritePolicy::every().for_successor(manifest(1, 3));
        assert!(matches!(
            policy.choose(Role::Handler, MEMFD, &[Version(5)]),
            Err(NoVersion::NoCommon { .. })
        ));
        assert_eq!(policy.choose(Role::Subsystem, MEMFD, &[Version(1)]), Err(NoVersion::Unknown));
        assert_eq!(manifest(4, 5).unreadable_by(&manifest(1, 3)).len(), 1);
        assert!(manifest(3, 5).unreadable_by(&manifest(1, 3)).is_empty());
    }
}
