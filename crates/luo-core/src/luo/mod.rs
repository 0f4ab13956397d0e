//! The orchestrator: the books of one program, and the doors to the phases of an update.

mod books;
mod steps;

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;

use luo_kho::ownership::{self, Kept};
use luo_kho::{Kho, Owned};

use crate::events::{Bulletin, Observer, State, StateView};
use crate::execution::Execution;
use crate::handler::Subsystem;
use crate::manifest::{Manifest, WritePolicy};
use crate::outgoing::{Identities, Outgoing, Saved};
use crate::registry::{Handlers, Registry};
use crate::{Cause, Kind, Map, Participant, Phase, PhaseError, Stuck};

pub use books::{PrepareOneError, SessionError};
pub(crate) use steps::Step;

/// Carries files and subsystems across updates of the program that embeds it, or of the kernel below.
///
/// One value owns the memory `K`, the registered participants and the books. Every step takes `&mut self`, so that
/// nothing can be preserved while an update is under way; a program with several threads puts one lock around it.
///
/// Dropping it unpreserves every file, last one first.
pub struct Luo<K: Kho> {
    pub(crate) kho: K,
    pub(crate) handlers: Handlers,
    pub(crate) subsystems: Map<Kind, SubsystemEntry>,
    pub(crate) manifest: Manifest,
    pub(crate) out: Outgoing,
    pub(crate) identities: Identities,
    pub(crate) policy: WritePolicy,
    pub(crate) execution: Execution,
    pub(crate) bulletin: Bulletin,
    pub(crate) right: Option<Owned>,
}

pub(crate) struct SubsystemEntry {
    pub(crate) subsystem: Box<dyn Subsystem>,
    pub(crate) writes: Vec<crate::Version>,
    pub(crate) saved: Saved,
}

impl<K: Kho> Luo<K> {
    /// Begins on fresh memory. The right to run the guest comes with it.
    ///
    /// # Errors
    ///
    /// [`OwnershipError::WrongTurn`](luo_kho::ownership::OwnershipError::WrongTurn) as the cause if the memory is not
    /// fresh: it belongs to somebody, or is to be adopted. Memory and registry come back.
    #[expect(clippy::type_complexity, reason = "what was given comes back")]
    pub fn found(
        mut kho: K,
        registry: Registry,
    ) -> Result<(Self, Owned), Stuck<(K, Registry), Box<PhaseError>>> {
        match ownership::found(&mut kho) {
            Ok(owned) => Ok((Self::assemble(kho, registry, State::Normal), owned)),
            Err(error) => {
                let error = Cause::Ownership(error).by(Participant::Records, Phase::Found);
                Err(Stuck::new((kho, registry), error))
            }
        }
    }

    pub(crate) fn assemble(kho: K, registry: Registry, state: State) -> Self {
        let manifest = registry.manifest();
        let Registry { handlers, subsystems, .. } = registry;
        let entry = |(kind, subsystem): (Kind, Box<dyn Subsystem>)| {
            let writes = subsystem.writes();
            (kind, SubsystemEntry { subsystem, writes, saved: Saved::default() })
        };
        Self {
            kho,
            handlers,
            subsystems: subsystems.into_iter().map(entry).collect(),
            manifest,
            out: Outgoing::default(),
            identities: Identities::default(),
            policy: WritePolicy::newest(),
            execution: Execution::Inline,
            bulletin: Bulletin::new(state),
            right: None,
        }
    }

    /// Where it stands.
    pub fn state(&self) -> State {
        self.bulletin.state()
    }

    /// A view of the state for other threads.
    pub fn state_view(&self) -> StateView {
        self.bulletin.view()
    }

    /// Adds somebody who follows every event from now on.
    pub fn observe(&mut self, observer: impl Observer + 'static) {
        self.bulletin.observe(Box::new(observer));
    }

    /// A stream of every event from now on, for another thread.
    #[cfg(feature = "std")]
    pub fn subscribe(&mut self) -> crossbeam_channel::Receiver<crate::Event> {
        let (sender, receiver) = crossbeam_channel::unbounded();
        self.observe(move |event: &crate::Event| {
            // A receiver that is gone no longer wants to know.
            let _ = sender.send(*event);
        });
        receiver
    }

    /// What this build reads and writes.
    pub const fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Chooses which versions prepare writes from now on.
    pub fn set_policy(&mut self, policy: WritePolicy) {
        self.policy = policy;
    }

    /// Chooses how surveys are executed from now on.
    pub fn set_execution(&mut self, execution: Execution) {
        self.execution = execution;
    }

    /// The memory.
    pub const fn memory(&self) -> &K {
        &self.kho
    }

    /// The right to run the guest, where a guard that was dropped had to leave it: a [`Frozen`](crate::Frozen) that
    /// went out of scope gave it back here.
    pub fn take_right(&mut self) -> Option<Owned> {
        self.right.take()
    }

    /// Ends on purpose: nobody restores what this memory holds. Everything is unpreserved first.
    ///
    /// # Errors
    ///
    /// The right comes back with the reason; files are unpreserved all the same.
    pub fn retire(mut self, owned: Owned) -> Result<(), Kept<Owned>> {
        self.close_all();
        ownership::retire(&mut self.kho, owned)
    }

    pub(crate) fn memory_mut(&mut self) -> &mut K {
        &mut self.kho
    }
}

impl<K: Kho> Drop for Luo<K> {
    fn drop(&mut self) {
        if self.state() != State::Departed {
            self.close_all();
        }
    }
}

impl<K: Kho> fmt::Debug for Luo<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Luo")
            .field("state", &self.state())
            .field("sessions", &self.out.sessions.keys())
            .finish_non_exhaustive()
    }
}
