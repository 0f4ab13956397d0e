//! A plan: what would cross how, and what stands in the way, before anything is paused.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use luo_kho::carrier::{Carrier, Conveyance};
use luo_kho::{ByteLen, Kho};

use crate::handler::{Copying, Travel, Verdict};
use crate::luo::Luo;
use crate::manifest::{Manifest, Role, WritePolicy};
use crate::{Cause, Kind, SessionName, Token, Version};

/// How one file would cross with one carrier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Passage {
    /// Nothing is copied.
    ByReference,
    /// The contents are copied into preserved memory.
    ByCopy {
        /// Bytes to copy.
        bytes: ByteLen,
        /// Why: what stands against a reference, or who wants a copy.
        why: Cow<'static, str>,
    },
    /// Not at all.
    Blocked {
        /// Why not.
        reason: Cow<'static, str>,
    },
}

/// One file in a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedFile {
    /// Its session.
    pub session: SessionName,
    /// Its token.
    pub token: Token,
    /// The kind of its handler.
    pub kind: Kind,
    /// The versions that would be written, newest first.
    pub versions: Vec<Version>,
    /// How it would cross, for each carrier in the order of [`Plan::carriers`].
    pub passages: Vec<Passage>,
}

/// What an update would do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The carriers that were asked.
    pub carriers: Vec<&'static str>,
    /// Every file, in registration order.
    pub files: Vec<PlannedFile>,
    /// What would keep subsystems and shared objects from crossing with any carrier.
    pub obstacles: Vec<String>,
}

impl Plan {
    /// Whether everything can cross with the carrier of this index.
    pub fn is_possible_with(&self, carrier: usize) -> bool {
        let open =
            |file: &PlannedFile| !matches!(file.passages.get(carrier), None | Some(Passage::Blocked { .. }));
        carrier < self.carriers.len() && self.obstacles.is_empty() && self.files.iter().all(open)
    }

    /// Bytes that would be copied with the carrier of this index.
    pub fn bytes_copied_with(&self, carrier: usize) -> ByteLen {
        let copied = self.files.iter().filter_map(|file| match file.passages.get(carrier) {
            Some(Passage::ByCopy { bytes, .. }) => Some(bytes.get()),
            _ => None,
        });
        ByteLen::new(copied.fold(0, u64::saturating_add))
    }
}

impl<K: Kho> Luo<K> {
    /// Says for each file and carrier how it would cross, and which versions would be written. Looks, and changes
    /// nothing. With the successor's manifest the versions are those that it reads.
    pub fn plan(&self, carriers: &[&dyn Carrier<K>], successor: Option<&Manifest>) -> Plan {
        let policy = match successor {
            Some(manifest) => self.policy.clone().for_successor(manifest.clone()),
            None => self.policy.clone(),
        };
        let mut files = Vec::new();
        for (session, books) in &self.out.sessions {
            for (token, entry) in &books.files {
                let known = self.handlers.at(entry.handler);
                let chosen = policy.choose(Role::Handler, known.kind, &known.writes).map_err(Cause::from);
                let blocked = match (known.handler.judge(&*entry.file), &chosen) {
                    (Verdict::MineButNo { reason }, _) => Some(reason),
                    (_, Err(cause)) => Some(Cow::Owned(alloc::format!("{cause}"))),
                    _ => None,
                };
                let travel = known.handler.travel(&entry.file);
                let passage = |carrier: &&dyn Carrier<K>| match &blocked {
                    Some(reason) => Passage::Blocked { reason: reason.clone() },
                    None => passage(&travel, carrier.conveys(travel.descriptor)),
                };
                files.push(PlannedFile {
                    session: *session,
                    token: *token,
                    kind: known.kind,
                    versions: chosen.unwrap_or_default(),
                    passages: carriers.iter().map(passage).collect(),
                });
            }
        }
        let carriers = carriers.iter().map(|carrier| carrier.name()).collect();
        Plan { carriers, files, obstacles: self.obstacles(&policy) }
    }

    fn obstacles(&self, policy: &WritePolicy) -> Vec<String> {
        let subsystems =
            self.subsystems.iter().map(|(name, entry)| (Role::Subsystem, *name, entry.writes.clone()));
        let shared = self
            .out
            .shared
            .iter()
            .filter_map(|(kind, _)| Some((Role::Shared, kind, self.handlers.shared(kind)?.writes())));
        let obstacle = |(role, kind, writes): (Role, Kind, Vec<Version>)| {
            let cause = Cause::from(policy.choose(role, kind, &writes).err()?);
            Some(alloc::format!("{role} `{kind}`: {cause}"))
        };
        subsystems.chain(shared).filter_map(obstacle).collect()
    }
}

/// How a file that may travel crosses with a carrier that takes its descriptor, or does not.
fn passage(travel: &Travel, conveyance: Conveyance) -> Passage {
    match (&travel.copy, conveyance) {
        (Copying::Will { reason }, _) => Passage::ByCopy { bytes: travel.bytes, why: reason.clone() },
        (_, Conveyance::ByReference) => Passage::ByReference,
        (Copying::Can, Conveyance::Refused { reason }) => {
            Passage::ByCopy { bytes: travel.bytes, why: reason }
        }
        (Copying::CanWith { needs }, Conveyance::Refused { reason }) => {
            Passage::ByCopy { bytes: travel.bytes, why: Cow::Owned(alloc::format!("{reason}; {needs}")) }
        }
        (Copying::Cannot { reason: no_copy }, Conveyance::Refused { reason }) => {
            Passage::Blocked { reason: Cow::Owned(alloc::format!("{reason}; {no_copy}")) }
        }
    }
}

impl fmt::Display for Passage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ByReference => f.write_str("by reference"),
            Self::ByCopy { bytes, why } => write!(f, "by copy of {bytes} ({why})"),
            Self::Blocked { reason } => write!(f, "blocked: {reason}"),
        }
    }
}

/// A table for people: a line for each file and carrier, then the obstacles.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for file in &self.files {
            for (carrier, passage) in self.carriers.iter().zip(&file.passages) {
                let PlannedFile { session, token, kind, versions, .. } = file;
                writeln!(f, "{session:<20} {token:>18} {kind:<14} {versions:?} {carrier:<10} {passage}")?;
            }
        }
        for obstacle in &self.obstacles {
            writeln!(f, "obstacle: {obstacle}")?;
        }
        Ok(())
    }
}
