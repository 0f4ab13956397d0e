//! Shared objects on the near side: alive as long as a preserved file leans on them.
//!
//! The count is the number of preserved files and nothing else: looking an object up does not count.

use core::any::Any;

use crate::erased::AnyHeld;
use crate::outgoing::Saved;
use crate::registry::Handlers;
use crate::{Kind, Map, Refusal};

/// The shared objects that are alive, in the order in which they were first leaned on.
#[derive(Default)]
pub(crate) struct SharedTable {
    objects: Map<Kind, SharedOut>,
}

pub(crate) struct SharedOut {
    pub(crate) files: u64,
    pub(crate) object: AnyHeld,
    pub(crate) saved: Saved,
}

impl SharedTable {
    /// Counts one more file for each kind, making objects that are not there yet. All or nothing.
    pub(crate) fn lean(&mut self, handlers: &Handlers, kinds: &[Kind]) -> Result<(), (Kind, Refusal)> {
        for (done, kind) in kinds.iter().enumerate() {
            if let Err(refusal) = self.lean_on(handlers, *kind) {
                self.let_go(kinds.get(..done).unwrap_or_default());
                return Err((*kind, refusal));
            }
        }
        Ok(())
    }

    fn lean_on(&mut self, handlers: &Handlers, kind: Kind) -> Result<(), Refusal> {
        if let Some(shared) = self.objects.get_mut(&kind) {
            shared.files += 1;
            return Ok(());
        }
        let Some(maker) = handlers.shared(kind) else {
            return Err(Refusal::because("no such shared object is registered"));
        };
        let object = maker.preserve()?;
        self.objects.insert(kind, SharedOut { files: 1, object, saved: Saved::default() });
        Ok(())
    }

    /// Counts one file less for each kind, last kind first; an object that no file leans on any more is dropped.
    pub(crate) fn let_go(&mut self, kinds: &[Kind]) {
        for kind in kinds.iter().rev() {
            let Some(shared) = self.objects.get_mut(kind) else { continue };
            shared.files -= 1;
            if shared.files == 0 {
                self.objects.shift_remove(kind);
            }
        }
    }

    pub(crate) fn object(&mut self, kind: Kind) -> Option<&mut (dyn Any + Send)> {
        self.objects.get_mut(&kind).map(|shared| &mut *shared.object)
    }

    pub(crate) fn len(&self) -> usize {
        self.objects.len()
    }

    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = (Kind, &SharedOut)> {
        self.objects.iter().map(|(kind, shared)| (*kind, shared))
    }

    pub(crate) fn position(&self, kind: Kind) -> Option<usize> {
        self.objects.get_index_of(&kind)
    }

    pub(crate) fn at(&mut self, index: usize) -> Option<(Kind, &mut SharedOut)> {
        self.objects.get_index_mut(index).map(|(kind, shared)| (*kind, shared))
    }

    /// Empties the table, first object first.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = (Kind, SharedOut)> + '_ {
        self.objects.drain(..)
    }
}
