//! A simulated host: pools of huge pages on nodes, and files whose contents are files of the simulated machine
//! ([`SimFile`]), without an operating system.
//!
//! - An **inode** has contents, a page size, a place, seals, mode, owner and locks. All references share it.
//! - An **opening** has a position, status flags and an access. Clones of a [`SimHuge`] share it, as duplicates of a
//!   descriptor do; [`SimHuge::reopen`] makes another one.
//! - A page is taken from its pool when it is written first, on the node that the host [prefers](SimHost::prefer) if
//!   that has one, and given back when it becomes a hole.
//! - [`SimHost::booted`] is the host under another kernel: its pools are filled when the first file is made again.
//!
//! Both sides of an update are on one [`SimHost`]. It can be told to fail a call, and counts what lives on it.

mod file;
mod pools;
mod port;

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};

use luo_descriptor::sim::Fuse;
use luo_kho::sim::SimFile;

pub use file::SimHuge;
use file::{Guise, Inode};
pub use port::{SimDraft, SimStandIn};

use crate::lock::Mutex;
use crate::{HostError, Name, Node, PageSize, Path, Place, Pool};
use pools::Pools;

/// "No space left on device": no page can be had.
const ENOSPC: i32 = 28;

/// A simulated host. Clones are the same host.
#[derive(Clone, Debug)]
pub struct SimHost(Arc<Host>);

#[derive(Debug)]
struct Host {
    fuse: Fuse,
    pools: Mutex<Pools>,
    mounts: Mutex<BTreeMap<Path, Mounted>>,
    forgets_modes: AtomicBool,
    /// Everything that lives on the host holds one.
    alive: Arc<()>,
}

/// A mounted file system of huge pages, and the names in it.
#[derive(Debug)]
struct Mounted {
    page_size: PageSize,
    next: u64,
    files: BTreeMap<Path, (u64, SimFile)>,
}

impl SimHost {
    /// A host with pools: for each size the pages on node 0, 1, ...
    pub fn new(pools: &[(PageSize, &[u64])]) -> Self {
        Self::with(Pools::filled(pools))
    }

    fn with(pools: Pools) -> Self {
        Self(Arc::new(Host {
            fuse: Fuse::default(),
            pools: Mutex::new(pools),
            mounts: Mutex::default(),
            forgets_modes: AtomicBool::new(false),
            alive: Arc::new(()),
        }))
    }

    /// The next kernel on this host, configured to have so many pages. It takes them from memory that nobody uses when
    /// it knows how many are preserved, and takes fewer then.
    pub fn booted(pools: &[(PageSize, &[u64])]) -> Self {
        Self::with(Pools::configured(pools))
    }

    /// A new memfd of huge pages: empty, mode 0o777, readable and writable, closed on exec; seals can be added.
    ///
    /// # Panics
    ///
    /// If the host has no such pages, or the name is too long, or holds a NUL.
    pub fn memfd(&self, name: &str, page_size: PageSize) -> SimHuge {
        let Some(name) = Name::new(name) else { panic!("no memfd can be called {name:?}") };
        assert!(self.0.pools.lock().has(page_size), "no pages of {page_size} on this host");
        SimHuge::create(self, Place::Memfd(name), page_size, Guise::Huge)
    }

    /// Mounts a file system of huge pages.
    ///
    /// # Panics
    ///
    /// If nothing can be mounted there.
    pub fn mount(&self, at: &str, page_size: PageSize) {
        let path = Path::new(at).filter(Path::is_absolute);
        let Some(path) = path else { panic!("nothing can be mounted at {at:?}") };
        self.0.mounts.lock().insert(path, Mounted { page_size, next: 1, files: BTreeMap::new() });
    }

    /// Makes or opens a file below a mount.
    ///
    /// # Panics
    ///
    /// If nothing is mounted there, or no file can be called so.
    pub fn open_at(&self, mount: &str, path: &str) -> SimHuge {
        let paths = Path::new(mount).zip(Path::new(path));
        let Some((mount, path)) = paths else { panic!("no file is at {path:?} below {mount:?}") };
        if let Some(file) = self.linked(&mount, &path) {
            return SimHuge::of(file, true, None);
        }
        let (page_size, inode) = {
            let mut mounts = self.0.mounts.lock();
            let Some(mounted) = mounts.get_mut(&mount) else { panic!("nothing is mounted at {mount}") };
            mounted.next += 1;
            (mounted.page_size, mounted.next)
        };
        let place = Place::Mounted { mount: mount.clone(), path: Some(path.clone()), inode };
        let file = SimHuge::create(self, place, page_size, Guise::Huge);
        self.link(&mount, &path, inode, file.file());
        file
    }

    /// Takes a name away. Whether there was one.
    pub fn unlink(&self, mount: &str, path: &str) -> bool {
        let paths = Path::new(mount).zip(Path::new(path));
        let gone = paths.and_then(|(mount, path)| self.0.mounts.lock().get_mut(&mount)?.files.remove(&path));
        if let Some(inode) = gone.as_ref().and_then(|(_, file)| Inode::of(file)) {
            inode.unlink();
        }
        gone.is_some()
    }

    /// The file that has this name now.
    pub fn linked_file(&self, mount: &str, path: &str) -> Option<SimHuge> {
        let (mount, path) = Path::new(mount).zip(Path::new(path))?;
        Some(SimHuge::of(self.linked(&mount, &path)?, true, None))
    }

    fn linked(&self, mount: &Path, path: &Path) -> Option<SimFile> {
        self.0.mounts.lock().get(mount)?.files.get(path).map(|(_, file)| file.clone())
    }

    fn link(&self, mount: &Path, path: &Path, inode: u64, file: &SimFile) {
        let before = {
            let mut mounts = self.0.mounts.lock();
            let Some(mounted) = mounts.get_mut(mount) else { return };
            mounted.files.insert(path.clone(), (inode, file.clone()))
        };
        // It may be the last reference, whose pages go back into the pools.
        drop(before);
    }

    /// Something that is nothing like a file of huge pages.
    pub fn pipe(&self) -> SimHuge {
        let name = Name::new("pipe").map(Place::Memfd);
        let Some(place) = name else { unreachable!("a short name is a name") };
        SimHuge::create(self, place, PageSize::MIB_2, Guise::Pipe)
    }

    /// From now on pages are taken from this node, as long as it has some.
    pub fn prefer(&self, node: u32) {
        self.0.pools.lock().prefer(Node(node));
    }

    /// Takes free pages away, as another user does. How many it got.
    pub fn take_away(&self, page_size: PageSize, pages: u64) -> u64 {
        self.0.pools.lock().take_away(page_size, pages)
    }

    /// Gives back what was taken away.
    pub fn give_back(&self, page_size: PageSize, pages: u64) {
        self.0.pools.lock().give_back(page_size, pages);
    }

    /// The pools, without a call of the host.
    pub fn pools_now(&self) -> Vec<Pool> {
        self.0.pools.lock().all()
    }

    /// From now on the call with number `nth`, from 0, fails, once. Users' own calls are not counted.
    pub fn arm(&self, nth: u64) {
        self.0.fuse.arm(nth);
    }

    /// No call fails any more. Whether one did since [`arm`](Self::arm).
    pub fn disarm(&self) -> bool {
        self.0.fuse.disarm()
    }

    /// How many inodes, openings and descriptors live.
    pub fn alive(&self) -> usize {
        Arc::strong_count(&self.0.alive) - 1
    }

    /// From now on the mode of a new file stays what it was made with, whatever is asked for: as where a kernel takes
    /// bits out of it without a word.
    pub fn forget_modes(&self) {
        self.0.forgets_modes.store(true, Ordering::Relaxed);
    }

    fn token_of_life(&self) -> Arc<()> {
        Arc::clone(&self.0.alive)
    }

    fn call(&self, call: &'static str) -> Result<(), HostError> {
        self.0.fuse.call(call)
    }
}
