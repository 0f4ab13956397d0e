//! The simulated file: bytes, a position, flags, and perhaps another file that it depends on.
//!
//! - The **mark** tells a file across updates: the file that a successor makes has the mark of the one it was made
//!   from. The **identity** tells files of one moment apart, like an inode number.
//! - A **pin** keeps a file from going away while it is preserved. Pins are counted: a file whose update is over has
//!   none.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::Arc;

use luo_core::{Identity, Kind};
use parking_lot::Mutex;

/// A file says with this flag that it cannot travel.
pub const STAYS: u32 = 1 << 31;
/// A file says with this flag that its contents cannot be copied.
pub const NO_COPY: u32 = 1 << 30;

/// An open file. Clones are further references to it.
#[derive(Clone, Debug)]
pub struct SimFile(Arc<Inode>);

#[derive(Debug)]
struct Inode {
    identity: Identity,
    mark: u64,
    kind: Kind,
    contents: Mutex<Contents>,
    depends_on: Mutex<Vec<SimFile>>,
    pins: AtomicU32,
}

/// All that a user can see of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// What stands in it.
    pub bytes: Vec<u8>,
    /// Where the next read begins.
    pub position: u64,
    /// Flags of the user's choice.
    pub flags: u32,
}

/// Keeps a file from going away. Dropping it lets go.
#[derive(Debug)]
pub struct Pin(SimFile);

impl SimFile {
    /// A new file of this kind, with a mark of the test's choice.
    pub fn new(kind: &str, mark: u64, contents: Contents) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self(Arc::new(Inode {
            identity: Identity(u128::from(NEXT.fetch_add(1, Ordering::Relaxed))),
            mark,
            kind: Kind::new(kind).expect("a test names its kinds well"),
            contents: Mutex::new(contents),
            depends_on: Mutex::default(),
            pins: AtomicU32::new(0),
        }))
    }

    /// What tells it across updates.
    pub fn mark(&self) -> u64 {
        self.0.mark
    }

    /// What tells it apart now.
    pub fn identity(&self) -> Identity {
        self.0.identity
    }

    /// The kind of file.
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// All that a user can see of it.
    pub fn contents(&self) -> Contents {
        self.0.contents.lock().clone()
    }

    /// The bytes alone.
    pub fn bytes(&self) -> Vec<u8> {
        self.contents().bytes
    }

    /// Changes it, as its user or the guest would.
    pub fn change(&self, change: impl FnOnce(&mut Contents)) {
        change(&mut self.0.contents.lock());
    }

    /// From now on depends on `other` too.
    pub fn depend_on(&self, other: &Self) {
        self.0.depends_on.lock().push(other.clone());
    }

    /// From now on depends on nobody.
    pub fn depend_on_nobody(&self) {
        self.0.depends_on.lock().clear();
    }

    /// The files it depends on.
    pub fn depends_on(&self) -> Vec<Self> {
        self.0.depends_on.lock().clone()
    }

    /// Whether both are references to one file.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// How many pins it has.
    pub fn pins(&self) -> u32 {
        self.0.pins.load(Ordering::Relaxed)
    }

    /// How many references there are to it.
    pub fn references(&self) -> usize {
        Arc::strong_count(&self.0)
    }

    pub(crate) fn pin(&self) -> Pin {
        self.0.pins.fetch_add(1, Ordering::Relaxed);
        Pin(self.clone())
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        self.0.0.pins.fetch_sub(1, Ordering::Relaxed);
    }
}
