//! Payloads: released bytes, and bytes that nobody wrote.

use alloc::format;
use alloc::vec;

use luo_kho::Name as Place;
use proptest::prelude::*;

use super::*;
use crate::{Binding, FRAMES_END, Flags, Sharing};

const REFERENCE: &[u8] = include_bytes!("../../../../tests/golden/guestmemfd-v1/reference.bin");
const COPY: &[u8] = include_bytes!("../../../../tests/golden/guestmemfd-v1/copy.bin");
const HOLE: &[u8] = include_bytes!("../../../../tests/golden/guestmemfd-v1/hole.bin");

/// Two slots with a gap between them, as of a guest with memory below and above 4 GiB.
fn guest(sharing: Sharing) -> Facts {
    let mut facts = Facts::new(Flags::OPEN, 0x1_2345);
    facts.bind(Binding { slot: 3, frame: 0x10_0000, page: 0x1_0000, count: 0x2345 }).unwrap();
    facts.bind(Binding { slot: 0x1_0000, frame: 0, page: 0, count: 0x8000 }).unwrap();
    facts.share(0x10..0x20, sharing).unwrap();
    facts.share(0x20..0x2000, Sharing::Shared).unwrap();
    facts.share(FRAMES_END - 1..FRAMES_END, sharing).unwrap();
    facts
}

fn referred() -> Payload {
    Payload {
        close_on_exec: true,
        vm: Some(Token(7)),
        form: Form::Segment(FrameRange::from_bounds(0x4_0000, 0x5_2345).unwrap()),
        facts: Arc::new(guest(Sharing::Shared)),
    }
}

fn copied() -> Payload {
    Payload {
        close_on_exec: false,
        vm: Some(Token(0)),
        form: Form::Store(StoreNames {
            slots: Place::new(0x7000),
            index: Place::new(0xFFFF_F000),
            index_len: 1234 * 8,
            pages: 77,
        }),
        facts: Arc::new(guest(Sharing::Private)),
    }
}

fn hole() -> Payload {
    let facts = Arc::new(Facts::new(Flags::NONE, 1));
    Payload { close_on_exec: true, vm: None, form: Form::Store(StoreNames::NONE), facts }
}

fn encode(payload: &Payload) -> Vec<u8> {
    payload.encode(NEWEST, &payload.facts.sharing().encode()).unwrap()
}

fn decode(bytes: &[u8]) -> Result<Payload, RecordError> {
    Payload::decode(&Record { version: NEWEST, payload: bytes })
}

#[test]
fn version_1_is_written_and_read_as_it_was_released() {
    for (payload, released) in [(referred(), REFERENCE), (copied(), COPY), (hole(), HOLE)] {
        assert_eq!(encode(&payload), released);
        assert_eq!(decode(released), Ok(payload.clone()));
        let facts = &payload.facts;
        let most = Payload::most_bytes(NEWEST, facts.bindings().len(), facts.sharing().run_count());
        assert!(ByteLen::of(released.len()) <= most);
    }
}

#[test]
fn other_versions_are_neither_written_nor_read() {
    let version = Version(2);
    assert_eq!(hole().encode(version, &[]), Err(PayloadError::Version { version }));
    let read = Payload::decode(&Record { version, payload: REFERENCE });
    assert_eq!(read, Err(PayloadError::Version { version }.into()));
}

#[test]
fn a_payload_of_another_length_is_refused() {
    for released in [REFERENCE, COPY, HOLE] {
        for len in 0..released.len() {
            assert!(
                matches!(decode(&released[..len]), Err(RecordError::Payload(PayloadError::Length { .. }))),
                "{len}"
            );
        }
        for more in 1..20 {
            let longer = [released, &vec![0; more]].concat();
            assert!(
                matches!(decode(&longer), Err(RecordError::Payload(PayloadError::Length { .. }))),
                "{more} more"
            );
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
        (with(0, &max), "no file has so many pages"),
        (with(0, &[0; 8]), "no file has so many pages"),
        (with(8, &[4]), "there are unknown flags"),
        (with(8, &[1]), "private pages do not cross by reference"),
        (with(24, &[0]), "it has a virtual machine and has none"),
        (with(24, &[2]), "it has a virtual machine and has none"),
        (with(25, &[2]), "close on exec is neither yes nor no"),
        (with(26, &[0]), "there is no such form"),
        (with(26, &[2]), "a store has slots and an index, each with a name"),
        (with(27, &[1]), "what is to be zero is not"),
        (with(28, &[0xFF; 4]), "no guest has so many slots"),
        (with(32, &max), "no segment has such frames"),
        (with(40, &[0; 8]), "no segment has such frames"),
        (with(48, &[1]), "a segment has no page map"),
        (with(56, &[1]), "a segment has no page map"),
        (with(72, &[1]), "what is to be zero is not"),
        (with(84, &[1]), "what is to be zero is not"),
        (with(96, &0x1_1000u64.to_le_bytes()), "bindings do not ascend"),
        (with(104, &max), "slot 0x10000 ends at page 18446744073709551615, the file has 74565"),
        (with(104, &[0; 8]), "slot 0x10000 has no pages"),
        (with(112, &0x1_0000u32.to_le_bytes()), "slot 0x10000 meets the binding of slot 0x10000"),
        (with(120, &max), "guest frames from 0xffffffffffffffff on reach beyond the last one"),
        (with(128, &1u64.to_le_bytes()), "slot 0x3 meets the binding of slot 0x10000"),
        (with(128, &[0; 8]), "slot 0x3 meets the binding of slot 0x10000"),
    ] {
        assert!(found.contains("the payload is impossible: ") && found.contains(why), "{found}: {why}");
    }
}

proptest! {
    /// Whatever is believed is written again as it was read: there are no two ways to say the same.
    #[test]
    fn nothing_is_believed_that_would_be_written_otherwise(
        places in prop::collection::vec((0usize..400, any::<u8>()), 0..6),
        which in 0usize..3
    ) {
        let mut bytes = [REFERENCE, COPY, HOLE][which].to_vec();
        for (at, byte) in places {
            let len = bytes.len();
            bytes[at % len] = byte;
        }
        if let Ok(payload) = decode(&bytes) {
            prop_assert_eq!(encode(&payload), bytes);
        }
    }
}
