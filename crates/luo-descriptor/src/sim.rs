//! The same for simulated files, which a handler's simulated host keeps: what is not their contents.
//!
//! - An [`Inode`] has seals, mode, owner and locks. All references to a file share it.
//! - An [`Opening`] has a position, status flags and an access. Duplicates of a descriptor share it.
//! - A [`Fuse`] makes a call fail.

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

impl Inode {
    /// All that a user of `opening` can ask for.
    pub fn attributes(&self, opening: &Opening, size: u64, blocks: u64, close_on_exec: bool) -> Attributes {
        Attributes {
            size,
            blocks,
            position: opening.position.load(ORDER),
            seals: self.seals(),
            mode: self.mode.load(ORDER),
            owner: Owner { user: self.user.load(ORDER), group: self.group.load(ORDER) },
            times: Times::default(),
            access: opening.access,
            status: opening.status(),
            close_on_exec,
        }
    }

    /// The seals.
    pub fn seals(&self) -> Seals {
        Seals::from_bits(self.seals.load(ORDER))
    }

    /// Whether `opening` may write.
    ///
    /// # Errors
    ///
    /// A seal or the access forbids it.
    pub fn may_write(&self, opening: &Opening, call: &'static str) -> Result<(), HostError> {
        let seals = self.seals();
        let sealed = seals.contains(Seals::WRITE) || seals.contains(Seals::FUTURE_WRITE);
        if opening.access == Access::Read || sealed { Err(refused(call)) } else { Ok(()) }
    }

    /// Whether `opening` may change the size from `now` to `size`.
    ///
    /// # Errors
    ///
    /// As [`may_write`](Self::may_write).
    pub fn may_resize(&self, opening: &Opening, now: u64, size: u64) -> Result<(), HostError> {
        let seals = self.seals();
        let sealed = size < now && seals.contains(Seals::SHRINK) || size > now && seals.contains(Seals::GROW);
        if opening.access == Access::Read || sealed { Err(refused("ftruncate")) } else { Ok(()) }
    }

    /// Adds seals.
    ///
    /// # Errors
    ///
    /// As [`may_write`](Self::may_write).
    pub fn add_seals(&self, opening: &Opening, seals: Seals) -> Result<(), HostError> {
        if opening.access == Access::Read || self.seals().contains(Seals::SEAL) {
            return Err(refused("fcntl(F_ADD_SEALS)"));
        }
        self.seals.fetch_or(seals.bits(), ORDER);
        Ok(())
    }

    /// Sets the mode.
    pub fn set_mode(&self, mode: u32) {
        self.mode.store(mode, ORDER);
    }

    /// Gives it to somebody.
    pub fn set_owner(&self, owner: Owner) {
        self.user.store(owner.user, ORDER);
        self.group.store(owner.group, ORDER);
    }

    /// Locks it, or lets it go.
    pub fn set_locked(&self, locked: bool) {
        self.locked.store(locked, ORDER);
    }

    /// Whether somebody has locked it.
    pub fn is_locked(&self) -> bool {
        self.locked.load(ORDER)
    }
}

impl Opening {
    /// At the start of a file.
    pub const fn new(access: Access, status: Status) -> Self {
        Self { position: AtomicU64::new(0), status: AtomicU32::new(status.bits()), access }
    }

    /// What it may be used for.
    pub const fn access(&self) -> Access {
        self.access
    }

    /// The status flags.
    pub fn status(&self) -> Status {
        Status::from_bits(self.status.load(ORDER)).unwrap_or(Status::UNKNOWN)
    }

    /// Sets the status flags.
    pub fn set_status(&self, status: Status) {
        self.status.store(status.bits(), ORDER);
    }

    /// Moves the position.
    pub fn seek(&self, position: u64) {
        self.position.store(position, ORDER);
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
        let (inode, opening) = (Inode::default(), Opening::new(Access::ReadWrite, Status::NONE));
        let reader = Opening::new(Access::Read, Status::NONE);
        assert_eq!(inode.may_write(&reader, "pwrite"), Err(refused("pwrite")));
        inode.add_seals(&opening, Seals::SHRINK).unwrap();
        assert_eq!(inode.may_resize(&opening, 2, 1), Err(refused("ftruncate")));
        assert_eq!(inode.may_resize(&opening, 2, 3), Ok(()));
        inode.add_seals(&opening, Seals::WRITE | Seals::SEAL).unwrap();
        assert_eq!(inode.may_write(&opening, "pwrite"), Err(refused("pwrite")));
        assert!(inode.add_seals(&opening, Seals::GROW).is_err());
    }
}
