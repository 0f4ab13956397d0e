//! Payload slots: what one participant puts down, once for each version that is written.
//!
//! A slot has its full size from prepare on, so that freeze writes into it without allocating. What freeze wrote is
//! forgotten by unfreeze, and what prepare wrote is there again.

use alloc::vec::Vec;

use luo_kho::ByteLen;

use crate::{Kind, Refusal, Version};

/// The largest payload of one version: 16 MiB. Room for the state of a thousand vCPUs of 16 KiB each; larger things
/// belong into preserved arrays that the payload names.
pub const PAYLOAD_MAX: ByteLen = ByteLen::new(16 << 20);

/// Why a payload was not put down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SlotError {
    /// The version is not among those that are being written.
    #[error("{version} is not being written")]
    NotWritten {
        /// The version.
        version: Version,
    },
    /// Longer than what was reserved in prepare.
    #[error("a payload of {len} does not fit into the {max} that prepare reserved for {version}")]
    TooLong {
        /// The version.
        version: Version,
        /// The payload's length.
        len: ByteLen,
        /// What was reserved.
        max: ByteLen,
    },
    /// Nothing was reserved in prepare.
    #[error("prepare reserved nothing for {version}")]
    NotReserved {
        /// The version.
        version: Version,
    },
    /// The participant does not lean on this shared object, or it has another type.
    #[error("no shared object `{kind}` of this type is leaned on")]
    NoSuchShared {
        /// Its kind.
        kind: Kind,
    },
}

/// Why a payload is not believed. Its bytes were written by somebody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PayloadError {
    /// A version that this build does not read.
    #[error("the payload has {version}, which this build does not read")]
    Version {
        /// Which.
        version: Version,
    },
    /// Shorter or longer than it says of itself.
    #[error("the payload has {found}, {expected} were expected")]
    Length {
        /// Its length.
        found: ByteLen,
        /// What it should be.
        expected: ByteLen,
    },
    /// A field says something that cannot be.
    #[error("the payload is impossible: {why}")]
    Impossible {
        /// Which field, and why.
        why: &'static str,
    },
}

impl From<SlotError> for Refusal {
    fn from(error: SlotError) -> Self {
        Self::new(error)
    }
}

#[derive(Debug)]
struct Slot {
    version: Version,
    max: ByteLen,
    prepared: Vec<u8>,
    frozen: Vec<u8>,
    froze: bool,
    put: bool,
}

/// The slots of one participant, newest version first.
#[derive(Debug, Default)]
pub(crate) struct Slots {
    slots: Vec<Slot>,
    versions: Vec<Version>,
}

impl Slots {
    /// Makes ready for a prepare that writes `versions`, newest first.
    pub(crate) fn begin(&mut self, versions: &[Version]) {
        self.slots.clear();
        // Exactly: there are as many of these as files, and a vector that grows would begin with room for four.
        self.slots.reserve_exact(versions.len());
        self.versions = versions.to_vec();
    }

    pub(crate) fn versions(&self) -> &[Version] {
        &self.versions
    }

    pub(crate) fn reserve(&mut self, version: Version, max: ByteLen) -> Result<(), SlotError> {
        if !self.versions.contains(&version) {
            return Err(SlotError::NotWritten { version });
        }
        if max > PAYLOAD_MAX {
            return Err(SlotError::TooLong { version, len: max, max: PAYLOAD_MAX });
        }
        let slot = Slot {
            version,
            max,
            prepared: Vec::new(),
            frozen: Vec::with_capacity(max.as_usize()),
            froze: false,
            put: false,
        };
        match self.slots.iter_mut().find(|slot| slot.version == version) {
            Some(old) => *old = slot,
            None => self.slots.push(slot),
        }
        Ok(())
    }

    pub(crate) fn put_prepared(&mut self, version: Version, payload: &[u8]) -> Result<(), SlotError> {
        let len = ByteLen::of(payload.len());
        if !self.slots.iter().any(|slot| slot.version == version) {
            self.reserve(version, len)?;
        }
        let slot = self.slot(version, len)?;
        slot.prepared.clear();
        slot.prepared.extend_from_slice(payload);
        slot.put = true;
        Ok(())
    }

    /// Within the capacity that prepare reserved: no allocation.
    pub(crate) fn put_frozen(&mut self, version: Version, payload: &[u8]) -> Result<(), SlotError> {
        let slot = self.slot(version, ByteLen::of(payload.len()))?;
        slot.frozen.clear();
        slot.frozen.extend_from_slice(payload);
        slot.froze = true;
        Ok(())
    }

    fn slot(&mut self, version: Version, len: ByteLen) -> Result<&mut Slot, SlotError> {
        let slot = self.slots.iter_mut().find(|slot| slot.version == version);
        let slot = slot.ok_or(SlotError::NotReserved { version })?;
        let max = slot.max;
        if len > max { Err(SlotError::TooLong { version, len, max }) } else { Ok(slot) }
    }

    /// The first version that prepare was to write and did not even reserve.
    pub(crate) fn missing(&self) -> Option<Version> {
        self.versions.iter().copied().find(|version| !self.slots.iter().any(|slot| slot.version == *version))
    }

    /// The first version that has neither a prepared nor a frozen payload.
    pub(crate) fn unwritten(&self) -> Option<Version> {
        self.slots.iter().find(|slot| !slot.put && !slot.froze).map(|slot| slot.version)
    }

    pub(crate) fn thaw(&mut self) {
        for slot in &mut self.slots {
            slot.froze = false;
        }
    }

    pub(crate) fn clear(&mut self) {
        self.slots.clear();
        self.versions.clear();
    }

    pub(crate) fn len(&self) -> usize {
        self.versions.len()
    }

    /// The most bytes that the payloads can take together, each rounded up to 8.
    pub(crate) fn reserved_bytes(&self) -> u64 {
        self.slots.iter().map(|slot| slot.max.get().next_multiple_of(8)).sum()
    }

    /// Version and payload as they stand, newest version first.
    pub(crate) fn payloads(&self) -> impl Iterator<Item = (Version, &[u8])> {
        self.versions.iter().filter_map(|version| {
            let slot = self.slots.iter().find(|slot| slot.version == *version)?;
            Some((*version, if slot.froze { slot.frozen.as_slice() } else { slot.prepared.as_slice() }))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thawing_brings_the_prepared_payload_back() {
        let mut slots = Slots::default();
        slots.begin(&[Version(2), Version(1)]);
        slots.reserve(Version(2), ByteLen::new(4)).unwrap();
        assert_eq!(slots.missing(), Some(Version(1)));
        slots.put_prepared(Version(2), b"ab").unwrap();
        slots.put_frozen(Version(2), b"abcd").unwrap();
        assert_eq!(slots.payloads().collect::<Vec<_>>(), [(Version(2), &b"abcd"[..])]);
        slots.thaw();
        assert_eq!(slots.payloads().collect::<Vec<_>>(), [(Version(2), &b"ab"[..])]);
    }

    #[test]
    fn freeze_writes_no_more_than_prepare_reserved() {
        let mut slots = Slots::default();
        slots.begin(&[Version(1)]);
        assert_eq!(slots.put_frozen(Version(1), b"x"), Err(SlotError::NotReserved { version: Version(1) }));
        slots.reserve(Version(1), ByteLen::new(1)).unwrap();
        assert!(matches!(slots.put_frozen(Version(1), b"xy"), Err(SlotError::TooLong { .. })));
        assert_eq!(
            slots.reserve(Version(9), ByteLen::new(1)),
            Err(SlotError::NotWritten { version: Version(9) })
        );
        assert_eq!(slots.unwritten(), Some(Version(1)));
    }
}
