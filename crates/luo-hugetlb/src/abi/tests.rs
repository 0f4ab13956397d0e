//! Payloads: released bytes, and bytes that nobody wrote.

use alloc::format;
use alloc::vec;
use alloc::vec::Vec;

use luo_kho::{ByteLen, FrameRange, Name as Known};
use proptest::prelude::*;

use super::*;
use crate::pool::NodeCount;
use crate::{Access, Moment, Name, Node, Owner, Path, Seals, Status, Times};

const REFERENCE: &[u8] = include_bytes!("../../../../tests/golden/hugetlb-v1/reference.bin");
const COPY: &[u8] = include_bytes!("../../../../tests/golden/hugetlb-v1/copy.bin");
const STAND_IN: &[u8] = include_bytes!("../../../../tests/golden/hugetlb-v1/stand-in.bin");
const HOLE: &[u8] = include_bytes!("../../../../tests/golden/hugetlb-v1/hole.bin");
const COUNTS: &[u8] = include_bytes!("../../../../tests/golden/hugetlb-v1/counts.bin");
const RELEASED: [&[u8]; 4] = [REFERENCE, COPY, STAND_IN, HOLE];

fn guest() -> Payload {
    Payload {
        attributes: Attributes {
            size: 0x1_2340_0000,
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
        page_size: PageSize::MIB_2,
        place: Place::Memfd(Name::new("guest").unwrap()),
        placement: [(Node(0), 0x55), (Node(3), 1)].into_iter().collect(),
        form: Form::Segment(FrameRange::from_bounds(0x4_0000, 0x5_2340).unwrap()),
    }
}

fn mounted(path: Option<&str>) -> Place {
    let path = path.map(|path| Path::new(path).unwrap());
    Place::Mounted { mount: Path::new("/dev/hugepages").unwrap(), path, inode: 0xABC }
}

fn payloads() -> [Payload; 4] {
    let names = |frames| {
        let index = Known::new(0xFFFF_F000);
        Form::Copied(Copied { frames, index, index_len: 1234 * 8, pages: 77, shrunk: 0 })
    };
    let copy = Payload {
        page_size: PageSize::GIB_1,
        attributes: Attributes { size: 3 << 30, close_on_exec: false, ..guest().attributes },
        place: mounted(Some("vm/ram")),
        form: names(Frames::Slots(Known::new(0x7000))),
        ..guest()
    };
    let segment = FrameRange::from_bounds(0x8_0000, 0x9_2340).unwrap();
    let Form::Copied(copied) = names(Frames::StandIn(segment)) else { unreachable!() };
    let stand_in =
        Payload { place: mounted(None), form: Form::Copied(Copied { shrunk: 7, ..copied }), ..guest() };
    let nothing = Copied { frames: Frames::Slots(None), index: None, index_len: 0, pages: 0, shrunk: 0 };
    let hole = Payload {
        attributes: Attributes { access: Access::Read, seals: Seals::KNOWN, ..guest().attributes },
        placement: [(Node::UNKNOWN, u64::MAX)].into_iter().collect(),
        form: Form::Copied(nothing),
        ..guest()
    };
    [guest(), copy, stand_in, hole]
}

fn decode(bytes: &[u8]) -> Result<Payload, PayloadError> {
    Payload::decode(&Record { version: NEWEST, payload: bytes })
}

#[test]
fn version_1_is_written_and_read_as_it_was_released() {
    for (payload, released) in payloads().into_iter().zip(RELEASED) {
        assert_eq!(payload.encode(NEWEST).unwrap(), released);
        let most = Payload::most_bytes(NEWEST, &payload.place, payload.placement.iter().len());
        assert!(ByteLen::of(released.len()) <= most);
        assert_eq!(decode(released), Ok(payload));
    }
}

fn read(payload: &[u8], version: Version) -> Result<(PageSize, Vec<NodeCount>), PayloadError> {
    counts::decode(&Record { version, payload })
}

#[test]
fn counts_are_written_and_read_as_they_were_released() {
    let count = |node, kept, copied| NodeCount { node, kept, copied };
    let all = [count(0, 7, 0), count(1, 0, 8), count(u32::MAX, 1, 1)];
    assert_eq!(counts::encode(PageSize::MIB_2, &all), COUNTS);
    assert_eq!(read(COUNTS, NEWEST), Ok((PageSize::MIB_2, all.to_vec())));
    assert_eq!(read(COUNTS, Version(2)), Err(PayloadError::Version { version: Version(2) }));
    for len in 0..COUNTS.len() {
        assert!(matches!(read(&COUNTS[..len], NEWEST), Err(PayloadError::Length { .. })), "{len}");
    }
    for (at, byte) in [(0, 12), (1, 1), (12, 1), (32, 0)] {
        let mut bytes = COUNTS.to_vec();
        bytes[at] = byte;
        assert!(matches!(read(&bytes, NEWEST), Err(PayloadError::Impossible { .. })), "{at}");
    }
}

#[test]
fn other_versions_are_neither_written_nor_read() {
    let version = Version(2);
    assert_eq!(guest().encode(version), Err(PayloadError::Version { version }));
    let record = Record { version, payload: REFERENCE };
    assert_eq!(Payload::decode(&record), Err(PayloadError::Version { version }));
}

#[test]
fn a_payload_of_another_length_is_refused() {
    for released in RELEASED {
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
    let with = |which: usize, at: usize, bytes: &[u8]| {
        let mut payload = RELEASED[which].to_vec();
        payload[at..at + bytes.len()].copy_from_slice(bytes);
        format!("{}", decode(&payload).unwrap_err())
    };
    let max = u64::MAX.to_le_bytes();
    for (found, why) in [
        (with(0, 7, &[0x80]), "no file is so large"),
        (with(0, 0, &[1]), "no file has a part of a huge page"),
        (with(0, 40, &[0x40]), "there are unknown seals"),
        (with(0, 62, &[0]), "there is no such form"),
        (with(0, 63, &[12]), "there are no pages of such a size"),
        (with(0, 63, &[63]), "there are no pages of such a size"),
        (with(0, 64, &max), "no segment has such frames"),
        (with(0, 72, &[0; 8]), "no segment has such frames"),
        (with(0, 88, &[1]), "a segment has no page map"),
        (with(0, 104, &[1]), "a segment has no page map"),
        (with(0, 112, &[1]), "a memfd has a name and nothing else"),
        (with(0, 120, &[0]), "there is no such place"),
        (with(0, 121, &[1]), "there is something where nothing should be"),
        (with(0, 128, &[0]), "no memfd has such a name"),
        (with(0, 133, &[1]), "there is something where nothing should be"),
        (with(0, 136, &[4]), "nodes do not ascend"),
        (with(0, 140, &[1]), "a node has no pages, or something else"),
        (with(0, 160, &[0]), "a node has no pages, or something else"),
        (with(0, 144, &max), "no file has so many pages"),
        (with(1, 72, &[1]), "a store has slots and an index, each with a name, and nothing else"),
        (with(1, 80, &[0; 8]), "a store has slots and an index, each with a name, and nothing else"),
        (with(1, 128, b"d"), "nothing is mounted there"),
        (with(1, 142, b"/.."), "no file has such a path"),
        (with(2, 80, &[0; 8]), "a stand-in has an index, with a name"),
        (with(2, 104, &[78]), "no pool shrinks by more pages than were freed"),
        (with(2, 120, &[2]), "no file has such a path"),
        (with(3, 96, &[1]), "a store has slots and an index, each with a name, and nothing else"),
    ] {
        assert_eq!(found, format!("the payload is impossible: {why}"));
    }
}

proptest! {
    /// Whatever is believed is written again as it was read: there are no two ways to say the same.
    #[test]
    fn nothing_is_believed_that_would_be_written_otherwise(
        places in prop::collection::vec((0usize..144, any::<u8>()), 0..6),
        which in 0usize..4
    ) {
        let mut bytes: Vec<u8> = RELEASED[which].to_vec();
        for (at, byte) in places {
            bytes[at] = byte;
        }
        if let Ok(payload) = decode(&bytes) {
            prop_assert_eq!(payload.encode(NEWEST).unwrap(), bytes);
        }
    }

    #[test]
    fn any_bytes_of_counts_are_refused_or_written_again(
        places in prop::collection::vec((0usize..80, any::<u8>()), 0..6)
    ) {
        let mut bytes: Vec<u8> = COUNTS.to_vec();
        for (at, byte) in places {
            bytes[at] = byte;
        }
        if let Ok((size, all)) = counts::decode(&Record { version: NEWEST, payload: &bytes }) {
            prop_assert_eq!(counts::encode(size, &all), bytes);
        }
    }
}
