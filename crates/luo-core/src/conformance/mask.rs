//! The far side's handler behind a **mask**: it reads fewer versions, or is shown other bytes than were written.
//!
//! Everything goes through the public contract, so that a mask fits every handler.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::{
    FileHandler, FreezeScope, Identity, Kind, PrepareScope, Record, Refusal, RetrieveScope, Travel, Verdict,
    Version, VersionRange,
};

/// What is changed about a handler.
#[derive(Clone, Debug, Default)]
pub(super) struct Mask {
    /// It reads these versions and no other.
    pub(super) reads: Option<VersionRange>,
    /// It is shown payloads that were changed in this way, with checksums that are right.
    pub(super) alteration: Option<Alteration>,
    pub(super) seen: Arc<Seen>,
}

/// A payload that is not the one that was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Alteration {
    /// Only the first bytes.
    Cut(usize),
    /// So many bytes of this value behind the last.
    Extend(usize, u8),
    /// One byte with these bits flipped.
    Flip(usize, u8),
}

/// What the handler was asked.
#[derive(Debug, Default)]
pub(super) struct Seen {
    retrieves: AtomicU64,
    payloads: Mutex<Vec<(Version, Vec<u8>)>>,
}

impl Mask {
    /// Reads this version only.
    pub(super) fn only(version: Version) -> Self {
        Self { reads: Some(VersionRange::only(version)), ..Self::default() }
    }

    /// Is shown altered payloads of this version.
    pub(super) fn altered(version: Version, alteration: Alteration) -> Self {
        Self { alteration: Some(alteration), ..Self::only(version) }
    }
}

impl Alteration {
    fn apply(self, payload: &[u8]) -> Vec<u8> {
        let mut payload = payload.to_vec();
        match self {
            Self::Cut(len) => payload.truncate(len),
            Self::Extend(by, with) => payload.resize(payload.len() + by, with),
            Self::Flip(at, bits) => {
                if let Some(byte) = payload.get_mut(at) {
                    *byte ^= bits;
                }
            }
        }
        payload
    }
}

impl Seen {
    /// How often a file was retrieved.
    pub(super) fn retrieves(&self) -> u64 {
        self.retrieves.load(Ordering::Relaxed)
    }

    /// What was retrieved from, in order.
    pub(super) fn payloads(&self) -> Vec<(Version, Vec<u8>)> {
        self.payloads.lock().clone()
    }
}

/// A handler behind a mask.
pub(super) struct Masked<H> {
    pub(super) inner: H,
    pub(super) mask: Mask,
}

impl<H: FileHandler> FileHandler for Masked<H> {
    type File = H::File;
    type Held = H::Held;

    fn kind(&self) -> Kind {
        self.inner.kind()
    }

    fn reads(&self) -> VersionRange {
        self.mask.reads.unwrap_or_else(|| self.inner.reads())
    }

    fn writes(&self) -> Vec<Version> {
        self.inner.writes()
    }

    fn leans_on(&self) -> Vec<Kind> {
        self.inner.leans_on()
    }

    fn judge(&self, file: &H::File) -> Verdict {
        self.inner.judge(file)
    }

    fn identity(&self, file: &H::File) -> Identity {
        self.inner.identity(file)
    }

    fn travel(&self, file: &H::File) -> Travel {
        self.inner.travel(file)
    }

    fn preserve(&self, file: &H::File) -> Result<H::Held, Refusal> {
        self.inner.preserve(file)
    }

    fn survey(&self, file: &H::File, held: &mut H::Held) -> Result<(), Refusal> {
        self.inner.survey(file, held)
    }

    fn prepare(
        &self,
        file: &H::File,
        held: &mut H::Held,
        scope: &mut PrepareScope<'_>,
    ) -> Result<(), Refusal> {
        self.inner.prepare(file, held, scope)
    }

    fn cancel(&self, file: &H::File, held: &mut H::Held) {
        self.inner.cancel(file, held);
    }

    fn freeze(&self, file: &H::File, held: &mut H::Held, scope: &mut FreezeScope<'_>) -> Result<(), Refusal> {
        self.inner.freeze(file, held, scope)
    }

    fn unfreeze(&self, file: &H::File, held: &mut H::Held) {
        self.inner.unfreeze(file, held);
    }

    fn depart(&self, file: H::File, held: H::Held) {
        self.inner.depart(file, held);
    }

    fn retrieve(&self, record: &Record<'_>, scope: &mut RetrieveScope<'_>) -> Result<H::File, Refusal> {
        self.mask.seen.retrieves.fetch_add(1, Ordering::Relaxed);
        self.mask.seen.payloads.lock().push((record.version, record.payload.to_vec()));
        match self.mask.alteration {
            None => self.inner.retrieve(record, scope),
            Some(alteration) => {
                let payload = alteration.apply(record.payload);
                self.inner.retrieve(&Record { version: record.version, payload: &payload }, scope)
            }
        }
    }

    fn can_finish(&self, record: &Record<'_>, file: &H::File) -> Result<(), Refusal> {
        self.inner.can_finish(record, file)
    }

    fn finish(&self, record: &Record<'_>, file: &H::File) {
        self.inner.finish(record, file);
    }

    fn discard(&self, record: &Record<'_>, scope: &mut RetrieveScope<'_>) {
        self.inner.discard(record, scope);
    }
}
