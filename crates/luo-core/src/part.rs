//! One participant in one step: the same four moves for subsystems, files and shared objects.
//!
//! The moves keep the law that each success is undone exactly once and no failure is: [`prepare`] and [`freeze`]
//! either leave the participant a stage further or exactly where it was.

use luo_kho::Memory;
use luo_kho::carrier::{Conveyance, DescriptorKind};

use crate::erased::{AnyFile, AnyHandler, AnyHeld, AnyShared};
use crate::handler::Subsystem;
use crate::manifest::{Role, WritePolicy};
use crate::outgoing::{Identities, Neighbours, Saved, Stage};
use crate::registry::Handlers;
use crate::scope::{FreezeScope, PrepareScope};
use crate::shared_table::SharedTable;
use crate::view::View;
use crate::{Cause, Kind, Refusal, SessionName, Version};

/// What differs between participants.
pub(crate) trait Part {
    fn prepare(&mut self, scope: &mut PrepareScope<'_>) -> Result<(), Refusal>;
    fn cancel(&mut self);
    fn freeze(&mut self, scope: &mut FreezeScope<'_>) -> Result<(), Refusal>;
    fn unfreeze(&mut self);
}

pub(crate) struct FilePart<'a> {
    pub(crate) handler: &'a dyn AnyHandler,
    pub(crate) file: &'a AnyFile,
    pub(crate) held: &'a mut AnyHeld,
}

pub(crate) struct SharedPart<'a> {
    pub(crate) maker: &'a dyn AnyShared,
    pub(crate) object: &'a mut AnyHeld,
}

pub(crate) struct SubsystemPart<'a>(pub(crate) &'a mut dyn Subsystem);

impl Part for FilePart<'_> {
    fn prepare(&mut self, scope: &mut PrepareScope<'_>) -> Result<(), Refusal> {
        self.handler.prepare(self.file, self.held, scope)
    }

    fn cancel(&mut self) {
        self.handler.cancel(self.file, self.held);
    }

    fn freeze(&mut self, scope: &mut FreezeScope<'_>) -> Result<(), Refusal> {
        self.handler.freeze(self.file, self.held, scope)
    }

    fn unfreeze(&mut self) {
        self.handler.unfreeze(self.file, self.held);
    }
}

impl Part for SharedPart<'_> {
    fn prepare(&mut self, scope: &mut PrepareScope<'_>) -> Result<(), Refusal> {
        self.maker.prepare(self.object, scope)
    }

    fn cancel(&mut self) {
        self.maker.cancel(self.object);
    }

    fn freeze(&mut self, scope: &mut FreezeScope<'_>) -> Result<(), Refusal> {
        self.maker.freeze(self.object, scope)
    }

    fn unfreeze(&mut self) {
        self.maker.unfreeze(self.object);
    }
}

impl Part for SubsystemPart<'_> {
    fn prepare(&mut self, scope: &mut PrepareScope<'_>) -> Result<(), Refusal> {
        self.0.prepare(scope)
    }

    fn cancel(&mut self) {
        self.0.cancel();
    }

    fn freeze(&mut self, scope: &mut FreezeScope<'_>) -> Result<(), Refusal> {
        self.0.freeze(scope)
    }

    fn unfreeze(&mut self) {
        self.0.unfreeze();
    }
}

/// What all participants of a step have in common.
pub(crate) struct Surroundings<'a> {
    pub(crate) memory: &'a mut dyn Memory,
    pub(crate) handlers: &'a Handlers,
    pub(crate) identities: &'a Identities,
    pub(crate) shared: &'a mut SharedTable,
    pub(crate) policy: &'a WritePolicy,
}

/// Who takes part: enough to choose versions and to look things up.
pub(crate) struct Who<'a> {
    pub(crate) role: Role,
    pub(crate) kind: Kind,
    pub(crate) writes: &'a [Version],
    pub(crate) leans_on: &'a [Kind],
    pub(crate) session: Option<SessionName>,
}

pub(crate) fn prepare(
    part: &mut dyn Part,
    saved: &mut Saved,
    who: &Who<'_>,
    conveys: &dyn Fn(DescriptorKind) -> Conveyance,
    around: Surroundings<'_>,
) -> Result<(), Cause> {
    assert!(saved.stage == Stage::Idle, "a participant is prepared once");
    let versions = around.policy.choose(who.role, who.kind, who.writes)?;
    saved.slots.begin(&versions);
    let Surroundings { memory, handlers, identities, shared, policy: _ } = around;
    let Saved { slots, ledger, depends_on, conveyances, .. } = &mut *saved;
    let mut scope = PrepareScope {
        view: View::prepare(&mut *memory, ledger),
        slots,
        conveys,
        conveyances,
        neighbours: Neighbours { handlers, identities, session: who.session, depends_on },
        shared,
        leans_on: who.leans_on,
    };
    let outcome = match part.prepare(&mut scope) {
        Err(refusal) => Err(Cause::from(refusal)),
        Ok(()) => match saved.slots.missing() {
            None => Ok(()),
            Some(version) => {
                part.cancel();
                Err(Cause::PayloadMissing { version })
            }
        },
    };
    match outcome {
        Ok(()) => {
            saved.stage = Stage::Prepared;
            saved.depended_on_by_prepare = saved.depends_on.len();
        }
        Err(_) => saved.reset(memory),
    }
    outcome
}

pub(crate) fn cancel(part: &mut dyn Part, saved: &mut Saved, memory: &mut dyn Memory) {
    assert!(saved.stage == Stage::Prepared, "what is not prepared is not cancelled");
    part.cancel();
    saved.reset(memory);
}

pub(crate) fn freeze(
    part: &mut dyn Part,
    saved: &mut Saved,
    who: &Who<'_>,
    around: Surroundings<'_>,
) -> Result<(), Cause> {
    assert!(saved.stage == Stage::Prepared, "a participant is prepared before it is frozen");
    let Surroundings { memory, handlers, identities, shared, policy: _ } = around;
    let Saved { slots, depends_on, .. } = &mut *saved;
    let mut scope = FreezeScope {
        view: View::freeze(memory),
        slots,
        neighbours: Neighbours { handlers, identities, session: who.session, depends_on },
        shared,
        leans_on: who.leans_on,
    };
    let outcome = match part.freeze(&mut scope) {
        Err(refusal) => Err(Cause::from(refusal)),
        Ok(()) => match saved.slots.unwritten() {
            None => Ok(()),
            Some(version) => {
                part.unfreeze();
                Err(Cause::PayloadMissing { version })
            }
        },
    };
    match outcome {
        Ok(()) => saved.stage = Stage::Frozen,
        Err(_) => saved.thaw(),
    }
    outcome
}

pub(crate) fn unfreeze(part: &mut dyn Part, saved: &mut Saved) {
    assert!(saved.stage == Stage::Frozen, "what is not frozen is not unfrozen");
    part.unfreeze();
    saved.thaw();
    saved.stage = Stage::Prepared;
}
