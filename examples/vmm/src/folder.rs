//! The folder of a running guest: where its programs, one after the other, and those who ask something of them meet.

use std::io;
use std::path::{Path, PathBuf};

/// See the room's head.
#[derive(Clone, Debug)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    /// Makes the folder, for its user only, unless it is there.
    ///
    /// # Errors
    ///
    /// The host's.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        use std::os::unix::fs::DirBuilderExt as _;
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        Ok(Self(path.canonicalize()?))
    }

    /// The folder that a predecessor opened. It is not looked at: a program that takes a guest over needs nothing of
    /// it.
    pub(crate) fn known(path: &Path) -> Self {
        Self(path.to_path_buf())
    }

    /// The folder itself.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Where requests are taken.
    pub(crate) fn control(&self) -> PathBuf {
        self.0.join("control")
    }

    /// Where the successor of this process calls, if it was started beforehand. Each has a place of its own: the last
    /// one may not have cleared its away when the next update begins.
    pub(crate) fn handover(&self, of: u32) -> PathBuf {
        self.0.join(format!("handover-{of}"))
    }

    /// What the guest printed.
    pub(crate) fn serial(&self) -> PathBuf {
        self.0.join("serial")
    }

    /// When each update did what.
    pub(crate) fn trace(&self) -> PathBuf {
        self.0.join("trace")
    }

    /// Hashes of guest memory, where an update was asked to take some.
    pub(crate) fn hashes(&self) -> PathBuf {
        self.0.join("hashes")
    }
}
