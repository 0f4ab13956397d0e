//! A manifest as bytes, version 1: a header, an entry for each participant, a name for each feature.
//!
//! | bytes | what |
//! |---|---|
//! | 24 | [`ManifestV1`] |
//! | 56 + 2 for each version written, rounded up to 8 | [`SupportV1`], then the versions, newest first, then zeros |
//! | 48 | [`NameV1`] of a feature, role 0 |

use alloc::vec::Vec;
use core::mem::{offset_of, size_of};

use luo_kho::checksum::{append, crc32c};
use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::check::WireError;
use super::v1::NameV1;
use super::write::name;
use crate::{Kind, Manifest, Role, Support, Version, VersionRange};

/// `LUOM`.
const MAGIC: u32 = u32::from_le_bytes(*b"LUOM");
const VERSION: u16 = 1;
const SECTION: &str = "manifest";

#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct ManifestV1 {
    magic: U32,
    version: U16,
    reserved: U16,
    supports: U32,
    features: U32,
    /// Bytes after this header.
    len: U32,
    /// CRC32C of this header with 0 here, followed by the rest.
    crc: U32,
}

#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct SupportV1 {
    name: NameV1,
    oldest_read: U16,
    newest_read: U16,
    writes: U16,
    reserved: U16,
}

const _: () = assert!(size_of::<ManifestV1>() == 24 && offset_of!(ManifestV1, crc) == 20);
const _: () = assert!(size_of::<SupportV1>() == 56 && offset_of!(SupportV1, writes) == 52);

pub(crate) fn write_manifest(manifest: &Manifest) -> Vec<u8> {
    let Manifest { supports, features } = manifest;
    let mut body = Vec::new();
    for Support { role, kind, reads, writes } in supports {
        let entry = SupportV1 {
            name: name(role.code(), *kind),
            oldest_read: reads.oldest().0.into(),
            newest_read: reads.newest().0.into(),
            writes: u16::try_from(writes.len()).expect("versions have 16 bits and are all different").into(),
            reserved: 0.into(),
        };
        body.extend_from_slice(entry.as_bytes());
        for version in writes {
            body.extend_from_slice(&version.0.to_le_bytes());
        }
        body.resize(body.len().next_multiple_of(8), 0);
    }
    for feature in features {
        body.extend_from_slice(name(0, *feature).as_bytes());
    }
    let count =
        |number: usize| u32::try_from(number).expect("a build registers fewer than 2^32 participants");
    let mut head = ManifestV1 {
        magic: MAGIC.into(),
        version: VERSION.into(),
        reserved: 0.into(),
        supports: count(supports.len()).into(),
        features: count(features.len()).into(),
        len: count(body.len()).into(),
        crc: 0.into(),
    };
    head.crc = append(crc32c(head.as_bytes()), &body).into();
    [head.as_bytes(), &body].concat()
}

fn impossible(why: &'static str) -> WireError {
    WireError::Impossible { section: SECTION, why }
}

pub(crate) fn read_manifest(bytes: &[u8]) -> Result<Manifest, WireError> {
    let truncated = || WireError::Truncated { section: SECTION };
    let (head, mut rest) = ManifestV1::ref_from_prefix(bytes).map_err(|_| truncated())?;
    if head.magic.get() != MAGIC {
        let (found, wanted) = (head.magic.get().into(), MAGIC.into());
        return Err(WireError::NotABlock { section: SECTION, found, wanted });
    }
    if head.version.get() != VERSION {
        return Err(WireError::Version { found: head.version.get() });
    }
    if rest.len() < head.len.get() as usize {
        return Err(truncated());
    }
    if rest.len() > head.len.get() as usize {
        return Err(WireError::TrailingBytes { bytes: rest.len() as u64 - u64::from(head.len.get()) });
    }
    let computed = append(crc32c(ManifestV1 { crc: 0.into(), ..*head }.as_bytes()), rest);
    if computed != head.crc.get() {
        return Err(WireError::Checksum { section: SECTION, found: head.crc.get(), computed });
    }
    if head.reserved.get() != 0 {
        return Err(impossible("reserved bytes are not 0"));
    }
    let mut manifest = Manifest::default();
    let (mut seen, mut seen_features) = (crate::Set::default(), crate::Set::default());
    for _ in 0..head.supports.get() {
        let support = read_support(&mut rest)?;
        if !seen.insert((support.role, support.kind)) {
            return Err(WireError::DuplicateName { kind: support.kind });
        }
        manifest.supports.push(support);
    }
    for _ in 0..head.features.get() {
        let (name, after) = NameV1::ref_from_prefix(rest).map_err(|_| truncated())?;
        rest = after;
        let feature = Kind::from_padded(&name.text).filter(|_| name.role == 0);
        let feature = feature.ok_or_else(|| impossible("a feature is not a name"))?;
        if !seen_features.insert(feature) {
            return Err(WireError::DuplicateName { kind: feature });
        }
        manifest.features.push(feature);
    }
    if rest.is_empty() { Ok(manifest) } else { Err(impossible("counts and length disagree")) }
}

fn read_support(rest: &mut &[u8]) -> Result<Support, WireError> {
    let truncated = WireError::Truncated { section: SECTION };
    let (entry, after) = SupportV1::ref_from_prefix(rest).map_err(|_| truncated.clone())?;
    let role = Role::from_code(entry.name.role).ok_or_else(|| impossible("unknown role"))?;
    let kind = Kind::from_padded(&entry.name.text).ok_or_else(|| impossible("not a name"))?;
    let reads = VersionRange::new(Version(entry.oldest_read.get()), Version(entry.newest_read.get()));
    let reads = reads.ok_or_else(|| impossible("reads from a newer to an older version"))?;
    let len = usize::from(entry.writes.get()) * 2;
    let (versions, after) = after.split_at_checked(len.next_multiple_of(8)).ok_or(truncated)?;
    let (versions, padding) = versions.split_at_checked(len).unwrap_or((versions, &[]));
    let writes: Vec<_> =
        versions.as_chunks::<2>().0.iter().map(|bytes| Version(u16::from_le_bytes(*bytes))).collect();
    if entry.reserved.get() != 0 || padding.iter().any(|byte| *byte != 0) {
        return Err(impossible("reserved bytes are not 0"));
    }
    if writes.is_empty() || !writes.is_sorted_by(|newer, older| newer > older) {
        return Err(impossible("versions written are not newest first"));
    }
    *rest = after;
    Ok(Support { role, kind, reads, writes })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        let support = |role, text, writes: &[u16]| Support {
            role,
            kind: Kind::literal(text),
            reads: VersionRange::up_to(Version(3)),
            writes: writes.iter().copied().map(Version).collect(),
        };
        Manifest {
            supports: [support(Role::Handler, "memfd", &[3, 2]), support(Role::Subsystem, "vcpus", &[1])]
                .into(),
            features: [Kind::literal("rollback")].into(),
        }
    }

    #[test]
    fn bytes_round_trip() {
        assert_eq!(Manifest::from_bytes(&manifest().to_bytes()), Ok(manifest()));
        assert_eq!(Manifest::from_bytes(&Manifest::default().to_bytes()), Ok(Manifest::default()));
    }

    #[test]
    fn golden_bytes() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/luo-v1/manifest.bin");
        let golden = std::fs::read(path).unwrap();
        assert_eq!(manifest().to_bytes(), golden, "version 1 writes these bytes, for ever");
        assert_eq!(Manifest::from_bytes(&golden), Ok(manifest()));
    }

    #[test]
    fn nobody_is_named_twice() {
        let good = manifest();
        let mut twice = good.clone();
        twice.supports.push(Support { reads: VersionRange::only(Version(9)), ..good.supports[0].clone() });
        let kind = good.supports[0].kind;
        assert_eq!(Manifest::from_bytes(&twice.to_bytes()), Err(WireError::DuplicateName { kind }));
        let mut twice = good.clone();
        twice.features.push(good.features[0]);
        let kind = good.features[0];
        assert_eq!(Manifest::from_bytes(&twice.to_bytes()), Err(WireError::DuplicateName { kind }));
        let mut other_role = good.clone();
        other_role.supports.push(Support { role: Role::Shared, ..good.supports[0].clone() });
        assert_eq!(Manifest::from_bytes(&other_role.to_bytes()), Ok(other_role));
    }

    #[test]
    fn versions_written_are_newest_first_and_at_least_one() {
        let said = |versions: &[u16]| {
            let mut said = manifest();
            said.supports[0].writes = versions.iter().copied().map(Version).collect();
            Manifest::from_bytes(&said.to_bytes())
        };
        for versions in [&[][..], &[2, 3], &[2, 2], &[3, 1, 2]] {
            let error = impossible("versions written are not newest first");
            assert_eq!(said(versions), Err(error), "{versions:?}");
        }
        for versions in [&[9][..], &[9, 3, 2, 1]] {
            assert!(said(versions).is_ok(), "{versions:?}");
        }
    }

    #[test]
    fn bytes_after_the_end_are_counted() {
        for more in [1, 8, 1000] {
            let mut bytes = manifest().to_bytes();
            bytes.resize(bytes.len() + more, 0);
            assert_eq!(Manifest::from_bytes(&bytes), Err(WireError::TrailingBytes { bytes: more as u64 }));
        }
    }

    #[test]
    fn every_flip_and_every_truncation_is_refused() {
        let bytes = manifest().to_bytes();
        for len in 0..bytes.len() {
            assert!(Manifest::from_bytes(&bytes[..len]).is_err(), "cut to {len}");
        }
        for bit in 0..bytes.len() * 8 {
            let mut bytes = bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(Manifest::from_bytes(&bytes).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_lie_under_a_good_checksum_is_refused() {
        let good = manifest().to_bytes();
        for byte in 8..good.len() {
            for value in [0, 1, 0x7F, 0xFF] {
                let mut bytes = good.clone();
                bytes[byte] = value;
                bytes[20..24].fill(0);
                let crc = crc32c(&bytes);
                bytes[20..24].copy_from_slice(&crc.to_le_bytes());
                // Believed or not: it neither panics nor runs on, and what is believed is what is written.
                if let Ok(read) = Manifest::from_bytes(&bytes) {
                    assert_eq!(read.to_bytes(), bytes);
                }
            }
        }
    }
}
