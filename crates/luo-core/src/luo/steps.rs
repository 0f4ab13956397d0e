//! The participants of an update in their order, and the moves on one of them by its place in that order.
//!
//! Registration order is: subsystems as registered, then files (sessions as opened, files as preserved), then shared
//! objects as first leaned on. Shared objects come last because they sum up what their files did. Undo runs in the
//! reverse order.

use alloc::boxed::Box;
use alloc::vec::Vec;

use luo_kho::Kho;
use luo_kho::carrier::{Conveyance, DescriptorKind};

use super::Luo;
use crate::events::Event;
use crate::manifest::Role;
use crate::outgoing::{FileOut, Saved, Stage};
use crate::part::{self, FilePart, Part, SharedPart, SubsystemPart, Surroundings, Who};
use crate::shared_table::SharedTable;
use crate::{Cause, Participant, Phase, PhaseError, Refusal, Token};

/// The place of one participant in registration order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Subsystem(usize),
    File { session: usize, file: usize },
    Shared(usize),
}

const GOOD: &str = "steps are taken from the books, which no guard lets change";

/// One survey to run: the file, and what its handler answered.
struct Survey<'a> {
    handler: usize,
    entry: &'a mut FileOut,
    step: Step,
    outcome: Result<(), Refusal>,
}

impl<K: Kho> Luo<K> {
    /// Every participant, in registration order.
    pub(crate) fn steps(&self) -> Vec<Step> {
        let subsystems = (0..self.subsystems.len()).map(Step::Subsystem);
        let sessions = self.out.sessions.values().enumerate();
        let files = sessions.flat_map(|(session, books)| {
            (0..books.files.len()).map(move |file| Step::File { session, file })
        });
        subsystems.chain(files).chain((0..self.out.shared.len()).map(Step::Shared)).collect()
    }

    pub(crate) fn participant(&self, step: Step) -> Participant {
        match step {
            Step::Subsystem(index) => {
                let (name, _) = self.subsystems.get_index(index).expect(GOOD);
                Participant::Subsystem(*name)
            }
            Step::File { session, file } => {
                let (session, books) = self.out.sessions.get_index(session).expect(GOOD);
                let (token, entry) = books.files.get_index(file).expect(GOOD);
                Participant::File {
                    session: *session,
                    token: *token,
                    kind: self.handlers.at(entry.handler).kind,
                }
            }
            Step::Shared(index) => {
                let (kind, _) = self.out.shared.iter().nth(index).expect(GOOD);
                Participant::Shared(kind)
            }
        }
    }

    pub(crate) fn stage(&self, step: Step) -> Stage {
        match step {
            Step::Subsystem(index) => self.subsystems.get_index(index).expect(GOOD).1.saved.stage,
            Step::File { session, file } => {
                let (_, books) = self.out.sessions.get_index(session).expect(GOOD);
                books.files.get_index(file).expect(GOOD).1.saved.stage
            }
            Step::Shared(index) => self.out.shared.iter().nth(index).expect(GOOD).1.saved.stage,
        }
    }

    /// Cancels files that were prepared ahead of time for another carrier, or in versions that are no longer chosen.
    pub(crate) fn cancel_stale(&mut self, conveys: &dyn Fn(DescriptorKind) -> Conveyance) {
        let stale = |step: &Step| self.stage(*step) != Stage::Idle && !self.is_current(*step, conveys);
        let stale: Vec<_> = self.steps().into_iter().filter(stale).collect();
        for step in stale.into_iter().rev() {
            self.cancel_one(step);
        }
    }

    /// Whether a prepared participant would be prepared in the same way now.
    fn is_current(&self, step: Step, conveys: &dyn Fn(DescriptorKind) -> Conveyance) -> bool {
        // Only files are prepared ahead of time.
        let Step::File { session, file } = step else { return true };
        let (_, books) = self.out.sessions.get_index(session).expect(GOOD);
        let (_, entry) = books.files.get_index(file).expect(GOOD);
        let known = self.handlers.at(entry.handler);
        let chosen = self.policy.choose(Role::Handler, known.kind, &known.writes);
        chosen.is_ok_and(|versions| versions == entry.saved.slots.versions())
            && entry.saved.conveyances.iter().all(|(kind, answer)| conveys(*kind) == *answer)
    }

    /// Runs the surveys of every file that is not prepared, and answers with the first refusal in registration
    /// order.
    pub(crate) fn survey_all(&mut self) -> Result<(), Box<PhaseError>> {
        let mut surveys: Vec<Survey<'_>> = Vec::new();
        for (session, books) in self.out.sessions.values_mut().enumerate() {
            for (file, entry) in books.files.values_mut().enumerate() {
                if entry.saved.stage == Stage::Idle {
                    let step = Step::File { session, file };
                    surveys.push(Survey { handler: entry.handler, entry, step, outcome: Ok(()) });
                }
            }
        }
        let handlers = &self.handlers;
        self.execution.run(&mut surveys, |survey| {
            let FileOut { file, held, .. } = &mut *survey.entry;
            survey.outcome = handlers.at(survey.handler).handler.survey(file, held);
        });
        let refused = surveys.into_iter().find_map(|survey| Some((survey.step, survey.outcome.err()?)));
        match refused {
            None => Ok(()),
            Some((step, refusal)) => Err(self.failed(step, Phase::Prepare, refusal.into())),
        }
    }

    /// Prepares one participant. `false` if it was prepared before. A file's survey runs first.
    pub(crate) fn prepare_one(
        &mut self,
        step: Step,
        conveys: &dyn Fn(DescriptorKind) -> Conveyance,
    ) -> Result<bool, Box<PhaseError>> {
        if self.stage(step) != Stage::Idle {
            return Ok(false);
        }
        if let Step::File { session, file } = step {
            let (_, books) = self.out.sessions.get_index_mut(session).expect(GOOD);
            let (_, entry) = books.files.get_index_mut(file).expect(GOOD);
            let FileOut { handler, file, held, .. } = &mut **entry;
            if let Err(refusal) = self.handlers.at(*handler).handler.survey(file, held) {
                return Err(self.failed(step, Phase::Prepare, refusal.into()));
            }
        }
        self.prepare_surveyed(step, conveys)
    }

    /// As [`prepare_one`](Self::prepare_one), where the survey has run already.
    pub(crate) fn prepare_surveyed(
        &mut self,
        step: Step,
        conveys: &dyn Fn(DescriptorKind) -> Conveyance,
    ) -> Result<bool, Box<PhaseError>> {
        if self.stage(step) != Stage::Idle {
            return Ok(false);
        }
        let outcome =
            self.with_part(step, |part, saved, who, around| part::prepare(part, saved, who, conveys, around));
        match outcome {
            Ok(()) => Ok(true),
            Err(cause) => Err(self.failed(step, Phase::Prepare, cause)),
        }
    }

    pub(crate) fn freeze_one(&mut self, step: Step) -> Result<(), Box<PhaseError>> {
        let outcome = self.with_part(step, part::freeze);
        outcome.map_err(|cause| self.failed(step, Phase::Freeze, cause))
    }

    pub(crate) fn unfreeze_one(&mut self, step: Step) {
        self.with_part(step, |part, saved, _, _| part::unfreeze(part, saved));
        self.undone(step, Phase::Freeze);
    }

    /// Whether a file has written this token of its session down.
    pub(crate) fn depends_on(&self, step: Step, token: Token) -> bool {
        let Step::File { session, file } = step else { return false };
        let (_, books) = self.out.sessions.get_index(session).expect(GOOD);
        let (_, entry) = books.files.get_index(file).expect(GOOD);
        entry.saved.depends_on.contains(&token)
    }

    /// Undoes the prepare of one participant, if it is prepared; and its freeze, if somebody forgot a guard.
    pub(crate) fn cancel_one(&mut self, step: Step) {
        match self.stage(step) {
            Stage::Idle => return,
            Stage::Prepared => {}
            Stage::Frozen => self.unfreeze_one(step),
        }
        self.with_part(step, |part, saved, _, around| part::cancel(part, saved, around.memory));
        self.undone(step, Phase::Prepare);
    }

    /// Cancels in reverse order, and empties the list.
    pub(crate) fn cancel_steps(&mut self, done: &mut Vec<Step>) {
        while let Some(step) = done.pop() {
            self.cancel_one(step);
        }
    }

    /// Unfreezes in reverse order, and empties the list.
    pub(crate) fn unfreeze_steps(&mut self, done: &mut Vec<Step>) {
        while let Some(step) = done.pop() {
            self.unfreeze_one(step);
        }
    }

    pub(crate) fn done(&mut self, step: Step, phase: Phase, nth: usize, of: usize) {
        if self.bulletin.is_read() {
            let participant = self.participant(step);
            self.bulletin.tell(|| Event::Done { phase, participant, nth, of });
        }
    }

    fn undone(&mut self, step: Step, phase: Phase) {
        if self.bulletin.is_read() {
            let participant = self.participant(step);
            self.bulletin.tell(|| Event::Undone { phase, participant });
        }
    }

    fn failed(&mut self, step: Step, phase: Phase, cause: Cause) -> Box<PhaseError> {
        let participant = self.participant(step);
        self.bulletin.tell(|| Event::Failed { phase, participant });
        cause.by(participant, phase)
    }

    fn with_part<R>(
        &mut self,
        step: Step,
        act: impl FnOnce(&mut dyn Part, &mut Saved, &Who<'_>, Surroundings<'_>) -> R,
    ) -> R {
        let Self { kho, handlers, subsystems, out, identities, policy, .. } = self;
        let (memory, handlers, identities, policy) = (kho, &*handlers, &*identities, &*policy);
        let mut nothing = SharedTable::default();
        match step {
            Step::Subsystem(index) => {
                let (name, entry) = subsystems.get_index_mut(index).expect(GOOD);
                let who = Who {
                    role: Role::Subsystem,
                    kind: *name,
                    writes: &entry.writes,
                    leans_on: &[],
                    session: None,
                };
                let around = Surroundings { memory, handlers, identities, shared: &mut nothing, policy };
                act(&mut SubsystemPart(&mut *entry.subsystem), &mut entry.saved, &who, around)
            }
            Step::File { session, file } => {
                let (session, books) = out.sessions.get_index_mut(session).expect(GOOD);
                let (_, entry) = books.files.get_index_mut(file).expect(GOOD);
                let FileOut { handler, file, held, saved, .. } = &mut **entry;
                let known = handlers.at(*handler);
                let who = Who {
                    role: Role::Handler,
                    kind: known.kind,
                    writes: &known.writes,
                    leans_on: &known.leans_on,
                    session: Some(*session),
                };
                let around = Surroundings { memory, handlers, identities, shared: &mut out.shared, policy };
                act(&mut FilePart { handler: &*known.handler, file, held }, saved, &who, around)
            }
            Step::Shared(index) => {
                let (kind, shared) = out.shared.at(index).expect(GOOD);
                let maker = handlers.shared(kind).expect("only registered objects are in the table");
                let writes = maker.writes();
                let who = Who { role: Role::Shared, kind, writes: &writes, leans_on: &[], session: None };
                let around = Surroundings { memory, handlers, identities, shared: &mut nothing, policy };
                act(&mut SharedPart { maker, object: &mut shared.object }, &mut shared.saved, &who, around)
            }
        }
    }
}
