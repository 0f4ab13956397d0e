//! Simulated guest_memfds, as programs hold them.

use alloc::collections::BTreeSet;
use alloc::sync::Arc;
use core::fmt;
use core::ops::Range;
use core::sync::atomic::{AtomicBool, Ordering};

use luo_kho::FRAME_BYTES;
use luo_kho::sim::SimFile;

use super::{SimHost, SimVm};
use crate::lock::Mutex;
use crate::{Facts, Flags, Told};

/// A simulated guest_memfd. Clones share everything.
#[derive(Clone)]
pub struct SimGuestMemfd {
    pub(super) file: SimFile,
    pub(super) shared: Arc<Shared>,
}

/// What the references of one program share.
pub(super) struct Shared {
    pub(super) told: Told,
    pub(super) vm: Option<SimVm>,
    pub(super) close_on_exec: AtomicBool,
    _alive: Arc<()>,
}

/// What all files of one memory share: whatever crosses with the memory itself.
pub(super) struct Inode {
    pub(super) is_guest_memfd: bool,
    pub(super) poisoned: Mutex<BTreeSet<u64>>,
    _alive: Arc<()>,
}

impl SimGuestMemfd {
    pub(super) fn create(
        host: &SimHost,
        vm: Option<&SimVm>,
        pages: u64,
        flags: Flags,
        is_guest_memfd: bool,
    ) -> Self {
        let inode = Inode { is_guest_memfd, poisoned: Mutex::default(), _alive: host.token_of_life() };
        let file = SimFile::new(Arc::new(inode));
        file.resize(pages * FRAME_BYTES);
        Self::of(host, file, vm.cloned(), Facts::new(flags, pages), true)
    }

    pub(super) fn of(
        host: &SimHost,
        file: SimFile,
        vm: Option<SimVm>,
        facts: Facts,
        close_on_exec: bool,
    ) -> Self {
        let close_on_exec = AtomicBool::new(close_on_exec);
        let shared = Shared { told: Told::new(facts), vm, close_on_exec, _alive: host.token_of_life() };
        Self { file, shared: Arc::new(shared) }
    }

    /// Another file of the same memory, as another machine would have it: bound nowhere.
    #[must_use]
    pub fn view_in(&self, host: &SimHost, vm: &SimVm) -> Self {
        let facts = self.told().facts();
        Self::of(host, self.file.clone(), Some(vm.clone()), Facts::new(facts.flags(), facts.pages()), true)
    }

    /// What was told of it.
    pub fn told(&self) -> &Told {
        &self.shared.told
    }

    /// The machine that it serves.
    pub fn vm(&self) -> Option<&SimVm> {
        self.shared.vm.as_ref()
    }

    /// Its contents, past all that is private.
    pub const fn memory(&self) -> &SimFile {
        &self.file
    }

    /// Whether an exec closes the descriptor.
    pub fn closes_on_exec(&self) -> bool {
        self.shared.close_on_exec.load(Ordering::Relaxed)
    }

    /// Says whether an exec closes the descriptor.
    pub fn set_close_on_exec(&self, close: bool) {
        self.shared.close_on_exec.store(close, Ordering::Relaxed);
    }

    /// Writes from byte `at` on, as the guest does, or the host through a mapping. The file does not grow.
    ///
    /// # Panics
    ///
    /// If the bytes reach beyond the end.
    pub fn write_at(&self, at: u64, bytes: &[u8]) {
        let end = at.saturating_add(luo_kho::ByteLen::of(bytes.len()).get());
        assert!(end <= self.file.size(), "a bus error: byte {end} of {}", self.file.size());
        self.file.write(at, bytes);
    }

    /// The memory behind a page breaks.
    pub fn poison(&self, page: u64) {
        if let Some(inode) = self.inode() {
            inode.poisoned.lock().insert(page);
        }
    }

    /// Makes holes of pages.
    pub fn punch(&self, pages: Range<u64>) {
        self.file.discard(pages);
    }

    pub(super) fn inode(&self) -> Option<&Arc<Inode>> {
        self.file.description::<Arc<Inode>>()
    }
}

impl fmt::Debug for SimGuestMemfd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimGuestMemfd")
            .field("facts", &self.told().facts())
            .field("vm", &self.shared.vm)
            .field("pages", &self.file.pages())
            .finish_non_exhaustive()
    }
}
