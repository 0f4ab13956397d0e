//! The file that crosses an exec under a number: what happened, and behind it the waybill.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 4 | magic, `LUON` |
//! | 4 | 2 | version, 1 |
//! | 6 | 2 | 0: nothing happened; 1: the successor refused; 2: it died; 3: it did not commit in time |
//! | 8 | 4 | length of its reason, if it refused |
//! | 12 | 4 | 0 |
//! | 16 | | its reason, UTF-8 |
//! | 4096 | | the waybill |
//!
//! Nobody writes here but the successor that refuses and the guardian, one after the other.

use alloc::string::String;
use alloc::vec::Vec;

use rustix::fd::{BorrowedFd, OwnedFd};
use rustix::fs::fstat;
use rustix::io::{pread, pwrite};

use crate::KhoError;
use crate::process::door::Mishap;
use crate::process::error::host;
use crate::process::line::LineError;
use crate::process::waybill::{self, Entry, Load};
use crate::process::{WayBack, memfd};

const MAGIC: [u8; 6] = *b"LUON\x01\0";
/// Where it says what happened.
pub(super) const HAPPENED_AT: usize = 6;
const REFUSED: u16 = 1;
const REASON_AT: usize = 16;
const WAYBILL_AT: usize = 4096;
/// More than the entries of [`waybill::MOST`] descriptors take.
const LONGEST: usize = 8 << 20;

/// A file to be filled.
///
/// # Errors
///
/// [`KhoError::Host`].
pub(super) fn create() -> Result<OwnedFd, KhoError> {
    memfd::create("luo-waybill", WAYBILL_AT as u64)
}

/// Writes a waybill, and that nothing has happened.
///
/// # Errors
///
/// [`KhoError::Host`].
pub(super) fn fill(file: BorrowedFd<'_>, loads: &[Load<'_>]) -> Result<(), KhoError> {
    let mut bytes = MAGIC.to_vec();
    bytes.resize(WAYBILL_AT, 0);
    bytes.extend(waybill::at_rest(loads).map_err(host("fstat"))?);
    write_all(file, &bytes, 0).map_err(host("pwrite"))
}

/// Reads a file that somebody else wrote: the waybill, and what happened.
///
/// # Errors
///
/// [`LineError::Garbled`], [`LineError::Host`].
pub(super) fn read(file: BorrowedFd<'_>) -> Result<(Vec<Entry>, Option<WayBack>), LineError> {
    let garbled = |why| LineError::Garbled { awaited: "leave a waybill", why };
    let failed = |call| move |errno: rustix::io::Errno| LineError::Host { call, errno: errno.raw_os_error() };
    let len = fstat(file).map_err(failed("fstat"))?.st_size;
    let len = usize::try_from(len).unwrap_or(0);
    if !(WAYBILL_AT..=LONGEST).contains(&len) {
        return Err(garbled("it is not as long as a waybill"));
    }
    let mut bytes = alloc::vec![0; len];
    let mut got = 0;
    while let Some(rest) = bytes.get_mut(got..).filter(|rest| !rest.is_empty()) {
        match pread(file, rest, got as u64).map_err(failed("pread"))? {
            0 => return Err(garbled("it became shorter")),
            more => got += more,
        }
    }
    if !bytes.starts_with(&MAGIC) {
        return Err(garbled("it does not begin as one"));
    }
    let entries = waybill::read_at_rest(bytes.get(WAYBILL_AT..).unwrap_or_default()).map_err(garbled)?;
    let number = |at, len| {
        let field: &[u8] = bytes.get(at..at + len).unwrap_or_default();
        field.iter().rev().fold(0usize, |number, byte| (number << 8) | usize::from(*byte))
    };
    let happened = match u16::try_from(number(HAPPENED_AT, 2)).unwrap_or(u16::MAX) {
        0 => None,
        REFUSED => {
            let reason = bytes.get(REASON_AT..WAYBILL_AT).unwrap_or_default();
            let reason = reason.get(..number(8, 4)).unwrap_or(reason);
            Some(WayBack::Refused { reason: String::from_utf8_lossy(reason).into_owned() })
        }
        code if code == Mishap::Died.code() => Some(WayBack::Died),
        code if code == Mishap::Late.code() => Some(WayBack::Late),
        _ => return Err(garbled("what happened is none of the things that can")),
    };
    Ok((entries, happened))
}

/// Writes down that the successor refuses, and why. The guest comes back all the same if this fails.
pub(in crate::process) fn refuse(file: BorrowedFd<'_>, reason: &str) {
    let cut = reason.floor_char_boundary(WAYBILL_AT - REASON_AT);
    let reason = reason.get(..cut).unwrap_or_default();
    let len = u32::try_from(reason.len()).unwrap_or(0);
    let _unread = write_all(file, reason.as_bytes(), REASON_AT as u64)
        .and_then(|()| write_all(file, &len.to_le_bytes(), 8))
        .and_then(|()| write_all(file, &REFUSED.to_le_bytes(), HAPPENED_AT as u64));
}

fn write_all(file: impl rustix::fd::AsFd, mut bytes: &[u8], mut at: u64) -> rustix::io::Result<()> {
    while !bytes.is_empty() {
        let done = pwrite(&file, bytes, at)?;
        bytes = bytes.get(done..).unwrap_or_default();
        at += done as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FrameCount;
    use crate::process::waybill::Role;
    use alloc::borrow::ToOwned as _;
    use rustix::fd::AsFd as _;

    fn filled() -> OwnedFd {
        let file = create().unwrap();
        fill(file.as_fd(), &[(Role::Arena(FrameCount::ONE), file.as_fd()), (Role::Word, file.as_fd())])
            .unwrap();
        file
    }

    #[test]
    fn nothing_has_happened_until_somebody_says_so() {
        let file = filled();
        let (entries, happened) = read(file.as_fd()).unwrap();
        assert_eq!((entries.len(), happened), (2, None));
        for mishap in [Mishap::Died, Mishap::Late] {
            write_all(&file, &mishap.code().to_le_bytes(), HAPPENED_AT as u64).unwrap();
            let (_, happened) = read(file.as_fd()).unwrap();
            assert_eq!(happened, Some(if mishap == Mishap::Died { WayBack::Died } else { WayBack::Late }));
        }
        write_all(&file, &[9], HAPPENED_AT as u64).unwrap();
        assert!(matches!(read(file.as_fd()), Err(LineError::Garbled { .. })));
    }

    #[test]
    fn a_reason_is_cut_where_a_character_ends() {
        let file = filled();
        let long = "x".to_owned() + &"\u{e9}".repeat(4096);
        refuse(file.as_fd(), &long);
        let (entries, happened) = read(file.as_fd()).unwrap();
        assert_eq!((entries.len(), happened), (2, Some(WayBack::Refused { reason: long[..4079].into() })));
        refuse(file.as_fd(), "short");
        assert_eq!(read(file.as_fd()).unwrap().1, Some(WayBack::Refused { reason: "short".into() }));
        // A length that cannot be.
        write_all(&file, &u32::MAX.to_le_bytes(), 8).unwrap();
        assert!(matches!(read(file.as_fd()), Ok((_, Some(WayBack::Refused { .. })))));
    }

    #[test]
    fn files_that_are_something_else_are_not_believed() {
        let short = memfd::create("x", 100).unwrap();
        let huge = memfd::create("x", 1 << 40).unwrap();
        let zeros = memfd::create("x", 8192).unwrap();
        for file in [short, huge, zeros, create().unwrap()] {
            assert!(matches!(read(file.as_fd()), Err(LineError::Garbled { .. })));
        }
        let file = filled();
        for at in [0, 4, 4096, 4100, 4104, 4108, 4130] {
            let mut byte = [0];
            pread(&file, &mut byte, at).unwrap();
            write_all(&file, &[byte[0] ^ 4], at).unwrap();
            assert!(matches!(read(file.as_fd()), Err(LineError::Garbled { .. })), "byte {at}");
            write_all(&file, &byte, at).unwrap();
        }
        assert!(read(file.as_fd()).is_ok());
    }
}
