//! The handler: every moment in the life of a preserved file, and the room where it is told.

use alloc::vec::Vec;

use luo_core::{
    FileHandler, FreezeScope, Identity, Kind, PrepareScope, Record, Refusal, RetrieveScope, Travel, Verdict,
    Version, VersionRange,
};

use crate::preserve::Held;
use crate::{Port, abi, discard, freeze, judge, prepare, preserve, retrieve};

/// Carries eventfd files of one host.
#[derive(Clone, Debug)]
pub struct Eventfds<P> {
    port: P,
}

impl<P: Port> Eventfds<P> {
    /// On this host.
    pub const fn new(port: P) -> Self {
        Self { port }
    }
}

impl<P: Port> FileHandler for Eventfds<P> {
    type File = P::File;
    type Held = Held;

    fn kind(&self) -> Kind {
        Kind::literal("eventfd")
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

    fn travel(&self, _: &P::File) -> Travel {
        judge::travel()
    }

    fn preserve(&self, _: &P::File) -> Result<Held, Refusal> {
        Ok(preserve::preserve())
    }

    /// Nothing: there is nothing slow to find out.
    fn survey(&self, _: &P::File, _: &mut Held) -> Result<(), Refusal> {
        Ok(())
    }

    fn prepare(&self, _: &P::File, _: &mut Held, scope: &mut PrepareScope<'_>) -> Result<(), Refusal> {
        prepare::prepare(scope)
    }

    /// Nothing: prepare took nothing of its own.
    fn cancel(&self, _: &P::File, _: &mut Held) {}

    fn freeze(&self, file: &P::File, _: &mut Held, scope: &mut FreezeScope<'_>) -> Result<(), Refusal> {
        freeze::freeze(&self.port, file, scope)
    }

    /// Nothing: freeze only looks at the file.
    fn unfreeze(&self, _: &P::File, _: &mut Held) {}

    /// Lets go by dropping: the far side has its own.
    fn depart(&self, _: P::File, _: Held) {}

    fn retrieve(&self, record: &Record<'_>, _: &mut RetrieveScope<'_>) -> Result<P::File, Refusal> {
        retrieve::retrieve(&self.port, record)
    }

    /// Always: what was handed over is not used any more once the file is there.
    fn can_finish(&self, _: &Record<'_>, _: &P::File) -> Result<(), Refusal> {
        Ok(())
    }

    /// Nothing: the file was made whole.
    fn finish(&self, _: &Record<'_>, _: &P::File) {}

    fn discard(&self, _: &Record<'_>, _: &mut RetrieveScope<'_>) {
        discard::discard();
    }
}
