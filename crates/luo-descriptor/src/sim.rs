//! The same for simulated files, which a handler's simulated host keeps: what is not their contents.
//!
//! - An [`Inode`] has seals, mode, owner and locks. All references to a file share it.
//! - An [`Opening`] has a position, status flags and an access. Duplicates of a descriptor share it.
//! - A [`Descriptor`] is a reference to both, through which users look at them and change them.
//! - A [`Fuse`] makes a call fail.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use crate::{Access, Attributes, HostError, Owner, Seals, Status, Times};

/// "Input/output error": what an injected failure says.
const EIO: i32 = 5;
/// "Operation not permitted": what a seal or an access mode says.
const EPERM: i32 = 1;
/// No call fails.
const UNARMED: u64 = u64::MAX;
const ORDER: Ordering = Ordering::Relaxed;

/// What all references to a file share.
#[derive(Debug)]
pub struct Inode {
    seals: AtomicU32,
    mode: AtomicU32,
    user: AtomicU32,
    group: AtomicU32,
    locked: AtomicBool,
}

/// What duplicates of a descriptor share.
#[derive(Debug)]
pub struct Opening {
    position: AtomicU64,
    status: AtomicU32,
    access: Access,
}

/// See the room's head.
#[derive(Debug)]
pub struct Descriptor {
    inode: Arc<Inode>,
    opening: Arc<Opening>,
    close_on_exec: AtomicBool,
}

/// Calls that succeed before one fails.
#[derive(Debug)]
pub struct Fuse {
    left: AtomicU64,
    fired: AtomicBool,
    calls: AtomicU64,
}

/// What a seal or an access forbids.
pub const fn refused(call: &'static str) -> HostError {
    HostError { call, errno: EPERM }
}

impl Default for Inode {
    /// As a new memfd: mode 0o777, of user and group 0, no seals.
    fn default() -> Self {
        Self {
            seals: AtomicU32::new(0),
            mode: AtomicU32::new(0o777),
            user: AtomicU32::new(0),
            group: AtomicU32::new(0),
            locked: AtomicBool::new(false),
        }
    }
}

impl Opening {
    /// At the start of a file.
    pub const fn new(access: Access, status: Status) -> Self {
        Self { position: AtomicU64::new(0), status: AtomicU32::new(status.bits()), access }
    }
}

impl Descriptor {
    /// A new one.
    pub const fn new(inode: Arc<Inode>, opening: Arc<Opening>, close_on_exec: bool) -> Self {
        Self { inode, opening, close_on_exec: AtomicBool::new(close_on_exec) }
    }

    /// All that a user can ask for of a file of this size, with so many blocks.
    pub fn attributes_of(&self, size: u64, blocks: u64) -> Attributes {
        let Self { inode, opening, close_on_exec } = self;
        Attributes {
            size,
            blocks,
            position: opening.position.load(ORDER),
            seals: self.seals(),
            mode: inode.mode.load(ORDER),
            owner: Owner { user: inode.user.load(ORDER), group: inode.group.load(ORDER) },
            times: Times::default(),
            access: opening.access,
            status: Status::from_bits(opening.status.load(ORDER)).unwrap_or(Status::UNKNOWN),
            close_on_exec: close_on_exec.load(ORDER),
        }
    }

    /// The seals.
    pub fn seals(&self) -> Seals {
        Seals::from_bits(self.inode.seals.load(ORDER))
    }

    /// Whether it may be used to write.
    ///
    /// # Errors
    ///
    /// A seal or the access forbids it.
    pub fn may_write(&self, call: &'static str) -> Result<(), HostError> {
        let seals = self.seals();
        let sealed = seals.contains(Seals::WRITE) || seals.contains(Seals::FUTURE_WRITE);
        if self.opening.access == Access::Read || sealed { Err(refused(call)) } else { Ok(()) }
    }

    /// Whether it may be used to change the size from `now` to `size`.
    ///
    /// # Errors
    ///
    /// A seal or the access forbids it.
    pub fn may_resize(&self, now: u64, size: u64) -> Result<(), HostError> {
        let seals = self.seals();
        let sealed = size < now && seals.contains(Seals::SHRINK) || size > now && seals.contains(Seals::GROW);
        if self.opening.access == Access::Read || sealed { Err(refused("ftruncate")) } else { Ok(()) }
    }

    /// Adds seals.
    ///
    /// # Errors
    ///
    /// A seal or the access forbids it.
    pub fn add_seals(&self, seals: Seals) -> Result<(), HostError> {
        if self.opening.access == Access::Read || self.seals().contains(Seals::SEAL) {
            return Err(refused("fcntl(F_ADD_SEALS)"));
        }
        self.inode.seals.fetch_or(seals.bits(), ORDER);
        Ok(())
    }

    /// Sets the mode.
    pub fn set_mode(&self, mode: u32) {
        self.inode.mode.store(mode, ORDER);
    }

    /// Gives the file to somebody.
    pub fn set_owner(&self, owner: Owner) {
        self.inode.user.store(owner.user, ORDER);
        self.inode.group.store(owner.group, ORDER);
    }

    /// Moves the position.
    pub fn seek(&self, position: u64) {
        self.opening.position.store(position, ORDER);
    }

    /// Sets the status flags.
    pub fn set_status(&self, status: Status) {
        self.opening.status.store(status.bits(), ORDER);
    }

    /// Sets the close-on-exec flag of this descriptor.
    pub fn set_close_on_exec(&self, close: bool) {
        self.close_on_exec.store(close, ORDER);
    }

    /// Locks the file, or lets it go.
    pub fn set_locked(&self, locked: bool) {
        self.inode.locked.store(locked, ORDER);
    }

    /// Whether somebody has locked the file.
    pub fn is_locked(&self) -> bool {
        self.inode.locked.load(ORDER)
    }
}

impl Default for Fuse {
    /// No call fails.
    fn default() -> Self {
        Self { left: AtomicU64::new(UNARMED), fired: AtomicBool::new(false), calls: AtomicU64::new(0) }
    }
}

impl Fuse {
    /// From now on the call with number `nth`, from 0, fails, once.
    pub fn arm(&self, nth: u64) {
        self.fired.store(false, ORDER);
        self.left.store(nth, ORDER);
    }

    /// No call fails any more. Whether one did since [`arm`](Self::arm).
    pub fn disarm(&self) -> bool {
        self.left.store(UNARMED, ORDER);
        self.fired.load(ORDER)
    }

    /// How many calls there were.
    pub fn calls(&self) -> u64 {
        self.calls.load(ORDER)
    }

    /// One call begins.
    ///
    /// # Errors
    ///
    /// It is the one that fails.
    pub fn call(&self, call: &'static str) -> Result<(), HostError> {
        self.calls.fetch_add(1, ORDER);
        let count = |left: u64| match left {
            UNARMED => None,
            0 => Some(UNARMED),
            left => Some(left - 1),
        };
        match self.left.fetch_update(ORDER, ORDER, count) {
            Ok(0) => {
                self.fired.store(true, ORDER);
                Err(HostError { call, errno: EIO })
            }
            Ok(_) | Err(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fuse_fires_once_at_the_call_it_was_told() {
        let fuse = Fuse::default();
        fuse.arm(1);
        assert_eq!(fuse.call("first"), Ok(()));
        assert_eq!(fuse.call("second"), Err(HostError { call: "second", errno: EIO }));
        assert_eq!((fuse.call("third"), fuse.disarm(), fuse.calls()), (Ok(()), true, 3));
        fuse.arm(7);
        assert!(!fuse.disarm());
    }

    #[test]
    fn seals_and_access_forbid_what_they_name() {
        let inode = Arc::new(Inode::default());
        let opened =
            |access| Descriptor::new(Arc::clone(&inode), Arc::new(Opening::new(access, Status::NONE)), true);
        let (writer, reader) = (opened(Access::ReadWrite), opened(Access::Read));
        assert_eq!(reader.may_write("pwrite"), Err(refused("pwrite")));
        writer.add_seals(Seals::SHRINK).unwrap();
        assert_eq!(writer.may_resize(2, 1), Err(refused("ftruncate")));
        assert_eq!(writer.may_resize(2, 3), Ok(()));
        writer.add_seals(Seals::WRITE | Seals::SEAL).unwrap();
        assert_eq!(writer.may_write("pwrite"), Err(refused("pwrite")));
        assert!(writer.add_seals(Seals::GROW).is_err());
    }
}
