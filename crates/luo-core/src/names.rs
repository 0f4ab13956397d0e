//! The names things go by: who is who across an update.
//!
//! - A [`Token`] is any u64 that the user chooses for one file, unique in its session.
//! - A [`SessionName`] names a group of files that live and die together.
//! - A [`Kind`] names a sort of thing that can be saved: a file type, a subsystem, a shared object.
//! - A [`Version`] counts the layouts of one kind. A [`VersionRange`] is what a reader understands.
//! - An [`Identity`] tells files of one kind apart: two descriptors of one inode have the same.

use core::fmt;

/// The user's name for one file in a session. Any value, 0 included.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub u64);

/// Tells the files of one kind apart: an inode number, say. Stable while the file is preserved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity(pub u128);

/// The layout of one kind of payload. Larger is newer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(pub u16);

/// The versions that a reader understands, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VersionRange {
    oldest: Version,
    newest: Version,
}

/// Why a text is not a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a {what} has 1 to {max} bytes and no NUL; this text has {len} bytes")]
pub struct BadName {
    what: &'static str,
    max: usize,
    len: usize,
}

macro_rules! short_text {
    ($(#[$doc:meta])* $name:ident, $what:literal, $max:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name {
            // Unused bytes are 0, so that equality of the bytes is equality of the texts.
            bytes: [u8; $max],
            len: u8,
        }

        impl $name {
            /// The longest there can be, in bytes.
            pub const MAX_BYTES: usize = $max;

            /// Takes a text.
            ///
            /// # Errors
            ///
            /// [`BadName`] if the text is empty, longer than [`MAX_BYTES`](Self::MAX_BYTES), or holds a NUL.
            pub const fn new(text: &str) -> Result<Self, BadName> {
                let source = text.as_bytes();
                let bad = BadName { what: $what, max: $max, len: source.len() };
                if source.is_empty() || source.len() > $max {
                    return Err(bad);
                }
                let mut bytes = [0; $max];
                let mut at = 0;
                while at < source.len() {
                    #[expect(clippy::indexing_slicing, reason = "`at` is below both lengths; const code has no get")]
                    let byte = source[at];
                    if byte == 0 {
                        return Err(bad);
                    }
                    #[expect(clippy::indexing_slicing, reason = "`at` is below both lengths; const code has no get")]
                    {
                        bytes[at] = byte;
                    }
                    at += 1;
                }
                #[expect(clippy::cast_possible_truncation, reason = "at most MAX_BYTES, which fits")]
                let len = source.len() as u8;
                Ok(Self { bytes, len })
            }

            /// Takes bytes that arrived: text, then nothing but NULs.
            pub(crate) fn from_padded(bytes: &[u8]) -> Option<Self> {
                let len = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
                let (text, rest) = bytes.split_at_checked(len)?;
                if rest.iter().any(|byte| *byte != 0) {
                    return None;
                }
                Self::new(core::str::from_utf8(text).ok()?).ok()
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                let text = self.bytes.get(..usize::from(self.len)).unwrap_or_default();
                core::str::from_utf8(text).unwrap_or_default()
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(self.as_str(), f)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}

short_text! {
    /// A session's name: 1 to 63 bytes of UTF-8 without NUL, as long as the kernel allows.
    SessionName, "session name", 63
}

short_text! {
    /// The name of a sort of thing that can be saved: 1 to 47 bytes of UTF-8 without NUL.
    Kind, "kind", 47
}

impl Kind {
    /// A kind from a literal: for constants, where a bad name stops the build.
    ///
    /// # Panics
    ///
    /// If the text is not a [`Kind`].
    pub const fn literal(text: &'static str) -> Self {
        match Self::new(text) {
            Ok(kind) => kind,
            Err(_) => panic!("a kind has 1 to 47 bytes and no NUL"),
        }
    }
}

impl VersionRange {
    /// From `oldest` to `newest`; `None` if that is empty.
    pub const fn new(oldest: Version, newest: Version) -> Option<Self> {
        if oldest.0 <= newest.0 { Some(Self { oldest, newest }) } else { None }
    }

    /// One version.
    pub const fn only(version: Version) -> Self {
        Self { oldest: version, newest: version }
    }

    /// Version 1 up to `newest`.
    ///
    /// # Panics
    ///
    /// If `newest` is version 0.
    pub const fn up_to(newest: Version) -> Self {
        assert!(newest.0 >= 1, "versions count from 1");
        Self { oldest: Version(1), newest }
    }

    /// The oldest version understood.
    pub const fn oldest(self) -> Version {
        self.oldest
    }

    /// The newest version understood.
    pub const fn newest(self) -> Version {
        self.newest
    }

    /// Whether `version` is understood.
    pub const fn contains(self, version: Version) -> bool {
        self.oldest.0 <= version.0 && version.0 <= self.newest.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "token {:#x}", self.0)
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&alloc::format!("{:#x}", self.0))
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v{}", self.0)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v{}", self.0)
    }
}

impl fmt::Display for VersionRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.oldest == self.newest {
            write!(f, "{}", self.newest)
        } else {
            write!(f, "{}..{}", self.oldest, self.newest)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_the_lengths_the_kernel_allows() {
        assert!(SessionName::new("").is_err());
        assert!(SessionName::new(&"X".repeat(63)).is_ok());
        let error = SessionName::new(&"X".repeat(64)).unwrap_err();
        assert_eq!(
            alloc::format!("{error}"),
            "a session name has 1 to 63 bytes and no NUL; this text has 64 bytes"
        );
        assert!(Kind::new("a\0b").is_err());
    }

    #[test]
    fn padded_bytes_are_believed_only_whole() {
        assert_eq!(Kind::from_padded(b"memfd\0\0\0"), Kind::new("memfd").ok());
        for bad in [&b"mem\0fd\0\0"[..], b"\0\0", b"", b"\xFF\xFE\0"] {
            assert_eq!(Kind::from_padded(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn columns_of_a_table_are_aligned() {
        let (name, token) = (SessionName::new("vm").unwrap(), Token(0x2A));
        assert_eq!(alloc::format!("{name:<5}|{token:>6}|{:>3}", Kind::literal("x")), "vm   |  0x2a|  x");
    }

    #[test]
    fn ranges_contain_both_ends() {
        let range = VersionRange::new(Version(2), Version(4)).unwrap();
        assert_eq!([1, 2, 4, 5].map(|n| range.contains(Version(n))), [false, true, true, false]);
        assert_eq!(VersionRange::new(Version(2), Version(1)), None);
    }
}
