//! The handler: every moment in the life of a preserved file, and the room where it is told.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::num::NonZeroUsize;

use luo_core::{
    FileHandler, FreezeScope, Identity, Kind, PrepareScope, Record, Refusal, RetrieveScope, Travel, Verdict,
    Version, VersionRange,
};

use crate::options::{DirtySource, Options};
use crate::preserve::Held;
use crate::{
    CopyWhen, DirtyLog, HeadRoom, Port, Progress, abi, discard, finish, freeze, judge, prepare, preserve,
    retrieve,
};

/// Carries memfds of one host.
pub struct Memfds<P: Port> {
    port: P,
    options: Options<P::File>,
}

impl<P: Port> Memfds<P> {
    /// By reference where that is possible, by copy where it is not, without a dirty log.
    pub fn new(port: P) -> Self {
        Self { port, options: Options::default() }
    }

    /// When to copy.
    #[must_use]
    pub fn copying(mut self, when: CopyWhen) -> Self {
        self.options.copy = when;
        self
    }

    /// What prepare reserves for a copy beyond what is populated then.
    #[must_use]
    pub fn head_room(mut self, head_room: HeadRoom) -> Self {
        self.options.head_room = head_room;
        self
    }

    /// With so many threads at most. Unless this is called: one per processor, and no more than four.
    #[must_use]
    pub fn threads(mut self, threads: NonZeroUsize) -> Self {
        self.options.threads = Some(threads);
        self
    }

    /// Asks `log_of` for a dirty log of each file that is copied. It is asked in prepare, and the log is dropped when
    /// the update is cancelled or over.
    #[must_use]
    pub fn dirty_log(
        mut self,
        log_of: impl Fn(&P::File) -> Option<alloc::boxed::Box<dyn DirtyLog>> + Send + Sync + 'static,
    ) -> Self {
        self.options.dirty = DirtySource::Given(Arc::new(log_of));
        self
    }

    /// Tells `listener` how far copying is, from the thread that copies.
    #[must_use]
    pub fn on_progress(mut self, listener: impl Fn(Progress<'_>) + Send + Sync + 'static) -> Self {
        self.options.progress = Some(Arc::new(listener));
        self
    }

    /// The host.
    pub const fn port(&self) -> &P {
        &self.port
    }

    const fn hands(&self) -> (&P, &Options<P::File>) {
        (&self.port, &self.options)
    }
}

impl<P: Port> FileHandler for Memfds<P> {
    type File = P::File;
    type Held = Held<P>;

    fn kind(&self) -> Kind {
        Kind::literal("memfd")
    }

    fn reads(&self) -> VersionRange {
        abi::READS
    }

    fn writes(&self) -> Vec<Version> {
        abi::WRITES.to_vec()
    }

    fn leans_on(&self) -> Vec<Kind> {
        Vec::new()
    }

    fn judge(&self, file: &P::File) -> Verdict {
        judge::judge(&self.port, file)
    }

    fn identity(&self, file: &P::File) -> Identity {
        self.port.identity(file)
    }

    fn travel(&self, file: &P::File) -> Travel {
        judge::travel(&self.port, &self.options, file)
    }

    fn preserve(&self, file: &P::File) -> Result<Held<P>, Refusal> {
        Ok(preserve::preserve(&self.port, file)?)
    }

    /// Nothing: which files have to be copied is not known before prepare.
    fn survey(&self, _: &P::File, _: &mut Held<P>) -> Result<(), Refusal> {
        Ok(())
    }

    fn prepare(
        &self,
        file: &P::File,
        held: &mut Held<P>,
        scope: &mut PrepareScope<'_>,
    ) -> Result<(), Refusal> {
        prepare::prepare(self.hands(), file, held, scope)
    }

    fn cancel(&self, _: &P::File, held: &mut Held<P>) {
        prepare::cancel(held);
    }

    fn freeze(&self, file: &P::File, held: &mut Held<P>, scope: &mut FreezeScope<'_>) -> Result<(), Refusal> {
        freeze::freeze(self.hands(), file, held, scope)
    }

    /// Nothing: freeze only looks at the file, and what it copied can be copied again.
    fn unfreeze(&self, _: &P::File, _: &mut Held<P>) {}

    /// Lets go by dropping: the far side has the memory, or a copy of it.
    fn depart(&self, _: P::File, _: Held<P>) {}

    fn retrieve(&self, record: &Record<'_>, scope: &mut RetrieveScope<'_>) -> Result<P::File, Refusal> {
        retrieve::retrieve(self.hands(), record, scope)
    }

    /// Always: what was handed over is not used any more once the file is there.
    fn can_finish(&self, _: &Record<'_>, _: &P::File) -> Result<(), Refusal> {
        Ok(())
    }

    fn finish(&self, record: &Record<'_>, file: &P::File) {
        finish::finish(&self.port, record, file);
    }

    fn discard(&self, record: &Record<'_>, scope: &mut RetrieveScope<'_>) {
        discard::discard(record, scope);
    }
}

impl<P: Port> fmt::Debug for Memfds<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memfds").field("options", &self.options).finish_non_exhaustive()
    }
}
