//! Where a file of huge pages is to be found by others: nowhere, or below a mount.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use luo_descriptor::Name;

/// The longest path, in bytes, the NUL behind it not counted (`PATH_MAX` of Linux).
pub const PATH_BYTES_MAX: usize = 4095;

/// Where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Nowhere: it was made by `memfd_create`, and this is its name.
    Memfd(Name),
    /// In a mounted file system of huge pages.
    Mounted {
        /// Where that is mounted: absolute.
        mount: Path,
        /// Where the file is below it; `None` if it was unlinked.
        path: Option<Path>,
        /// Its number there. What else lies under the same path is another file.
        inode: u64,
    },
}

/// A path: 1 to [`PATH_BYTES_MAX`] bytes, no NUL, no component that is `..`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Path(Vec<u8>);

impl Path {
    /// `None` unless it is such a path.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Option<Self> {
        let bytes = bytes.into();
        let fits = (1..=PATH_BYTES_MAX).contains(&bytes.len()) && !bytes.contains(&0);
        let climbs = bytes.split(|byte| *byte == b'/').any(|component| component == b"..");
        (fits && !climbs).then_some(Self(bytes))
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether it begins at the root.
    pub fn is_absolute(&self) -> bool {
        self.0.first() == Some(&b'/')
    }

    /// The folder, if it is not the first one, and the last component.
    pub fn split(&self) -> (Option<&[u8]>, &[u8]) {
        match self.0.iter().rposition(|byte| *byte == b'/') {
            Some(at) => {
                let (folder, name) = self.0.split_at(at);
                (Some(folder), name.get(1..).unwrap_or_default())
            }
            None => (None, &self.0),
        }
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0))
    }
}

impl fmt::Debug for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&String::from_utf8_lossy(&self.0), f)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memfd(name) => write!(f, "memfd `{name}`"),
            Self::Mounted { mount, path: Some(path), .. } => write!(f, "file `{path}` below `{mount}`"),
            Self::Mounted { mount, path: None, .. } => write!(f, "unlinked file below `{mount}`"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_do_not_climb() {
        for not in [&b""[..], b"a\0b", b"..", b"a/../b", b"/..", &[b'a'; PATH_BYTES_MAX + 1]] {
            assert_eq!(Path::new(not), None);
        }
        let path = Path::new("vm/..guest/ram").unwrap();
        assert_eq!(path.split(), (Some(&b"vm/..guest"[..]), &b"ram"[..]));
        assert_eq!(Path::new("ram").unwrap().split(), (None, &b"ram"[..]));
        assert!(Path::new("/dev/hugepages").unwrap().is_absolute() && !path.is_absolute());
    }
}
