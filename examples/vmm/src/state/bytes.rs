//! Writing records one behind the other, and taking them off again. Bytes that arrived are not believed: each take
//! looks at what is left.

use kvm_bindings::kvm_msr_entry;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::{MSRS_MAX, StateError};
use crate::guest::Layout;

/// What executes the guest, as formats number it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Kvm,
    Threads,
}

impl Kind {
    pub(super) const fn code(self) -> u32 {
        match self {
            Self::Kvm => 1,
            Self::Threads => 2,
        }
    }

    pub(super) const fn from_code(code: u32) -> Result<Self, StateError> {
        match code {
            1 => Ok(Self::Kvm),
            2 => Ok(Self::Threads),
            _ => Err(StateError::Impossible { what: "nothing that is known executes this guest" }),
        }
    }
}

/// Bytes in the making.
#[derive(Debug, Default)]
pub(super) struct Writer(pub(super) Vec<u8>);

impl Writer {
    pub(super) fn put<T: IntoBytes + Immutable>(&mut self, record: &T) {
        self.0.extend_from_slice(record.as_bytes());
    }

    pub(super) fn u32(&mut self, value: u32) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    pub(super) fn u64(&mut self, value: u64) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }
}

/// Bytes that arrived.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn take<T: FromBytes>(&mut self, wanted: &'static str) -> Result<T, StateError> {
        let (record, rest) = T::read_from_prefix(self.0).map_err(|_| StateError::Short { wanted })?;
        self.0 = rest;
        Ok(record)
    }

    pub(super) fn u32(&mut self, wanted: &'static str) -> Result<u32, StateError> {
        self.take(wanted).map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self, wanted: &'static str) -> Result<u64, StateError> {
        self.take(wanted).map(u64::from_le_bytes)
    }

    /// The next so many bytes.
    pub(super) fn split(&mut self, len: usize, wanted: &'static str) -> Result<&'a [u8], StateError> {
        let (bytes, rest) = self.0.split_at_checked(len).ok_or(StateError::Short { wanted })?;
        self.0 = rest;
        Ok(bytes)
    }

    pub(super) const fn end(self) -> Result<(), StateError> {
        if self.0.is_empty() { Ok(()) } else { Err(StateError::Long { bytes: self.0.len() }) }
    }
}

/// How many model-specific registers follow.
pub(super) fn msr_count(count: u32) -> Result<usize, StateError> {
    usize::try_from(count)
        .ok()
        .filter(|count| *count <= MSRS_MAX)
        .ok_or(StateError::Impossible { what: "a vCPU has more model-specific registers than there are" })
}

pub(super) const fn msr(index: u32, data: u64) -> kvm_msr_entry {
    kvm_msr_entry { index, reserved: 0, data }
}

/// What machine it is: both formats begin with it.
pub(super) fn put_layout(writer: &mut Writer, kind: Kind, layout: &Layout) {
    writer.u32(kind.code());
    writer.u32(layout.vcpus());
    writer.u64(layout.bytes());
}

pub(super) fn take_layout(reader: &mut Reader<'_>) -> Result<(Kind, Layout), StateError> {
    let kind = Kind::from_code(reader.u32("what executes the guest")?)?;
    let vcpus = reader.u32("the number of vCPUs")?;
    Ok((kind, Layout::new(reader.u64("the size of memory")?, vcpus)?))
}
