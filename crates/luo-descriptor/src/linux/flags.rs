//! Flags and seals in the kernel's numbers and in ours.

use rustix::fs::{MemfdFlags, OFlags};

use crate::{Access, Attributes, Seals, Status};

/// `O_DSYNC` on every architecture of Linux but alpha, mips, parisc and sparc; the C library's name for it is not to be
/// had here. `O_SYNC` has it in it.
const DSYNC: u32 = 0o10000;
/// Any of these may be set and means nothing: the access is looked at by itself, and all files are large.
const MEANINGLESS: OFlags = OFlags::ACCMODE.union(OFlags::LARGEFILE);
/// The executable bits of a mode.
const EXECUTABLE: u32 = 0o111;

/// Each flag of ours with the kernel's. `SYNC` is all of its bits.
fn pairs() -> [(Status, OFlags); 6] {
    [
        (Status::APPEND, OFlags::APPEND),
        (Status::NONBLOCK, OFlags::NONBLOCK),
        (Status::DIRECT, OFlags::DIRECT),
        (Status::NOATIME, OFlags::NOATIME),
        (Status::DSYNC, OFlags::from_bits_retain(DSYNC)),
        (Status::SYNC, OFlags::SYNC),
    ]
}

/// What `fcntl(F_GETFL)` says.
pub fn read(flags: OFlags) -> (Access, Status) {
    let access = match flags & OFlags::ACCMODE {
        OFlags::RDONLY => Access::Read,
        OFlags::WRONLY => Access::Write,
        _ => Access::ReadWrite,
    };
    let (mut status, mut rest) = (Status::NONE, flags.difference(MEANINGLESS));
    for (ours, kernels) in pairs() {
        if flags.contains(kernels) {
            status = status | ours;
            rest = rest.difference(kernels);
        }
    }
    (access, if rest.is_empty() { status } else { status | Status::UNKNOWN })
}

/// The kernel's flags for a status.
pub fn status(status: Status) -> OFlags {
    let set = pairs().into_iter().filter(|(ours, _)| status.contains(*ours));
    set.fold(OFlags::empty(), |flags, (_, kernels)| flags | kernels)
}

/// The kernel's flags to open a file for an access.
pub const fn access(access: Access) -> OFlags {
    match access {
        Access::Read => OFlags::RDONLY,
        Access::Write => OFlags::WRONLY,
        Access::ReadWrite => OFlags::RDWR,
    }
}

/// How a memfd is to be made so that it can get these attributes.
///
/// Where it shall be sealed against becoming executable it is made so: administrators may allow no others
/// (`vm.memfd_noexec`). Everywhere else the opposite is said aloud, because their default may be that seal.
pub const fn creation(wanted: &Attributes) -> MemfdFlags {
    let common = MemfdFlags::CLOEXEC.union(MemfdFlags::ALLOW_SEALING);
    if wanted.seals.contains(Seals::EXEC) && wanted.mode & EXECUTABLE == 0 {
        common.union(MemfdFlags::NOEXEC_SEAL)
    } else {
        common.union(MemfdFlags::EXEC)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_flag_goes_there_and_back() {
        for bits in 0..=Status::KNOWN.bits() {
            let ours = Status::from_bits(bits).unwrap();
            // The kernel has no SYNC without DSYNC.
            let expected = if ours.contains(Status::SYNC) { ours | Status::DSYNC } else { ours };
            for way in [Access::Read, Access::Write, Access::ReadWrite] {
                assert_eq!(read(status(ours) | access(way) | OFlags::LARGEFILE), (way, expected));
            }
        }
    }

    #[test]
    fn a_flag_without_a_name_is_noticed() {
        let (_, status) = read(OFlags::RDWR | OFlags::from_bits_retain(0o20000));
        assert!(status.contains(Status::UNKNOWN), "FASYNC");
    }
}
