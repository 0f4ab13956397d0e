//! Payloads: what is written down of one eventfd. Version 1, little-endian, 16 bytes:
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 8 | counter: at most 2^64 - 2 |
//! | 8 | 8 | flags: 1 semaphore, 2 nonblock, 4 close on exec |
//!
//! Payloads carry no magic and no checksum of their own: the records that hold them have both. A change of the layout
//! is another version.

use alloc::vec::Vec;

use luo_core::{PayloadError, Record, Version, VersionRange};
use luo_kho::ByteLen;
use zerocopy::little_endian::U64;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::State;

/// The newest version.
const NEWEST: Version = Version(1);
/// Versions that this build reads.
pub(crate) const READS: VersionRange = VersionRange::up_to(NEWEST);
/// Versions that this build writes, newest first.
pub(crate) const WRITES: [Version; 1] = [NEWEST];

#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RecordV1 {
    count: U64,
    flags: U64,
}

const _: () = {
    use core::mem::offset_of;
    assert!(size_of::<RecordV1>() == 16);
    assert!(offset_of!(RecordV1, count) == 0);
    assert!(offset_of!(RecordV1, flags) == 8);
};

const SEMAPHORE: u64 = 1;
const NONBLOCK: u64 = 2;
const CLOSE_ON_EXEC: u64 = 4;

/// The most bytes that a payload takes.
pub(crate) const MOST_BYTES: ByteLen = ByteLen::new(size_of::<RecordV1>() as u64);

/// The bytes.
pub(crate) fn encode(state: State) -> Vec<u8> {
    let State { count, semaphore, nonblock, close_on_exec } = state;
    let flags = [(semaphore, SEMAPHORE), (nonblock, NONBLOCK), (close_on_exec, CLOSE_ON_EXEC)];
    let flags: u64 = flags.into_iter().filter(|(set, _)| *set).map(|(_, bit)| bit).sum();
    RecordV1 { count: count.into(), flags: flags.into() }.as_bytes().to_vec()
}

/// What somebody else wrote.
///
/// # Errors
///
/// What the bytes say that cannot be.
pub(crate) fn decode(record: &Record<'_>) -> Result<State, PayloadError> {
    if record.version != NEWEST {
        return Err(PayloadError::Version { version: record.version });
    }
    let found = ByteLen::of(record.payload.len());
    let wrong = PayloadError::Length { found, expected: MOST_BYTES };
    let RecordV1 { count, flags } = RecordV1::read_from_bytes(record.payload).map_err(|_| wrong)?;
    let (count, flags) = (count.get(), flags.get());
    if count == u64::MAX {
        return Err(PayloadError::Impossible { why: "no eventfd counts so far" });
    }
    if flags & !(SEMAPHORE | NONBLOCK | CLOSE_ON_EXEC) != 0 {
        return Err(PayloadError::Impossible { why: "it has flags that no eventfd has" });
    }
    let has = |flag| flags & flag != 0;
    Ok(State { count, semaphore: has(SEMAPHORE), nonblock: has(NONBLOCK), close_on_exec: has(CLOSE_ON_EXEC) })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &[u8] = include_bytes!("../golden/eventfd-v1/one.bin");

    fn one() -> State {
        State { count: 0x0123_4567_89AB_CDEF, semaphore: true, nonblock: false, close_on_exec: true }
    }

    fn read(payload: &[u8]) -> Result<State, PayloadError> {
        decode(&Record { version: NEWEST, payload })
    }

    #[test]
    fn released_bytes_are_written_and_read() {
        assert_eq!(encode(one()), ONE);
        assert_eq!(read(ONE), Ok(one()));
    }

    #[test]
    fn other_lengths_and_versions_are_refused() {
        for len in (0..ONE.len()).chain([ONE.len() + 1]) {
            let mut payload = ONE.to_vec();
            payload.resize(len, 0);
            assert!(matches!(read(&payload), Err(PayloadError::Length { .. })), "{len}");
        }
        let record = Record { version: Version(2), payload: ONE };
        assert_eq!(decode(&record), Err(PayloadError::Version { version: Version(2) }));
    }

    #[test]
    fn what_no_eventfd_has_is_refused() {
        let (full, mut strange) = ([0xFF; 8], ONE.to_vec());
        let counts_too_far = [full.as_slice(), &[0; 8]].concat();
        strange[8] |= 8;
        for payload in [counts_too_far, strange] {
            assert!(matches!(read(&payload), Err(PayloadError::Impossible { .. })), "{payload:?}");
        }
    }
}
