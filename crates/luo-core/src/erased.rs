//! Typed for the author, erased for the orchestrator: the only place that knows `dyn Any`.
//!
//! A handler is only ever given back what it made itself, so a type that does not fit is the orchestrator's own
//! mistake, and stops it.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::any::{Any, TypeId};

use crate::handler::{FileHandler, Record, SharedObject, Travel, Verdict};
use crate::scope::{FreezeScope, PrepareScope, RetrieveScope};
use crate::{Identity, Refusal, Version, VersionRange};

/// A file of a type that only its handler knows.
pub(crate) type AnyFile = Box<dyn Any + Send + Sync>;
/// What a handler keeps of a file, or a shared object.
pub(crate) type AnyHeld = Box<dyn Any + Send>;

const OWN: &str = "a handler is only given back what it made";

/// [`FileHandler`] without its types.
pub(crate) trait AnyHandler: Send + Sync {
    fn file_type(&self) -> TypeId;
    fn judge(&self, file: &dyn Any) -> Verdict;
    fn identity(&self, file: &dyn Any) -> Identity;
    fn travel(&self, file: &AnyFile) -> Travel;
    fn preserve(&self, file: &AnyFile) -> Result<AnyHeld, Refusal>;
    fn survey(&self, file: &AnyFile, held: &mut AnyHeld) -> Result<(), Refusal>;
    fn prepare(
        &self,
        file: &AnyFile,
        held: &mut AnyHeld,
        scope: &mut PrepareScope<'_>,
    ) -> Result<(), Refusal>;
    fn cancel(&self, file: &AnyFile, held: &mut AnyHeld);
    fn freeze(&self, file: &AnyFile, held: &mut AnyHeld, scope: &mut FreezeScope<'_>) -> Result<(), Refusal>;
    fn unfreeze(&self, file: &AnyFile, held: &mut AnyHeld);
    fn depart(&self, file: AnyFile, held: AnyHeld);
    fn retrieve(&self, record: &Record<'_>, scope: &mut RetrieveScope<'_>) -> Result<AnyFile, Refusal>;
    fn can_finish(&self, record: &Record<'_>, file: &AnyFile) -> Result<(), Refusal>;
    fn finish(&self, record: &Record<'_>, file: &AnyFile);
    fn discard(&self, record: &Record<'_>, scope: &mut RetrieveScope<'_>);
}

/// [`SharedObject`] without its type.
pub(crate) trait AnyShared: Send + Sync {
    fn reads(&self) -> VersionRange;
    fn writes(&self) -> Vec<Version>;
    fn preserve(&self) -> Result<AnyHeld, Refusal>;
    fn prepare(&self, object: &mut AnyHeld, scope: &mut PrepareScope<'_>) -> Result<(), Refusal>;
    fn cancel(&self, object: &mut AnyHeld);
    fn freeze(&self, object: &mut AnyHeld, scope: &mut FreezeScope<'_>) -> Result<(), Refusal>;
    fn unfreeze(&self, object: &mut AnyHeld);
    fn depart(&self, object: AnyHeld);
    fn retrieve(&self, record: &Record<'_>, scope: &mut RetrieveScope<'_>) -> Result<AnyHeld, Refusal>;
    fn finish(&self, object: AnyHeld);
    fn discard(&self, record: &Record<'_>, scope: &mut RetrieveScope<'_>);
}

fn file_of<T: 'static>(file: &AnyFile) -> &T {
    (**file).downcast_ref().expect(OWN)
}

fn held_of<T: 'static>(held: &mut AnyHeld) -> &mut T {
    (**held).downcast_mut().expect(OWN)
}

impl<H: FileHandler> AnyHandler for H {
    fn file_type(&self) -> TypeId {
        TypeId::of::<H::File>()
    }

    fn judge(&self, file: &dyn Any) -> Verdict {
        file.downcast_ref().map_or(Verdict::NotMine, |file| FileHandler::judge(self, file))
    }

    fn identity(&self, file: &dyn Any) -> Identity {
        FileHandler::identity(self, file.downcast_ref().expect(OWN))
    }

    fn travel(&self, file: &AnyFile) -> Travel {
        FileHandler::travel(self, file_of(file))
    }

    fn preserve(&self, file: &AnyFile) -> Result<AnyHeld, Refusal> {
        Ok(Box::new(FileHandler::preserve(self, file_of(file))?))
    }

    fn survey(&self, file: &AnyFile, held: &mut AnyHeld) -> Result<(), Refusal> {
        FileHandler::survey(self, file_of(file), held_of(held))
    }

    fn prepare(
        &self,
        file: &AnyFile,
        held: &mut AnyHeld,
        scope: &mut PrepareScope<'_>,
    ) -> Result<(), Refusal> {
        FileHandler::prepare(self, file_of(file), held_of(held), scope)
    }

    fn cancel(&self, file: &AnyFile, held: &mut AnyHeld) {
        FileHandler::cancel(self, file_of(file), held_of(held));
    }

    fn freeze(&self, file: &AnyFile, held: &mut AnyHeld, scope: &mut FreezeScope<'_>) -> Result<(), Refusal> {
        FileHandler::freeze(self, file_of(file), held_of(held), scope)
    }

    fn unfreeze(&self, file: &AnyFile, held: &mut AnyHeld) {
        FileHandler::unfreeze(self, file_of(file), held_of(held));
    }

    fn depart(&self, file: AnyFile, held: AnyHeld) {
        let file = file as Box<dyn Any>;
        FileHandler::depart(self, *file.downcast().expect(OWN), *held.downcast().expect(OWN));
    }

    fn retrieve(&self, record: &Record<'_>, scope: &mut RetrieveScope<'_>) -> Result<AnyFile, Refusal> {
        Ok(Box::new(FileHandler::retrieve(self, record, scope)?))
    }

    fn can_finish(&self, record: &Record<'_>, file: &AnyFile) -> Result<(), Refusal> {
        FileHandler::can_finish(self, record, file_of(file))
    }

    fn finish(&self, record: &Record<'_>, file: &AnyFile) {
        FileHandler::finish(self, record, file_of(file));
    }

    fn discard(&self, record: &Record<'_>, scope: &mut RetrieveScope<'_>) {
        FileHandler::discard(self, record, scope);
    }
}

impl<S: SharedObject> AnyShared for S {
    fn reads(&self) -> VersionRange {
        SharedObject::reads(self)
    }

    fn writes(&self) -> Vec<Version> {
        SharedObject::writes(self)
    }

    fn preserve(&self) -> Result<AnyHeld, Refusal> {
        Ok(Box::new(SharedObject::preserve(self)?))
    }

    fn prepare(&self, object: &mut AnyHeld, scope: &mut PrepareScope<'_>) -> Result<(), Refusal> {
        SharedObject::prepare(self, held_of(object), scope)
    }

    fn cancel(&self, object: &mut AnyHeld) {
        SharedObject::cancel(self, held_of(object));
    }

    fn freeze(&self, object: &mut AnyHeld, scope: &mut FreezeScope<'_>) -> Result<(), Refusal> {
        SharedObject::freeze(self, held_of(object), scope)
    }

    fn unfreeze(&self, object: &mut AnyHeld) {
        SharedObject::unfreeze(self, held_of(object));
    }

    fn depart(&self, object: AnyHeld) {
        SharedObject::depart(self, *object.downcast().expect(OWN));
    }

    fn retrieve(&self, record: &Record<'_>, scope: &mut RetrieveScope<'_>) -> Result<AnyHeld, Refusal> {
        Ok(Box::new(SharedObject::retrieve(self, record, scope)?))
    }

    fn finish(&self, object: AnyHeld) {
        SharedObject::finish(self, *object.downcast().expect(OWN));
    }

    fn discard(&self, record: &Record<'_>, scope: &mut RetrieveScope<'_>) {
        SharedObject::discard(self, record, scope);
    }
}
