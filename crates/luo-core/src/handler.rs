//! The contracts of those who take part: file handlers, subsystems, and objects that several files share.
//!
//! A handler author writes [`FileHandler`] and never sees an untyped value. No method has a default body: "I
//! cannot" is something somebody had to write.
//!
//! # The order of things
//!
//! ```text
//! judge -> preserve -> survey -> prepare -> freeze -> depart      the near side, in registration order
//!          drop(Held)            cancel     unfreeze              undone in reverse, each at most once
//!                        retrieve -> can_finish -> finish         the far side
//!                        discard                                  instead, where nobody retrieves
//! ```

use alloc::borrow::Cow;
use alloc::vec::Vec;

use luo_kho::ByteLen;
use luo_kho::carrier::DescriptorKind;

use crate::scope::{FreezeScope, PrepareScope, RetrieveScope};
use crate::{Identity, Kind, Refusal, Version, VersionRange};

/// A handler's answer to: is this file yours?
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Mine, and it can travel.
    Mine,
    /// Ask somebody else.
    NotMine,
    /// Mine, but it cannot travel.
    MineButNo {
        /// Why, for the user: lower case, no full stop.
        reason: Cow<'static, str>,
    },
}

/// How a file can cross, for [`plan`](crate::Luo::plan).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Travel {
    /// The descriptor that a carrier would have to take.
    pub descriptor: DescriptorKind,
    /// What would have to be copied where the carrier cannot take it.
    pub bytes: ByteLen,
    /// Whether copying is possible.
    pub copy: Copying,
}

/// Whether a file's contents can be copied into preserved frames.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Copying {
    /// Yes, where it has to be.
    Can,
    /// Yes, and it will be, wherever it goes.
    Will {
        /// Why: who asked for it.
        reason: Cow<'static, str>,
    },
    /// Yes, where it has to be, if the far side has what it takes.
    CanWith {
        /// What that is, and what of it will be missing: lower case, no full stop.
        needs: Cow<'static, str>,
    },
    /// No.
    Cannot {
        /// Why not.
        reason: Cow<'static, str>,
    },
}

/// When contents are copied into preserved memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CopyWhen {
    /// Where the carrier cannot take the file, or the memory has no segments.
    #[default]
    Needed,
    /// Always.
    Always,
    /// Never: where it would be needed the file is refused.
    Never,
}

/// What one participant saved, in a version that its reader understands. The bytes are to be treated as hostile;
/// their checksum was right.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// The version that was chosen: the newest that both sides know.
    pub version: Version,
    /// The payload, as written in that version.
    pub payload: &'a [u8],
}

/// Carries one kind of file across an update.
pub trait FileHandler: Send + Sync + 'static {
    /// The live file, on either side. Cloning it makes another reference to the same file.
    type File: Clone + Send + Sync + 'static;
    /// What the handler keeps of one file from `preserve` on. Dropping it unpreserves.
    type Held: Send + 'static;

    /// The kind of file, the same in every version.
    fn kind(&self) -> Kind;

    /// The payload versions that this build can retrieve.
    fn reads(&self) -> VersionRange;

    /// The payload versions that this build can write, newest first. Never empty.
    fn writes(&self) -> Vec<Version>;

    /// The shared objects that each file of this kind leans on. Written down with the file: on the far side it gets at
    /// those that it leaned on then.
    fn leans_on(&self) -> Vec<Kind>;

    /// Whether `file` is this handler's, and whether it can travel. Looks, changes nothing.
    fn judge(&self, file: &Self::File) -> Verdict;

    /// What tells this file from others of its kind. Stable from before `preserve` until after `finish`.
    fn identity(&self, file: &Self::File) -> Identity;

    /// How the file could cross. Looks, changes nothing.
    fn travel(&self, file: &Self::File) -> Travel;

    /// Takes hold of the file. Its users go on.
    ///
    /// # Errors
    ///
    /// A refusal leaves the file as it was.
    fn preserve(&self, file: &Self::File) -> Result<Self::Held, Refusal>;

    /// The part of prepare that only looks and computes, into `held`. May run beside the surveys of other files.
    /// Nothing undoes it; it has no effect outside `held`.
    ///
    /// # Errors
    ///
    /// A refusal stops the prepare.
    fn survey(&self, file: &Self::File, held: &mut Self::Held) -> Result<(), Refusal>;

    /// Writes what can be written while the file is in use: structures into preserved memory, and one payload slot
    /// for each version in [`PrepareScope::versions`]. Frames taken through the scope are given back by the
    /// orchestrator when the step is undone.
    ///
    /// # Errors
    ///
    /// A refusal undoes all that the step took from the scope; the handler undoes the rest before it returns.
    fn prepare(
        &self,
        file: &Self::File,
        held: &mut Self::Held,
        scope: &mut PrepareScope<'_>,
    ) -> Result<(), Refusal>;

    /// Undoes a `prepare` that succeeded. Cannot fail.
    fn cancel(&self, file: &Self::File, held: &mut Self::Held);

    /// Writes the last changes, with the users stopped. Allocates nothing.
    ///
    /// # Errors
    ///
    /// A refusal leaves everything as before the call.
    fn freeze(
        &self,
        file: &Self::File,
        held: &mut Self::Held,
        scope: &mut FreezeScope<'_>,
    ) -> Result<(), Refusal>;

    /// Undoes a `freeze` that succeeded. Cannot fail.
    fn unfreeze(&self, file: &Self::File, held: &mut Self::Held);

    /// The far side has committed: lets go of the file without undoing anything that the far side relies on.
    fn depart(&self, file: Self::File, held: Self::Held);

    /// Makes the file again from its record. Called at most once per adoption. Frames are reclaimed through the
    /// scope; a refusal forgoes them.
    ///
    /// # Errors
    ///
    /// A refusal is remembered and told to whoever asks again; other files are not concerned.
    fn retrieve(&self, record: &Record<'_>, scope: &mut RetrieveScope<'_>) -> Result<Self::File, Refusal>;

    /// Whether what was handed over may be let go of now. Asked of every file before any is finished.
    ///
    /// # Errors
    ///
    /// A refusal postpones the finish of everything.
    fn can_finish(&self, record: &Record<'_>, file: &Self::File) -> Result<(), Refusal>;

    /// The file is in use for good; what carried it is released after this. Cannot fail.
    fn finish(&self, record: &Record<'_>, file: &Self::File);

    /// Nobody retrieved this file, or its retrieve was refused, and the user gives it up: reclaims whatever `retrieve`
    /// would have, so that it can be released. Cannot fail.
    fn discard(&self, record: &Record<'_>, scope: &mut RetrieveScope<'_>);
}

/// State that is not a file: vCPUs, devices, the machine's clock.
///
/// A subsystem is one value that lives through both halves: `prepare` to `depart` on the near side, `restore` and
/// `finish` on the far side.
pub trait Subsystem: Send {
    /// Its name, unique among subsystems.
    fn name(&self) -> Kind;

    /// The payload versions that this build can restore.
    fn reads(&self) -> VersionRange;

    /// The payload versions that this build can write, newest first. Never empty.
    fn writes(&self) -> Vec<Version>;

    /// Writes what can be written while guests run.
    ///
    /// # Errors
    ///
    /// As [`FileHandler::prepare`].
    fn prepare(&mut self, scope: &mut PrepareScope<'_>) -> Result<(), Refusal>;

    /// Undoes a `prepare` that succeeded. Cannot fail.
    fn cancel(&mut self);

    /// Stops what it stands for, and writes the last changes. Allocates nothing.
    ///
    /// # Errors
    ///
    /// As [`FileHandler::freeze`].
    fn freeze(&mut self, scope: &mut FreezeScope<'_>) -> Result<(), Refusal>;

    /// Undoes a `freeze` that succeeded. Cannot fail.
    fn unfreeze(&mut self);

    /// The far side has committed. Cannot fail.
    fn depart(&mut self);

    /// Takes up the state that the predecessor saved, before the commit: nothing may run yet.
    ///
    /// # Errors
    ///
    /// A refusal keeps the adopter from committing; the predecessor goes on.
    fn restore(&mut self, record: &Record<'_>, scope: &mut RetrieveScope<'_>) -> Result<(), Refusal>;

    /// What carried the state that [`restore`](Self::restore) took up is released after this. Cannot fail.
    fn finish(&mut self);
}

/// An object that files of one or more kinds share, alive as long as one of them is preserved.
pub trait SharedObject: Send + Sync + 'static {
    /// The live object. Dropping it unpreserves.
    type Object: Send + 'static;

    /// Its kind, the name by which handlers lean on it.
    fn kind(&self) -> Kind;

    /// The payload versions that this build can retrieve.
    fn reads(&self) -> VersionRange;

    /// The payload versions that this build can write, newest first. Never empty.
    fn writes(&self) -> Vec<Version>;

    /// Made before the first file that leans on it is preserved.
    ///
    /// # Errors
    ///
    /// A refusal keeps that file from being preserved.
    fn preserve(&self) -> Result<Self::Object, Refusal>;

    /// Writes what can be written while guests run, after all files were prepared.
    ///
    /// # Errors
    ///
    /// As [`FileHandler::prepare`].
    fn prepare(&self, object: &mut Self::Object, scope: &mut PrepareScope<'_>) -> Result<(), Refusal>;

    /// Undoes a `prepare` that succeeded. Cannot fail.
    fn cancel(&self, object: &mut Self::Object);

    /// Writes the last changes, after all files were frozen. Allocates nothing.
    ///
    /// # Errors
    ///
    /// As [`FileHandler::freeze`].
    fn freeze(&self, object: &mut Self::Object, scope: &mut FreezeScope<'_>) -> Result<(), Refusal>;

    /// Undoes a `freeze` that succeeded. Cannot fail.
    fn unfreeze(&self, object: &mut Self::Object);

    /// The far side has committed. Cannot fail.
    fn depart(&self, object: Self::Object);

    /// Made again when the first file asks for it. Called at most once per adoption.
    ///
    /// # Errors
    ///
    /// A refusal is remembered and told to every file that asks.
    fn retrieve(&self, record: &Record<'_>, scope: &mut RetrieveScope<'_>) -> Result<Self::Object, Refusal>;

    /// The last file that leaned on it was finished. Cannot fail.
    fn finish(&self, object: Self::Object);

    /// The last file was finished and nobody had asked for the object. Cannot fail.
    fn discard(&self, record: &Record<'_>, scope: &mut RetrieveScope<'_>);
}
