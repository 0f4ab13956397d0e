//! Payloads: released bytes, and bytes that nobody wrote.

use alloc::format;
use alloc::vec;

use luo_kho::Name as Place;
use luo_xarray::page_map::StoreNames;
use proptest::prelude::*;

use super::*;
use crate::{Access, MODE_BITS, Moment, NAME_MAX, Owner, Seals, Status, Times};

const REFERENCE: &[u8] = include_bytes!("../../../../tests/golden/memfd-v1/reference.bin");
const COPY: &[u8] = include_bytes!("../../../../tests/golden/memfd-v1/copy.bin");
const HOLE: &[u8] = include_bytes!("../../../../tests/golden/memfd-v1/hole.bin");

fn guest() -> Payload {
    Payload {
        attributes: Attributes {
            size: 0x1_2345_6789,
            blocks: 0,
            position: 0x1234,
            seals: Seals::SHRINK | Seals::GROW,
            mode: 0o640,
            owner: Owner { user: 1000, group: 100 },
            times: Times {
                accessed: Moment { seconds: 1_700_000_000, nanoseconds: 999_999_999 },
                modified: Moment { seconds: -1, nanoseconds: 1 },
            },
            access: Access::ReadWrite,
            status: Status::APPEND | Status::NONBLOCK,
            close_on_exec: true,
        },
        name: Name::new("guest").unwrap(),
        form: Form::Segment(FrameRange::from_bounds(0x4_0000, 0x5_2346).unwrap()),
    }
}

fn copied() -> Payload {
    let mut payload = guest();
    payload.attributes.access = Access::Read;
    payload.attributes.close_on_exec = false;
    payload.form = Form::Store(StoreNames {
        slots: Place::new(0x7000),
        index: Place::new(0xFFFF_F000),
        index_len: 1234 * 8,
        pages: 77,
    });
    payload
}

fn hole() -> Payload {
    let mut payload = guest();
    payload.attributes.access = Access::Write;
    payload.attributes.status = Status::KNOWN;
    payload.attributes.seals = Seals::KNOWN;
    payload.attributes.mode = MODE_BITS;
    payload.name = Name::new(vec![b'n'; NAME_MAX]).unwrap();
    payload.form = Form::Store(StoreNames::NONE);
    payload
}

fn decode(bytes: &[u8]) -> Result<Payload, PayloadError> {
    Payload::decode(&Record { version: NEWEST, payload: bytes })
}

#[test]
fn version_1_is_written_and_read_as_it_was_released() {
    for (payload, released) in [(guest(), REFERENCE), (copied(), COPY), (hole(), HOLE)] {
        assert_eq!(payload.encode(NEWEST).unwrap(), released);
        assert_eq!(decode(released), Ok(payload));
        assert!(ByteLen::of(released.len()) <= Payload::most_bytes(NEWEST));
    }
    assert_eq!(ByteLen::of(HOLE.len()), Payload::most_bytes(NEWEST), "no name is longer");
}

#[test]
fn other_versions_are_neither_written_nor_read() {
    let version = Version(2);
    assert_eq!(guest().encode(version), Err(PayloadError::Version { version }));
    assert_eq!(
        Payload::decode(&Record { version, payload: REFERENCE }),
        Err(PayloadError::Version { version })
    );
}

#[test]
fn a_payload_of_another_length_is_refused() {
    for released in [REFERENCE, COPY, HOLE] {
        for len in 0..released.len() {
            assert!(matches!(decode(&released[..len]), Err(PayloadError::Length { .. })), "{len}");
        }
        for more in 1..20 {
            let longer = [released, &vec![0; more]].concat();
            assert!(matches!(decode(&longer), Err(PayloadError::Length { .. })), "{more} more");
        }
    }
}

#[test]
fn what_cannot_be_is_refused_and_named() {
    let with = |at: usize, bytes: &[u8]| {
        let mut payload = REFERENCE.to_vec();
        payload[at..at + bytes.len()].copy_from_slice(bytes);
        format!("{}", decode(&payload).unwrap_err())
    };
    let max = u64::MAX.to_le_bytes();
    for (found, why) in [
        (with(7, &[0x80]), "no file is so large"),
        (with(15, &[0x80]), "no file has such a position"),
        (with(32, &1_000_000_000u32.to_le_bytes()), "a second has fewer nanoseconds"),
        (with(40, &[0x40]), "there are unknown seals"),
        (with(45, &[0x80]), "the mode has unknown bits"),
        (with(48, &u32::MAX.to_le_bytes()), "no user and no group has such a number"),
        (with(52, &u32::MAX.to_le_bytes()), "no user and no group has such a number"),
        (with(59, &[0x80]), "there are unknown status flags"),
        (with(60, &[3]), "there is no such access"),
        (with(61, &[2]), "close on exec is neither yes nor no"),
        (with(62, &[0]), "there is no such form"),
        (with(62, &[2]), "a store has slots and an index, each with a name"),
        (with(63, &[4]), "there is something behind the name"),
        (with(64, &max), "no segment has such frames"),
        (with(72, &[0; 8]), "no segment has such frames"),
        (with(80, &[1]), "a segment has no page map"),
        (with(88, &[1]), "a segment has no page map"),
        (with(97, &[0]), "no memfd has such a name"),
    ] {
        assert_eq!(found, format!("the payload is impossible: {why}"));
    }
}

proptest! {
    /// Whatever is believed is written again as it was read: there are no two ways to say the same.
    #[test]
    fn nothing_is_believed_that_would_be_written_otherwise(
        places in prop::collection::vec((0usize..104, any::<u8>()), 0..6),
        which in 0usize..3
    ) {
        let mut bytes = [REFERENCE, COPY, HOLE][which].to_vec();
        for (at, byte) in places {
            bytes[at] = byte;
        }
        if let Ok(payload) = decode(&bytes) {
            prop_assert_eq!(payload.encode(NEWEST).unwrap(), bytes);
        }
    }
}
