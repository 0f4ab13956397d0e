//! The far side: an **adopter** looks at the offer; what has **arrived** was retrieved and committed to.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::marker::PhantomData;
use core::panic::AssertUnwindSafe;
use std::panic::catch_unwind;

use luo_kho::{Kho, Owned};

use super::bench::{Broken, OrBroken, Result, ensure, same};
use super::fixture::{FileOf, Fixture};
use super::mask::Seen;
use super::watched::{Watch, Watched};
use super::{Bench, Ground};
use crate::{Adopted, Luo, RetrieveError, SessionName, Token, Updated, Version};

pub(super) struct Adopter<F, K: Kho> {
    pub(super) adopted: Adopted<Watched<K>>,
    pub(super) watch: Watch,
    pub(super) seen: Arc<Seen>,
    fixture: PhantomData<fn(F)>,
}

/// A file and where it was.
pub(super) struct Found<T> {
    pub(super) session: SessionName,
    pub(super) token: Token,
    pub(super) file: T,
}

pub(super) struct Arrived<F: Fixture, K: Kho> {
    pub(super) updated: Updated<Watched<K>>,
    pub(super) owned: Owned,
    pub(super) watch: Watch,
    pub(super) seen: Arc<Seen>,
    pub(super) files: Vec<Found<FileOf<F>>>,
}

/// A far side that has finished.
pub(super) struct SettledDown<F: Fixture, K: Kho> {
    pub(super) luo: Luo<Watched<K>>,
    pub(super) owned: Owned,
    pub(super) files: Vec<Found<FileOf<F>>>,
}

impl<F: Fixture, K: Kho> Adopter<F, K> {
    pub(super) fn new(adopted: Adopted<Watched<K>>, watch: Watch, seen: Arc<Seen>) -> Self {
        Self { adopted, watch, seen, fixture: PhantomData }
    }

    pub(super) fn memory(&self) -> &Watched<K> {
        self.adopted.luo().memory()
    }

    pub(super) fn retrieve(
        &mut self,
        session: SessionName,
        token: Token,
    ) -> core::result::Result<FileOf<F>, RetrieveError> {
        self.adopted.retrieve(session, token)
    }

    /// Retrieves from bytes that may make a handler panic, which breaks the law.
    pub(super) fn retrieve_hostile(
        &mut self,
        session: SessionName,
        token: Token,
    ) -> Result<core::result::Result<FileOf<F>, RetrieveError>> {
        unwound("retrieve panicked", || self.retrieve(session, token))
    }

    /// Retrieves every file that nobody took, in the order in which they were preserved.
    pub(super) fn retrieve_rest(&mut self) -> Result<Vec<Found<FileOf<F>>>> {
        let arrived = self.adopted.retrieve_all();
        let found = arrived.into_iter().map(|one| {
            let file = one.file.or_broken("retrieve")?;
            Ok(Found { session: one.session, token: one.token, file })
        });
        found.collect()
    }

    /// Retrieves everything and commits.
    pub(super) fn take_over(mut self) -> Result<Arrived<F, K>> {
        let files = self.retrieve_rest()?;
        self.commit(files)
    }

    pub(super) fn commit(self, files: Vec<Found<FileOf<F>>>) -> Result<Arrived<F, K>> {
        let Self { adopted, watch, seen, .. } = self;
        match adopted.commit() {
            Ok((updated, owned)) => Ok(Arrived { updated, owned, watch, seen, files }),
            Err(stuck) => Err(Broken(alloc::format!("the commit failed: {}", stuck.error))),
        }
    }
}

impl<F: Fixture, K: Kho> Arrived<F, K> {
    /// Whether exactly these files arrived, looking like this.
    pub(super) fn look_like<G: Ground>(
        &self,
        bench: &Bench<'_, F, G>,
        version: Version,
        expected: &[(SessionName, Token, F::Portrait)],
    ) -> Result {
        same("how many files arrived", &self.files.len(), &expected.len())?;
        for (session, token, portrait) in expected {
            let found = self.files.iter().find(|found| (found.session, found.token) == (*session, *token));
            let found = found.ok_or_else(|| Broken(alloc::format!("token {token} did not arrive")))?;
            same("the file on the far side", &bench.portrait(&found.file, version), portrait)?;
        }
        Ok(())
    }

    /// Finishes everything; the far side is ready to be the near side of the next update.
    pub(super) fn settle_down(self) -> Result<SettledDown<F, K>> {
        let Self { updated, owned, files, .. } = self;
        Ok(SettledDown { luo: finish(updated)?, owned, files })
    }
}

/// Finishes everything. Nothing of the handover is left in memory.
pub(super) fn finish<K: Kho>(updated: Updated<Watched<K>>) -> Result<Luo<Watched<K>>> {
    let luo = updated.finish().map_err(|stuck| Broken(alloc::format!("finish failed: {}", stuck.error)))?;
    let census = luo.memory().census().or_broken("counting frames")?;
    ensure(census.preserved.is_empty() && census.segments.is_empty() && census.root.is_none(), || {
        alloc::format!("finish left {census:?}")
    })?;
    Ok(luo)
}

/// Runs what must not panic.
pub(super) fn unwound<T>(what: &str, act: impl FnOnce() -> T) -> Result<T> {
    catch_unwind(AssertUnwindSafe(act)).map_err(|cause| {
        let text = cause.downcast_ref::<&str>().copied();
        let text = text.or_else(|| cause.downcast_ref::<alloc::string::String>().map(|text| &**text));
        Broken(alloc::format!("{what}: {}", text.unwrap_or("it gave no reason")))
    })
}
