//! From bytes that arrived to an image that is believed.
//!
//! Everything is checked once, in one pass over the blocks: order, lengths, checksums, counts that have to agree,
//! reserved bytes. What depends on the registry is not looked at here. Payload bytes are checked when they are asked
//! for, so that damage isolates one participant.

use alloc::vec::Vec;
use core::mem::size_of;
use core::ops::Range;

use luo_kho::checksum::{append, crc32c};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::check::WireError;
use super::v1::{
    BLOCK_MAGIC, BlockV1, FileV1, HeadV1, LinkV1, NameV1, ObjectV1, RootV1, Section, SessionV1, SharedV1,
    SubsystemV1, VERSION,
};
use crate::manifest::Role;
use crate::{Kind, Version};

/// An image whose structure is believed. It owns the bytes; the records are views.
pub(crate) struct Image {
    bytes: Vec<u8>,
    names: Vec<(Role, Kind)>,
    subsystems: Range<usize>,
    shared: Range<usize>,
    sessions: Range<usize>,
    files: Range<usize>,
    links: Range<usize>,
    objects: Vec<Object>,
}

/// One payload in one version. Its bytes are not believed before [`Image::payload`] has checked them.
#[derive(Clone, Debug)]
pub(crate) struct Object {
    pub(crate) version: Version,
    bytes: Range<usize>,
    crc: u32,
}

/// Reads block after block.
struct Blocks<'a> {
    bytes: &'a [u8],
    at: usize,
}

fn impossible(section: Section, why: &'static str) -> WireError {
    WireError::Impossible { section: section.name(), why }
}

fn check(holds: bool, section: Section, why: &'static str) -> Result<(), WireError> {
    if holds { Ok(()) } else { Err(impossible(section, why)) }
}

impl Blocks<'_> {
    /// The body of the next block, as a range of the bytes, and how many items it says it has.
    fn next(&mut self, section: Section) -> Result<(Range<usize>, u32), WireError> {
        let truncated = WireError::Truncated { section: section.name() };
        let rest = self.bytes.get(self.at..).ok_or_else(|| truncated.clone())?;
        let (block, body) = BlockV1::ref_from_prefix(rest).map_err(|_| truncated.clone())?;
        let not_a_block =
            |found: u64, wanted: u64| WireError::NotABlock { section: section.name(), found, wanted };
        if block.magic.get() != BLOCK_MAGIC {
            return Err(not_a_block(block.magic.get().into(), BLOCK_MAGIC.into()));
        }
        if block.version.get() != VERSION {
            return Err(WireError::Version { found: block.version.get() });
        }
        if block.section.get() != section.code() {
            return Err(not_a_block(block.section.get().into(), section.code().into()));
        }
        let len = usize::try_from(block.len.get()).map_err(|_| truncated.clone())?;
        check(len.is_multiple_of(8), section, "length is no multiple of 8")?;
        let body = body.get(..len).ok_or(truncated)?;
        let covered = if section == Section::Payloads { &[] } else { body };
        let computed = append(crc32c(BlockV1 { crc: 0.into(), ..*block }.as_bytes()), covered);
        let found = block.crc.get();
        if found != computed {
            return Err(WireError::Checksum { section: section.name(), found, computed });
        }
        let start = self.at + size_of::<BlockV1>();
        self.at = start + len;
        Ok((start..self.at, block.count.get()))
    }

    /// The next block, which holds nothing but so many `T`.
    fn items<T: FromBytes + Immutable + KnownLayout + Unaligned>(
        &mut self,
        section: Section,
    ) -> Result<(Range<usize>, &[T]), WireError> {
        let (range, count) = self.next(section)?;
        let items =
            view::<T>(self.bytes, &range).ok_or_else(|| impossible(section, "no whole number of items"))?;
        check(items.len() as u64 == u64::from(count), section, "count and length disagree")?;
        Ok((range, items))
    }
}

fn view<'a, T: FromBytes + Immutable + KnownLayout + Unaligned>(
    bytes: &'a [u8],
    range: &Range<usize>,
) -> Option<&'a [T]> {
    <[T]>::ref_from_bytes(bytes.get(range.clone())?).ok()
}

/// Sums counts that arrived; `None` past what 64 bits can say.
fn total(mut counts: impl Iterator<Item = u64>) -> Option<u64> {
    counts.try_fold(0u64, u64::checked_add)
}

impl Image {
    pub(crate) fn read(bytes: Vec<u8>, root: &RootV1) -> Result<Self, WireError> {
        let mut blocks = Blocks { bytes: &bytes, at: 0 };
        read_head(&mut blocks, root)?;
        let (_, names) = blocks.items::<NameV1>(Section::Names)?;
        let names = read_names(names)?;
        let (subsystems, found) = blocks.items::<SubsystemV1>(Section::Subsystems)?;
        check(
            found.iter().all(|item| item.reserved.get() == 0),
            Section::Subsystems,
            "reserved bytes are not 0",
        )?;
        let of_subsystems = total(found.iter().map(|item| item.objects.get().into()));
        let (shared, found) = blocks.items::<SharedV1>(Section::Shared)?;
        check(
            found.iter().all(|item| item.reserved.get() == 0),
            Section::Shared,
            "reserved bytes are not 0",
        )?;
        let of_shared = total(found.iter().map(|item| item.objects.get().into()));
        let (sessions, found) = blocks.items::<SessionV1>(Section::Sessions)?;
        let in_sessions = total(found.iter().map(|item| item.files.get()));
        let (files, found) = blocks.items::<FileV1>(Section::Files)?;
        check(in_sessions == Some(found.len() as u64), Section::Sessions, "sessions and files disagree")?;
        let of_files = total(found.iter().map(|item| item.objects.get().into()));
        let linked = total(found.iter().map(|item| item.links.get().into()));
        let (links, found) = blocks.items::<LinkV1>(Section::Links)?;
        check(linked == Some(found.len() as u64), Section::Links, "files and links disagree")?;
        let (_, found) = blocks.items::<ObjectV1>(Section::Objects)?;
        let owned =
            total([of_subsystems, of_shared, of_files].into_iter().map(|count| count.unwrap_or(u64::MAX)));
        check(owned == Some(found.len() as u64), Section::Objects, "participants and payloads disagree")?;
        let found = found.to_vec();
        let (payloads, count) = blocks.next(Section::Payloads)?;
        check(u64::from(count) == found.len() as u64, Section::Payloads, "count and payloads disagree")?;
        let objects = read_objects(&bytes, &found, payloads)?;
        let left = (bytes.len() - blocks.at) as u64;
        if left > 0 {
            return Err(WireError::TrailingBytes { bytes: left });
        }
        let image = Self { bytes, names, subsystems, shared, sessions, files, links, objects };
        image.check_names()?;
        image.check_links()?;
        Ok(image)
    }

    pub(crate) fn subsystems(&self) -> &[SubsystemV1] {
        view(&self.bytes, &self.subsystems).unwrap_or_default()
    }

    pub(crate) fn shared(&self) -> &[SharedV1] {
        view(&self.bytes, &self.shared).unwrap_or_default()
    }

    pub(crate) fn sessions(&self) -> &[SessionV1] {
        view(&self.bytes, &self.sessions).unwrap_or_default()
    }

    pub(crate) fn files(&self) -> &[FileV1] {
        view(&self.bytes, &self.files).unwrap_or_default()
    }

    pub(crate) fn links(&self) -> &[LinkV1] {
        view(&self.bytes, &self.links).unwrap_or_default()
    }

    pub(crate) fn objects(&self) -> &[Object] {
        &self.objects
    }

    /// Name number `index`, if there is one and it is that of such a participant. Subsystems come first, then shared
    /// objects, then handlers.
    pub(crate) fn name(&self, index: usize, role: Role) -> Option<Kind> {
        self.names.get(index).filter(|(found, _)| *found == role).map(|(_, kind)| *kind)
    }

    /// The bytes of a payload; `None` if they are damaged.
    pub(crate) fn payload(&self, object: &Object) -> Option<&[u8]> {
        let payload = self.payload_as_it_is(object);
        (crc32c(payload) == object.crc).then_some(payload)
    }

    /// The bytes of a payload of which it is known whether they are damaged: nobody changes them any more.
    pub(crate) fn payload_as_it_is(&self, object: &Object) -> &[u8] {
        self.bytes.get(object.bytes.clone()).unwrap_or_default()
    }

    /// Whatever stands behind the names of subsystems and shared objects is the name of a handler. Those before are
    /// asked for one by one.
    fn check_names(&self) -> Result<(), WireError> {
        let participants = self.subsystems().len() + self.shared().len();
        let mut rest = self.names.iter().skip(participants);
        check(rest.all(|(role, _)| *role == Role::Handler), Section::Names, "names and participants disagree")
    }

    /// Each shared object is leaned on as often as it says, and by somebody.
    fn check_links(&self) -> Result<(), WireError> {
        let shared = self.shared();
        let mut counted = alloc::vec![0u64; shared.len()];
        for link in self.links() {
            check(link.reserved.get() == 0, Section::Links, "reserved bytes are not 0")?;
            let count = counted.get_mut(link.shared.get() as usize);
            *count.ok_or_else(|| impossible(Section::Links, "a link names no shared object"))? += 1;
        }
        let agree = shared.iter().zip(&counted).all(|(item, count)| item.files.get() == *count && *count > 0);
        check(agree, Section::Shared, "links and counts disagree")
    }
}

fn read_head(blocks: &mut Blocks<'_>, root: &RootV1) -> Result<(), WireError> {
    let (_, head) = blocks.items::<HeadV1>(Section::Head)?;
    let [head] = head else { return Err(impossible(Section::Head, "not exactly one")) };
    if head.generation != root.generation || head.turn != root.turn {
        return Err(WireError::MixedMoments { root_turn: root.turn.get(), image_turn: head.turn.get() });
    }
    Ok(())
}

fn read_names(found: &[NameV1]) -> Result<Vec<(Role, Kind)>, WireError> {
    let mut names = Vec::with_capacity(found.len());
    let mut seen = crate::Set::default();
    for item in found {
        let role = Role::from_code(item.role).ok_or_else(|| impossible(Section::Names, "unknown role"))?;
        let kind = Kind::from_padded(&item.text).ok_or_else(|| impossible(Section::Names, "not a name"))?;
        if !seen.insert((role, kind)) {
            return Err(WireError::DuplicateName { kind });
        }
        names.push((role, kind));
    }
    Ok(names)
}

fn read_objects(bytes: &[u8], found: &[ObjectV1], payloads: Range<usize>) -> Result<Vec<Object>, WireError> {
    let mut objects = Vec::with_capacity(found.len());
    let mut at = payloads.start;
    for item in found {
        check(
            item.reserved.get() == 0 && item.reserved2.get() == 0,
            Section::Objects,
            "reserved bytes are not 0",
        )?;
        let end = at.saturating_add(item.len.get() as usize);
        let next = end.checked_next_multiple_of(8).unwrap_or(usize::MAX);
        check(next <= payloads.end, Section::Objects, "payloads are longer than their block")?;
        let padding = bytes.get(end..next).unwrap_or_default();
        check(padding.iter().all(|byte| *byte == 0), Section::Payloads, "padding is not 0")?;
        objects.push(Object { version: Version(item.version.get()), bytes: at..end, crc: item.crc.get() });
        at = next;
    }
    check(at == payloads.end, Section::Payloads, "longer than the payloads")?;
    Ok(objects)
}
