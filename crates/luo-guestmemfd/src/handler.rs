//! The handler: every moment in the life of a preserved file, and the room where it is told.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use luo_core::{
    FileHandler, FreezeScope, Identity, Kind, PrepareScope, Record, Refusal, RetrieveScope, Travel, Verdict,
    Version, VersionRange,
};

use crate::options::Options;
use crate::preserve::Held;
use crate::{Port, PrivateMemory, Retrieve, abi, discard, freeze, judge, prepare, retrieve};

/// Carries guest_memfds of one host.
pub struct GuestMemfds<P: Port> {
    port: P,
    options: Options<P>,
}

impl<P: Port> GuestMemfds<P> {
    /// Successors map what a carrier takes; private memory is refused.
    pub fn new(port: P) -> Self {
        Self { port, options: Options::default() }
    }

    /// What this program makes of files that arrive, and expects its successor to make of those that it hands over.
    #[must_use]
    pub fn retrieving(mut self, retrieve: Retrieve) -> Self {
        self.options.retrieve = retrieve;
        self
    }

    /// What prepare reserves for a copy beyond the pages that exist then, in frames. Unless this is called: one for
    /// every 16, and no fewer than 64.
    #[must_use]
    pub fn sparing(mut self, frames: u64) -> Self {
        self.options.spare = Some(frames);
        self
    }

    /// Asks `private_of` for a way to the private pages of a file: on the near side to export them, on the far side,
    /// with the new file, to import them.
    #[must_use]
    pub fn private_memory(
        mut self,
        private_of: impl Fn(&P::File) -> Option<Box<dyn PrivateMemory>> + Send + Sync + 'static,
    ) -> Self {
        self.options.private = Some(Arc::new(private_of));
        self
    }

    /// Files that were preserved without a virtual machine are made anew in the one that `vm_for` gives.
    #[must_use]
    pub fn in_vm(mut self, vm_for: impl Fn() -> Result<P::Vm, Refusal> + Send + Sync + 'static) -> Self {
        self.options.vm_for = Some(Arc::new(vm_for));
        self
    }

    /// The host.
    pub const fn port(&self) -> &P {
        &self.port
    }

    const fn hands(&self) -> (&P, &Options<P>) {
        (&self.port, &self.options)
    }
}

impl<P: Port> FileHandler for GuestMemfds<P> {
    type File = P::File;
    type Held = Held<P>;

    fn kind(&self) -> Kind {
        Kind::literal("guest_memfd")
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
        judge::judge(&self.port, &self.options, file)
    }

    fn identity(&self, file: &P::File) -> Identity {
        self.port.identity(file)
    }

    fn travel(&self, file: &P::File) -> Travel {
        judge::travel(&self.port, &self.options, file)
    }

    fn preserve(&self, _: &P::File) -> Result<Held<P>, Refusal> {
        Ok(Held::new())
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
        freeze::freeze(&self.port, file, held, scope)
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

    /// Nothing: no carrier can forget anything of such a file, because it cannot be changed.
    fn finish(&self, _: &Record<'_>, _: &P::File) {}

    fn discard(&self, record: &Record<'_>, scope: &mut RetrieveScope<'_>) {
        discard::discard(record, scope);
    }
}

impl<P: Port> fmt::Debug for GuestMemfds<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GuestMemfds").field("options", &self.options).finish_non_exhaustive()
    }
}
