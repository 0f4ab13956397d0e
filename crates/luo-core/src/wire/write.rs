//! From the books to the bytes.
//!
//! [`Measure`] says in prepare how large the image can become; [`write()`] makes it in memory that was set aside then,
//! so that sealing allocates nothing.

use alloc::vec::Vec;
use core::mem::size_of;

use luo_kho::Generation;
use luo_kho::checksum::{append, crc32c};
use luo_kho::ownership::Turn;
use zerocopy::{Immutable, IntoBytes};

use super::v1::{
    BLOCK_MAGIC, BlockV1, FileV1, HeadV1, LinkV1, NameV1, ObjectV1, Section, SessionV1, SharedV1,
    SubsystemV1, VERSION,
};
use crate::luo::SubsystemEntry;
use crate::manifest::Role;
use crate::outgoing::{Outgoing, Saved};
use crate::registry::Handlers;
use crate::{Cause, Kind, Map};

/// The books, as the writer sees them.
#[derive(Clone, Copy)]
pub(crate) struct Books<'a> {
    pub(crate) subsystems: &'a Map<Kind, SubsystemEntry>,
    pub(crate) out: &'a Outgoing,
    pub(crate) handlers: &'a Handlers,
}

/// How much there is to write, with every payload at its largest.
pub(crate) struct Measure {
    pub(crate) bytes: u64,
}

/// Files are counted in 32 bits within a block, and so are objects and links.
const COUNT_MAX: u64 = u32::MAX as u64;

impl Books<'_> {
    fn all_saved(&self) -> impl Iterator<Item = &Saved> {
        let subsystems = self.subsystems.values().map(|entry| &entry.saved);
        let shared = self.out.shared.iter().map(|(_, shared)| &shared.saved);
        subsystems.chain(shared).chain(self.files().map(|(_, entry)| &entry.saved))
    }

    fn files(&self) -> impl Iterator<Item = (crate::Token, &crate::outgoing::FileOut)> {
        let sessions = self.out.sessions.values();
        sessions.flat_map(|books| books.files.iter().map(|(token, entry)| (*token, &**entry)))
    }

    fn names(&self) -> impl Iterator<Item = (Role, Kind)> {
        let subsystems = self.subsystems.keys().map(|kind| (Role::Subsystem, *kind));
        let shared = self.out.shared.iter().map(|(kind, _)| (Role::Shared, kind));
        subsystems.chain(shared).chain(self.handlers.kinds().map(|kind| (Role::Handler, kind)))
    }

    fn first_handler_name(&self) -> usize {
        self.subsystems.len() + self.out.shared.len()
    }
}

impl Measure {
    /// # Errors
    ///
    /// [`Cause::TooMany`].
    pub(crate) fn of(books: Books<'_>) -> Result<Self, Cause> {
        let files = books.files().count() as u64;
        let objects: u64 = books.all_saved().map(|saved| saved.slots.len() as u64).sum();
        let links: u64 = books.files().map(|(_, f)| books.handlers.at(f.handler).leans_on.len() as u64).sum();
        for (what, found) in [("files", files), ("payloads", objects), ("links to shared objects", links)] {
            countable(what, found)?;
        }
        let counted = [
            (1, size_of::<HeadV1>()),
            (books.names().count() as u64, size_of::<NameV1>()),
            (books.subsystems.len() as u64, size_of::<SubsystemV1>()),
            (books.out.shared.len() as u64, size_of::<SharedV1>()),
            (books.out.sessions.len() as u64, size_of::<SessionV1>()),
            (files, size_of::<FileV1>()),
            (links, size_of::<LinkV1>()),
            (objects, size_of::<ObjectV1>()),
        ];
        let records: u64 = counted.iter().map(|(count, size)| count * *size as u64).sum();
        let headers = (counted.len() as u64 + 1) * size_of::<BlockV1>() as u64;
        let payloads: u64 = books.all_saved().map(|saved| saved.slots.reserved_bytes()).sum();
        Ok(Self { bytes: headers + records + payloads })
    }
}

const fn countable(what: &'static str, found: u64) -> Result<(), Cause> {
    if found <= COUNT_MAX { Ok(()) } else { Err(Cause::TooMany { what, found, max: COUNT_MAX }) }
}

/// Writes the image into `out`, which has room for it.
pub(crate) fn write(books: Books<'_>, generation: Generation, turn: Turn, out: &mut Vec<u8>) {
    out.clear();
    let head = HeadV1 { generation: generation.into(), turn: turn.get().into() };
    block(out, Section::Head, core::iter::once(head));
    block(out, Section::Names, books.names().map(|(role, kind)| name(role.code(), kind)));
    let subsystems = books
        .subsystems
        .values()
        .map(|entry| SubsystemV1 { objects: count(entry.saved.slots.len()).into(), reserved: 0.into() });
    block(out, Section::Subsystems, subsystems);
    let shared = books.out.shared.iter().map(|(_, shared)| SharedV1 {
        objects: count(shared.saved.slots.len()).into(),
        reserved: 0.into(),
        files: shared.files.into(),
    });
    block(out, Section::Shared, shared);
    let sessions = books.out.sessions.iter().map(|(name, session)| {
        let mut text = [0; 64];
        copy_text(&mut text, name.as_str());
        SessionV1 { files: (session.files.len() as u64).into(), name: text }
    });
    block(out, Section::Sessions, sessions);
    write_files(books, out);
    write_payloads(books, out);
}

fn write_files(books: Books<'_>, out: &mut Vec<u8>) {
    let first_name = books.first_handler_name();
    let files = books.files().map(|(token, entry)| FileV1 {
        token: token.0.into(),
        name: count(first_name + entry.handler).into(),
        objects: short(entry.saved.slots.len()).into(),
        links: short(books.handlers.at(entry.handler).leans_on.len()).into(),
    });
    block(out, Section::Files, files);
    let links = books.files().flat_map(|(_, entry)| {
        books.handlers.at(entry.handler).leans_on.iter().map(|kind| {
            let shared =
                books.out.shared.position(*kind).expect("a preserved file leans on objects that are alive");
            LinkV1 { shared: count(shared).into(), reserved: 0.into() }
        })
    });
    block(out, Section::Links, links);
}

fn write_payloads(books: Books<'_>, out: &mut Vec<u8>) {
    let payloads = || books.all_saved().flat_map(|saved| saved.slots.payloads());
    let objects = payloads().map(|(version, payload)| ObjectV1 {
        version: version.0.into(),
        reserved: 0.into(),
        len: count(payload.len()).into(),
        crc: crc32c(payload).into(),
        reserved2: 0.into(),
    });
    block(out, Section::Objects, objects);
    let at = open_block(out);
    let mut items = 0;
    for (_, payload) in payloads() {
        out.extend_from_slice(payload);
        out.resize(out.len().next_multiple_of(8), 0);
        items += 1;
    }
    close_block(out, at, Section::Payloads, items);
}

/// A name; its role as a code, 0 where it has none.
pub(super) fn name(role: u8, kind: Kind) -> NameV1 {
    let mut text = [0; 47];
    copy_text(&mut text, kind.as_str());
    NameV1 { role, text }
}

fn copy_text(into: &mut [u8], text: &str) {
    for (to, from) in into.iter_mut().zip(text.bytes()) {
        *to = from;
    }
}

/// Lossless: [`Measure`] refused what does not fit, and payloads are at most 16 MiB.
fn count(number: usize) -> u32 {
    u32::try_from(number).expect("measured before")
}

fn short(number: usize) -> u16 {
    u16::try_from(number).expect("versions and shared objects have 16-bit numbers of their own")
}

fn block<T: IntoBytes + Immutable>(out: &mut Vec<u8>, section: Section, items: impl Iterator<Item = T>) {
    let at = open_block(out);
    let mut count = 0;
    for item in items {
        out.extend_from_slice(item.as_bytes());
        count += 1;
    }
    close_block(out, at, section, count);
}

fn open_block(out: &mut Vec<u8>) -> usize {
    let at = out.len();
    out.resize(at + size_of::<BlockV1>(), 0);
    at
}

fn close_block(out: &mut [u8], at: usize, section: Section, count: u32) {
    let Some((header, body)) =
        out.get_mut(at..).and_then(|block| block.split_at_mut_checked(size_of::<BlockV1>()))
    else {
        unreachable!("open_block made room for the header");
    };
    let mut block = BlockV1 {
        magic: BLOCK_MAGIC.into(),
        version: VERSION.into(),
        section: section.code().into(),
        len: (body.len() as u64).into(),
        count: count.into(),
        crc: 0.into(),
    };
    let covered = if section == Section::Payloads { &[] } else { &*body };
    block.crc = append(crc32c(block.as_bytes()), covered).into();
    header.copy_from_slice(block.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_32_bits_can_count_is_written() {
        for found in [0, 1, COUNT_MAX] {
            assert!(countable("files", found).is_ok(), "{found}");
        }
        for found in [COUNT_MAX + 1, u64::MAX] {
            let error = countable("files", found).unwrap_err();
            assert!(
                matches!(error, Cause::TooMany { what: "files", max: 0xFFFF_FFFF, .. }),
                "{found}: {error}"
            );
        }
    }
}
