//! How [`Attributes`] lie in bytes: the front of every payload that records them.
//!
//! Version 1. Little-endian, 62 bytes:
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 8 | size in bytes |
//! | 8 | 8 | position |
//! | 16 | 8 | last read: seconds, signed |
//! | 24 | 8 | last written: seconds, signed |
//! | 32 | 4 | last read: nanoseconds |
//! | 36 | 4 | last written: nanoseconds |
//! | 40 | 4 | seals, as `fcntl(F_GET_SEALS)` gives them: at most 0x3f |
//! | 44 | 4 | mode: at most 0o7777 |
//! | 48 | 4 | user |
//! | 52 | 4 | group |
//! | 56 | 4 | status flags: 1 append, 2 nonblock, 4 direct, 8 noatime, 16 dsync, 32 sync |
//! | 60 | 1 | access: 0 read, 1 write, 2 both |
//! | 61 | 1 | close on exec: 0 or 1 |

use zerocopy::little_endian::{I64, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::{Access, Attributes, MODE_BITS, Moment, Owner, Seals, Status, Times};

/// The record. Its bytes may be anybody's.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct AttributesV1 {
    size: U64,
    position: U64,
    accessed: I64,
    modified: I64,
    accessed_nanoseconds: U32,
    modified_nanoseconds: U32,
    seals: U32,
    mode: U32,
    user: U32,
    group: U32,
    status: U32,
    access: u8,
    close_on_exec: u8,
}

const _: () = {
    use core::mem::offset_of;
    assert!(size_of::<AttributesV1>() == 62);
    assert!(offset_of!(AttributesV1, size) == 0);
    assert!(offset_of!(AttributesV1, position) == 8);
    assert!(offset_of!(AttributesV1, accessed) == 16);
    assert!(offset_of!(AttributesV1, modified) == 24);
    assert!(offset_of!(AttributesV1, accessed_nanoseconds) == 32);
    assert!(offset_of!(AttributesV1, modified_nanoseconds) == 36);
    assert!(offset_of!(AttributesV1, seals) == 40);
    assert!(offset_of!(AttributesV1, mode) == 44);
    assert!(offset_of!(AttributesV1, user) == 48);
    assert!(offset_of!(AttributesV1, group) == 52);
    assert!(offset_of!(AttributesV1, status) == 56);
    assert!(offset_of!(AttributesV1, access) == 60);
    assert!(offset_of!(AttributesV1, close_on_exec) == 61);
};

/// A file has at most 2^63 - 1 bytes: offsets are signed.
pub const SIZE_MAX: u64 = i64::MAX as u64;
/// The number that asks `chown` to change nothing, and so names nobody.
const NOBODY: u32 = u32::MAX;
const NANOSECONDS: u32 = 1_000_000_000;

impl From<&Attributes> for AttributesV1 {
    fn from(attributes: &Attributes) -> Self {
        // Blocks are the host's affair: a copy has as many as it needs.
        let Attributes {
            size,
            blocks: _,
            position,
            seals,
            mode,
            owner,
            times,
            access,
            status,
            close_on_exec,
        } = *attributes;
        let Owner { user, group } = owner;
        let Times { accessed, modified } = times;
        Self {
            size: size.into(),
            position: position.into(),
            accessed: accessed.seconds.into(),
            modified: modified.seconds.into(),
            accessed_nanoseconds: accessed.nanoseconds.into(),
            modified_nanoseconds: modified.nanoseconds.into(),
            seals: seals.bits().into(),
            mode: mode.into(),
            user: user.into(),
            group: group.into(),
            status: status.bits().into(),
            access: match access {
                Access::Read => 0,
                Access::Write => 1,
                Access::ReadWrite => 2,
            },
            close_on_exec: close_on_exec.into(),
        }
    }
}

impl AttributesV1 {
    /// What the bytes say, with no blocks.
    ///
    /// # Errors
    ///
    /// Which field says something that cannot be, and why.
    pub fn believe(&self) -> Result<Attributes, &'static str> {
        let Self {
            size,
            position,
            accessed,
            modified,
            accessed_nanoseconds,
            modified_nanoseconds,
            seals,
            mode,
            user,
            group,
            status,
            access,
            close_on_exec,
        } = *self;
        Ok(Attributes {
            size: Some(size.get()).filter(|size| *size <= SIZE_MAX).ok_or("no file is so large")?,
            blocks: 0,
            position: Some(position.get())
                .filter(|position| *position <= SIZE_MAX)
                .ok_or("no file has such a position")?,
            seals: Some(Seals::from_bits(seals.get()))
                .filter(|seals| seals.unknown() == Seals::NONE)
                .ok_or("there are unknown seals")?,
            mode: Some(mode.get())
                .filter(|mode| mode & !MODE_BITS == 0)
                .ok_or("the mode has unknown bits")?,
            owner: Some(Owner { user: user.get(), group: group.get() })
                .filter(|owner| owner.user != NOBODY && owner.group != NOBODY)
                .ok_or("no user and no group has such a number")?,
            times: Times {
                accessed: moment(accessed, accessed_nanoseconds)?,
                modified: moment(modified, modified_nanoseconds)?,
            },
            access: match access {
                0 => Access::Read,
                1 => Access::Write,
                2 => Access::ReadWrite,
                _ => return Err("there is no such access"),
            },
            status: Status::from_bits(status.get()).ok_or("there are unknown status flags")?,
            close_on_exec: match close_on_exec {
                0 => false,
                1 => true,
                _ => return Err("close on exec is neither yes nor no"),
            },
        })
    }
}

fn moment(seconds: I64, nanoseconds: U32) -> Result<Moment, &'static str> {
    let nanoseconds = nanoseconds.get();
    if nanoseconds >= NANOSECONDS {
        return Err("a second has fewer nanoseconds");
    }
    Ok(Moment { seconds: seconds.get(), nanoseconds })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attributes() -> Attributes {
        Attributes {
            size: SIZE_MAX,
            blocks: 0,
            position: 0x1122_3344_5566_7788,
            seals: Seals::KNOWN,
            mode: MODE_BITS,
            owner: Owner { user: 1000, group: NOBODY - 1 },
            times: Times {
                accessed: Moment { seconds: -1, nanoseconds: NANOSECONDS - 1 },
                modified: Moment { seconds: i64::MAX, nanoseconds: 0 },
            },
            access: Access::Write,
            status: Status::APPEND | Status::NONBLOCK,
            close_on_exec: true,
        }
    }

    #[test]
    fn what_is_written_is_read_again_without_blocks() {
        for access in [Access::Read, Access::Write, Access::ReadWrite] {
            for close_on_exec in [false, true] {
                let given = Attributes { blocks: 7, access, close_on_exec, ..attributes() };
                assert_eq!(AttributesV1::from(&given).believe(), Ok(Attributes { blocks: 0, ..given }));
            }
        }
    }

    /// Each field alone says something that cannot be.
    #[test]
    fn bytes_that_say_what_cannot_be_are_not_believed() {
        let damages: [(usize, &[u8], &str); 12] = [
            (7, &[0x80], "no file is so large"),
            (15, &[0x80], "no file has such a position"),
            (32, &NANOSECONDS.to_le_bytes(), "a second has fewer nanoseconds"),
            (36, &NANOSECONDS.to_le_bytes(), "a second has fewer nanoseconds"),
            (40, &[0x40], "there are unknown seals"),
            (45, &[0x10], "the mode has unknown bits"),
            (48, &[0xFF; 4], "no user and no group has such a number"),
            (52, &[0xFF; 4], "no user and no group has such a number"),
            (56, &[0x40], "there are unknown status flags"),
            (59, &[0x80], "there are unknown status flags"),
            (60, &[3], "there is no such access"),
            (61, &[2], "close on exec is neither yes nor no"),
        ];
        for (at, damage, why) in damages {
            let mut record = AttributesV1::from(&attributes());
            record.as_mut_bytes()[at..at + damage.len()].copy_from_slice(damage);
            assert_eq!(record.believe(), Err(why), "byte {at}");
        }
    }
}
