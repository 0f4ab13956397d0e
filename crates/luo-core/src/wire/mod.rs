//! The bytes that cross: the orchestrator's records, version 1.
//!
//! One **root** (a [`PreservedBox`](luo_kho::PreservedBox)) names one **image** (a preserved array of bytes). The
//! image is a sequence of **blocks** in a fixed order; each begins with a [`BlockV1`] that carries its magic, version,
//! length and checksum. There is one encoding per content.
//!
//! | block | items | one for each |
//! |---|---|---|
//! | 1 head | [`HeadV1`] | image |
//! | 2 names | [`NameV1`] | subsystem, shared object, file handler, in that order |
//! | 3 subsystems | [`SubsystemV1`] | subsystem |
//! | 4 shared | [`SharedV1`] | shared object in use |
//! | 5 sessions | [`SessionV1`] | session |
//! | 6 files | [`FileV1`] | file, session by session |
//! | 7 links | [`LinkV1`] | shared object that a file leans on, file by file |
//! | 8 objects | [`ObjectV1`] | payload version, participant by participant, newest first |
//! | 9 payloads | bytes | payload, each begun at a multiple of 8, zeros between |
//!
//! The payload bytes are covered by the checksums of their objects, not by that of the block, so that damage to one
//! payload isolates one participant. This layout is a contract: a change is a new version in a new file.

mod check;
mod manifest;
mod read;
mod v1;
mod write;

pub use check::WireError;
pub(crate) use manifest::{read_manifest, write_manifest};
pub(crate) use read::{Image, Object};
pub(crate) use v1::RootV1;
pub(crate) use write::{Books, Measure, write};
