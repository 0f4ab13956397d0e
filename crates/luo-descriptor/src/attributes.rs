//! The attributes of a file in memory: what it is, apart from its contents.
//!
//! - [`Attributes`] are all that a user can ask such a file for. Some belong to the file (size, seals, mode, owner,
//!   times), some to the open file description (position, status, access), one to the descriptor (close on exec).
//! - A [`Name`] is what `memfd_create` was given. It never changes.
//! - A **page** is 4 KiB of a file, whatever the host's pages are.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::ops::BitOr;

use luo_kho::FRAME_BYTES;

/// The longest name that `memfd_create` takes (`mm/memfd.c`): a file name of 255 bytes, less the prefix `memfd:`.
pub const NAME_MAX: usize = 249;
/// Bits of a mode that `fchmod` sets.
pub const MODE_BITS: u32 = 0o7777;
/// Bytes of one of the units in which a file's blocks are counted (`stat(2)`).
pub const BLOCK_BYTES: u64 = 512;

/// Attributes of a file in memory: all that a user can ask it for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attributes {
    /// Bytes, holes included.
    pub size: u64,
    /// Units of [`BLOCK_BYTES`] that the host gave it: what is no hole, and what was reserved and never written.
    pub blocks: u64,
    /// Where the next `read` or `write` begins.
    pub position: u64,
    /// What can no longer be done to it.
    pub seals: Seals,
    /// Permissions: [`MODE_BITS`].
    pub mode: u32,
    /// Whose it is.
    pub owner: Owner,
    /// When it was used.
    pub times: Times,
    /// What the descriptor may be used for.
    pub access: Access,
    /// How it is used.
    pub status: Status,
    /// Whether an `execve` closes the descriptor.
    pub close_on_exec: bool,
}

/// User and group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The user.
    pub user: u32,
    /// The group.
    pub group: u32,
}

/// A moment: seconds since 1970, and nanoseconds below 10^9.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moment {
    /// Seconds.
    pub seconds: i64,
    /// Nanoseconds.
    pub nanoseconds: u32,
}

/// When a file was last read and written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// Last read.
    pub accessed: Moment,
    /// Last written.
    pub modified: Moment,
}

/// What a descriptor may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Reading.
    Read,
    /// Writing.
    Write,
    /// Both.
    ReadWrite,
}

/// Seals, as `fcntl(F_ADD_SEALS)` counts them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seals(u32);

/// File status flags, in numbers of this crate: those of systems differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Status(u32);

/// What `memfd_create` was given: at most [`NAME_MAX`] bytes, none of them NUL.
#[derive(Clone, PartialEq, Eq)]
pub struct Name(Vec<u8>);

impl Attributes {
    /// Pages from the start to the end of the file, holes included.
    pub const fn pages(&self) -> u64 {
        self.size.div_ceil(FRAME_BYTES)
    }

    /// Pages that the host keeps for the file: no fewer than are populated.
    pub const fn pages_kept(&self) -> u64 {
        self.blocks / (FRAME_BYTES / BLOCK_BYTES)
    }

    /// Whether nobody can change the contents any more: no writing, and no cutting off.
    pub const fn contents_are_final(&self) -> bool {
        self.seals.contains(Seals::WRITE) && self.seals.contains(Seals::SHRINK)
    }
}

impl Seals {
    /// None.
    pub const NONE: Self = Self(0);
    /// No further seals: `F_SEAL_SEAL`.
    pub const SEAL: Self = Self(1);
    /// No cutting off: `F_SEAL_SHRINK`.
    pub const SHRINK: Self = Self(1 << 1);
    /// No growing: `F_SEAL_GROW`.
    pub const GROW: Self = Self(1 << 2);
    /// No writing: `F_SEAL_WRITE`.
    pub const WRITE: Self = Self(1 << 3);
    /// No writing but through mappings that exist: `F_SEAL_FUTURE_WRITE`.
    pub const FUTURE_WRITE: Self = Self(1 << 4);
    /// No change of the executable bits: `F_SEAL_EXEC`.
    pub const EXEC: Self = Self(1 << 5);
    /// All that this crate knows how to put on a new file.
    pub const KNOWN: Self = Self(0x3F);

    /// These bits, known or not.
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// The bits.
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// Whether all of `other` are set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Those that this crate does not know.
    #[must_use]
    pub const fn unknown(self) -> Self {
        self.without(Self::KNOWN)
    }

    /// Those that are not among `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

impl BitOr for Seals {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl Status {
    /// None.
    pub const NONE: Self = Self(0);
    /// Each `write` goes to the end: `O_APPEND`.
    pub const APPEND: Self = Self(1);
    /// `O_NONBLOCK`.
    pub const NONBLOCK: Self = Self(1 << 1);
    /// `O_DIRECT`.
    pub const DIRECT: Self = Self(1 << 2);
    /// Reading does not count as access: `O_NOATIME`.
    pub const NOATIME: Self = Self(1 << 3);
    /// `O_DSYNC`.
    pub const DSYNC: Self = Self(1 << 4);
    /// `O_SYNC`; [`DSYNC`](Self::DSYNC) is then set too.
    pub const SYNC: Self = Self(1 << 5);
    /// All that this crate knows.
    pub const KNOWN: Self = Self(0x3F);
    /// Those that a descriptor has from its opening on.
    pub const FIXED: Self = Self(Self::DSYNC.0 | Self::SYNC.0);
    /// A port saw a flag that has no name here.
    pub const UNKNOWN: Self = Self(1 << 31);

    /// `None` if there are others than those known.
    pub const fn from_bits(bits: u32) -> Option<Self> {
        if bits & !Self::KNOWN.0 == 0 { Some(Self(bits)) } else { None }
    }

    /// The bits.
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// Whether all of `other` are set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Those that are among `other` too.
    #[must_use]
    pub const fn only(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl BitOr for Status {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl Name {
    /// `None` if there are more than [`NAME_MAX`] bytes, or a NUL among them.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Option<Self> {
        let bytes = bytes.into();
        (bytes.len() <= NAME_MAX && !bytes.contains(&0)).then_some(Self(bytes))
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0))
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&String::from_utf8_lossy(&self.0), f)
    }
}
