//! The waybill: the list of descriptors that cross, and what each of them is.
//!
//! The same bytes are sent over a line and lie at rest for a program that is started by exec. They are packets of kind
//! `Cargo`, whose bodies are entries of 104 bytes, little-endian:
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 4 | role: 1 arena, 2 word page, 3 bell, 4 guardian, 5 segment, 6 named by the embedder |
//! | 4 | 4 | number of the descriptor, where it crosses under a number |
//! | 8 | 8 | device of its inode |
//! | 16 | 8 | its inode |
//! | 24 | 8 | first frame of a segment |
//! | 32 | 8 | frames of a segment; of the arena, those that it may grow to |
//! | 40 | 64 | name, UTF-8, filled up with zeros |
//!
//! Device and inode are checked on arrival: a number that was closed and used again is noticed, unless both are of
//! the sort that has no inode of its own (eventfds, timerfds).

use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use rustix::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use rustix::fs::fstat;
use rustix::io::Errno;
use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::line::packet::{BODY, Kind, Packet};
use super::line::{BATCH, LineError};
use crate::{FrameCount, FrameRange, Pfn};

/// Bytes of a name, at most.
pub(super) const NAME: usize = 64;
/// Descriptors that may cross at once: more than any default limit on open files lets a program have.
pub(super) const MOST: usize = 1 << 16;

/// What a descriptor is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// With the frames that it may grow to: a hint, for mapping it before it may be read.
    Arena(FrameCount),
    Word,
    /// An eventfd that the successor rings after its commit.
    Bell,
    /// A pidfd of the guardian, for whoever has to reap it.
    Guardian,
    Segment(FrameRange),
    Named(String),
}

/// A descriptor that is about to cross.
pub(super) type Load<'f> = (Role, BorrowedFd<'f>);

#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct EntryV1 {
    role: U32,
    number: U32,
    dev: U64,
    ino: U64,
    start: U64,
    count: U64,
    name: [u8; NAME],
}

const _: () = {
    use core::mem::offset_of;
    assert!(size_of::<EntryV1>() == 104);
    assert!(offset_of!(EntryV1, number) == 4);
    assert!(offset_of!(EntryV1, dev) == 8);
    assert!(offset_of!(EntryV1, ino) == 16);
    assert!(offset_of!(EntryV1, start) == 24);
    assert!(offset_of!(EntryV1, count) == 32);
    assert!(offset_of!(EntryV1, name) == 40);
    assert!(BATCH * size_of::<EntryV1>() <= BODY);
};

/// One line of the waybill, checked in itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) role: Role,
    /// Under which number it crosses.
    pub(super) number: i32,
    identity: (u64, u64),
}

/// Everything that arrived, each thing in its place.
#[derive(Debug)]
pub(super) struct Cargo {
    pub(super) arena: OwnedFd,
    pub(super) capacity: FrameCount,
    pub(super) word: OwnedFd,
    pub(super) bell: Option<OwnedFd>,
    pub(super) guardian: Option<OwnedFd>,
    pub(super) segments: Vec<(FrameRange, OwnedFd)>,
    pub(super) named: BTreeMap<String, OwnedFd>,
}

/// Whether this can be the name of a descriptor.
pub(super) fn is_name(name: &str) -> bool {
    (1..=NAME).contains(&name.len()) && !name.contains('\0')
}

/// The packets of a waybill, and after each packet the loads that it is about.
///
/// # Errors
///
/// The host's, if a descriptor cannot be looked at.
pub(super) fn packets<'l, 'f>(
    loads: &'l [Load<'f>],
) -> impl Iterator<Item = Result<(Vec<u8>, &'l [Load<'f>]), Errno>> {
    loads.chunks(BATCH).map(|batch| {
        let mut body = Vec::with_capacity(batch.len() * size_of::<EntryV1>());
        for (role, file) in batch {
            body.extend_from_slice(encode(role, *file)?.as_bytes());
        }
        Ok((body, batch))
    })
}

/// All packets of a waybill, one behind the other.
///
/// # Errors
///
/// The host's, if a descriptor cannot be looked at.
pub(super) fn at_rest(loads: &[Load<'_>]) -> Result<Vec<u8>, Errno> {
    let parts = parts(loads.len());
    let mut bytes = Vec::new();
    for (part, packet) in (0..).zip(packets(loads)) {
        let (body, _) = packet?;
        bytes.extend(Packet { kind: Kind::Cargo, part, parts, body: &body }.encode());
    }
    Ok(bytes)
}

/// Packets of a waybill of so many descriptors.
pub(super) fn parts(loads: usize) -> u32 {
    u32::try_from(loads.div_ceil(BATCH)).unwrap_or(u32::MAX)
}

fn encode(role: &Role, file: BorrowedFd<'_>) -> Result<EntryV1, Errno> {
    let stat = fstat(file)?;
    let mut entry = EntryV1 {
        role: 0.into(),
        number: file.as_raw_fd().cast_unsigned().into(),
        dev: stat.st_dev.into(),
        ino: stat.st_ino.into(),
        start: 0.into(),
        count: 0.into(),
        name: [0; NAME],
    };
    entry.role = match role {
        Role::Arena(capacity) => {
            entry.count = capacity.get().into();
            1
        }
        Role::Word => 2,
        Role::Bell => 3,
        Role::Guardian => 4,
        Role::Segment(range) => {
            entry.start = range.start().get().into();
            entry.count = range.count().get().into();
            5
        }
        Role::Named(name) => {
            for (place, byte) in entry.name.iter_mut().zip(name.bytes()) {
                *place = byte;
            }
            6
        }
    }
    .into();
    Ok(entry)
}

/// The entries in the body of a packet.
///
/// # Errors
///
/// What is wrong with it.
pub(super) fn entries(body: &[u8]) -> Result<Vec<Entry>, &'static str> {
    let records = <[EntryV1]>::ref_from_bytes(body).map_err(|_| "its length is not that of whole entries")?;
    records.iter().map(decode).collect()
}

fn decode(record: &EntryV1) -> Result<Entry, &'static str> {
    let EntryV1 { role, number, dev, ino, start, count, name } = record;
    let role = match role.get() {
        1 => Role::Arena(FrameCount::new(count.get()).ok_or("the arena has more frames than there are")?),
        2 => Role::Word,
        3 => Role::Bell,
        4 => Role::Guardian,
        5 => {
            let range = Pfn::new(start.get()).zip(FrameCount::new(count.get()));
            let range = range.and_then(|(start, count)| FrameRange::new(start, count));
            Role::Segment(range.ok_or("a segment has no frames, or such as there are not")?)
        }
        6 => {
            let end = name.iter().position(|&byte| byte == 0).unwrap_or(NAME);
            let (name, padding) = name.split_at_checked(end).unwrap_or((name, &[]));
            let name = core::str::from_utf8(name).ok().filter(|name| is_name(name));
            let name = name.filter(|_| padding.iter().all(|&byte| byte == 0));
            Role::Named(name.ok_or("a name is none")?.to_owned())
        }
        _ => return Err("a role is unknown"),
    };
    let number = i32::try_from(number.get()).map_err(|_| "a descriptor has a number that there is not")?;
    Ok(Entry { role, number, identity: (dev.get(), ino.get()) })
}

/// Reads packets that lie one behind the other.
///
/// # Errors
///
/// What is wrong with them.
pub(super) fn read_at_rest(mut bytes: &[u8]) -> Result<Vec<Entry>, &'static str> {
    let mut all = Vec::new();
    let mut next = 0u32;
    loop {
        let (packet, rest) = Packet::decode(bytes)?;
        if packet.kind != Kind::Cargo || packet.part != next {
            return Err("its packets are out of order");
        }
        all.append(&mut entries(packet.body)?);
        if packet.part + 1 == packet.parts {
            return if rest.is_empty() { Ok(all) } else { Err("something stands behind it") };
        }
        (bytes, next) = (rest, next + 1);
    }
}

impl Cargo {
    /// Puts what arrived in its place, and makes sure that it is what was sent.
    ///
    /// # Errors
    ///
    /// [`LineError::Garbled`], [`LineError::Host`].
    pub(super) fn sort(arrived: impl Iterator<Item = (Entry, OwnedFd)>) -> Result<Self, LineError> {
        let garbled = |why| LineError::Garbled { awaited: "send descriptors", why };
        let (mut arena, mut word, mut bell, mut guardian) = (None, None, None, None);
        let (mut segments, mut named) = (Vec::new(), BTreeMap::new());
        for (Entry { role, number: _, identity }, file) in arrived {
            let stat = fstat(file.as_fd());
            let stat =
                stat.map_err(|errno| LineError::Host { call: "fstat", errno: errno.raw_os_error() })?;
            if identity != (stat.st_dev, stat.st_ino) {
                return Err(garbled("a descriptor is not the file that was meant"));
            }
            let twice = match role {
                Role::Arena(capacity) => arena.replace((file, capacity)).is_some(),
                Role::Word => word.replace(file).is_some(),
                Role::Bell => bell.replace(file).is_some(),
                Role::Guardian => guardian.replace(file).is_some(),
                Role::Segment(range) => {
                    segments.push((range, file));
                    false
                }
                Role::Named(name) => named.insert(name, file).is_some(),
            };
            if twice {
                return Err(garbled("two descriptors are the same thing"));
            }
        }
        let (Some((arena, capacity)), Some(word)) = (arena, word) else {
            return Err(garbled("the arena or the word page is missing"));
        };
        Ok(Self { arena, capacity, word, bell, guardian, segments, named })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> OwnedFd {
        crate::process::memfd::create("x", 0).unwrap()
    }

    fn segment(start: u64) -> Role {
        Role::Segment(FrameRange::from_bounds(start, start + 4).unwrap())
    }

    fn roles(count: u64) -> Vec<Role> {
        let first = [Role::Arena(FrameCount::new(64).unwrap()), Role::Word, Role::Bell, Role::Guardian];
        first
            .into_iter()
            .chain((0..count).map(|n| segment(n << 18)))
            .chain([Role::Named("a".into())])
            .collect()
    }

    #[test]
    fn what_lies_at_rest_is_read_as_it_was_written() {
        let files: Vec<_> = (0..600).map(|_| file()).collect();
        let loads: Vec<Load<'_>> = roles(595).into_iter().zip(files.iter().map(AsFd::as_fd)).collect();
        let bytes = at_rest(&loads).unwrap();
        assert_eq!(bytes.len(), 600 * 104 + 3 * 24, "three packets");
        let entries = read_at_rest(&bytes).unwrap();
        for ((role, file), entry) in loads.iter().zip(&entries) {
            assert_eq!((&entry.role, entry.number), (role, file.as_raw_fd()));
        }
        assert_eq!(entries.len(), loads.len());
        for cut in [0, 1, 23, 24, 25, bytes.len() - 1] {
            assert!(read_at_rest(&bytes[..cut]).is_err(), "{cut} bytes");
        }
        let last = bytes.len() - 88 * 104;
        let swapped = [&bytes[..24 + 253 * 104], &bytes[last..]].concat();
        assert!(read_at_rest(&swapped).is_err(), "a packet is missing");
        assert!(read_at_rest(&[&bytes[..], &bytes[..]].concat()).is_err(), "twice");
    }

    #[test]
    fn the_bytes_of_version_1_never_change() {
        let file = file();
        let entry = encode(&Role::Named("name".into()), file.as_fd()).unwrap();
        let stat = fstat(&file).unwrap();
        let mut expected = Vec::new();
        expected.extend(6u32.to_le_bytes());
        expected.extend(file.as_raw_fd().to_le_bytes());
        for word in [stat.st_dev, stat.st_ino, 0, 0] {
            expected.extend(word.to_le_bytes());
        }
        expected.extend(b"name");
        expected.resize(104, 0);
        assert_eq!(entry.as_bytes(), expected);
        let entry = encode(&segment(7), file.as_fd()).unwrap();
        assert_eq!((entry.role.get(), entry.start.get(), entry.count.get()), (5, 7, 4));
        for (code, role) in (1..).zip(roles(0)) {
            let expected = if code == 5 { 6 } else { code };
            assert_eq!(encode(&role, file.as_fd()).unwrap().role.get(), expected);
        }
    }

    #[test]
    fn entries_that_cannot_be_are_refused() {
        let file = file();
        let good = encode(&Role::Named("name".into()), file.as_fd()).unwrap();
        assert!(entries(good.as_bytes()).is_ok());
        let refused = |change: fn(&mut EntryV1)| {
            let mut entry = good;
            change(&mut entry);
            assert!(entries(entry.as_bytes()).is_err(), "{entry:?}");
        };
        refused(|entry| entry.role = 0.into());
        refused(|entry| entry.role = 7.into());
        refused(|entry| entry.role = 5.into());
        refused(|entry| entry.number = u32::MAX.into());
        refused(|entry| entry.name = [0; NAME]);
        refused(|entry| entry.name = [0xFF; NAME]);
        refused(|entry| entry.name[NAME - 1] = b'x');
        refused(|entry| {
            entry.role = 5.into();
            (entry.start, entry.count) = (u64::MAX.into(), u64::MAX.into());
        });
        refused(|entry| {
            entry.role = 1.into();
            entry.count = u64::MAX.into();
        });
        assert!(entries(&good.as_bytes()[..103]).is_err());
    }

    #[test]
    fn what_arrives_must_be_what_was_sent_each_thing_once_and_nothing_missing() {
        let sort = |entries: &[(Role, bool)]| {
            let sent: Vec<_> = entries
                .iter()
                .map(|(role, same)| {
                    let (file, other) = (file(), file());
                    let entry = decode(&encode(role, file.as_fd()).unwrap()).unwrap();
                    (entry, if *same { file } else { other })
                })
                .collect();
            Cargo::sort(sent.into_iter())
        };
        let arena = || (Role::Arena(FrameCount::ONE), true);
        let word = || (Role::Word, true);
        let named = || (Role::Named("a".into()), true);
        assert!(sort(&[arena(), word(), named()]).is_ok());
        assert!(sort(&[arena()]).is_err(), "no word page");
        assert!(sort(&[word()]).is_err(), "no arena");
        assert!(sort(&[arena(), word(), word()]).is_err());
        assert!(sort(&[arena(), word(), named(), named()]).is_err());
        assert!(sort(&[arena(), (Role::Word, false)]).is_err(), "another file under the same number");
    }
}
