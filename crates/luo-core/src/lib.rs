#![doc = include_str!("../README.md")]
#![no_std]
// Stay as low as possible, and say nothing on the user's terminal.
#![warn(
    clippy::alloc_instead_of_core,
    clippy::std_instead_of_alloc,
    clippy::std_instead_of_core,
    clippy::print_stdout
)]

extern crate alloc;
#[cfg(any(feature = "std", test))]
extern crate std;

mod names;
mod refusal;
mod events;
mod manifest;
mod handler;
mod slots;
mod ledger;
mod view;
mod scope;
mod erased;
mod registry;
mod shared_table;
mod outgoing;
mod part;
mod execution;
mod luo;
mod plan;
mod wire;
mod update;
mod incoming;
#[cfg(feature = "conformance")]
pub mod conformance;

pub use events::{Event, Observer, State, StateView, Transition};
pub use execution::Execution;
pub use handler::{CopyWhen, Copying, FileHandler, Record, SharedObject, Subsystem, Travel, Verdict};
pub use incoming::{
    AdoptError, Adopted, Fate, FinishError, Irrevocable, OrphanReason, RetrieveError, RetrievedOne,
    SharedNotRetrieved, Unclaimed, Updated,
};
pub use luo::{Luo, PrepareOneError, SessionError};
pub use manifest::{Manifest, Role, Support, WritePolicy};
pub use names::{BadName, Identity, Kind, SessionName, Token, Version, VersionRange};
pub use outgoing::{DependencyError, PreserveError};
pub use plan::{Passage, Plan, PlannedFile};
pub use refusal::{Cause, Participant, Phase, PhaseError, Refusal, Stuck};
pub use registry::{Registry, RegistryError};
pub use scope::{FreezeScope, PrepareScope, RetrieveScope};
pub use slots::{PAYLOAD_MAX, PayloadError, SlotError};
pub use update::{Frozen, Prepared};
pub use wire::WireError;

/// Look-up in constant time, iteration in order of insertion.
pub(crate) type Map<K, V> = indexmap::IndexMap<K, V, foldhash::quality::RandomState>;
/// As [`Map`], without values.
pub(crate) type Set<T> = indexmap::IndexSet<T, foldhash::quality::RandomState>;
