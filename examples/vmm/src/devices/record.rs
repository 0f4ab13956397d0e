//! The devices' state as bytes: version 1. One record of 48 bytes for each vCPU, little-endian:
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 8 | whole lines |
//! | 8 | 8 | faults |
//! | 16 | 8 | rings |
//! | 24 | 1 | characters of a line that is not whole |
//! | 25 | 16 | those characters |
//! | 41 | 7 | 0 |

use luo_core::{
    FreezeScope, Kind, PrepareScope, Record, Refusal, RetrieveScope, Subsystem, Version, VersionRange,
};
use luo_kho::ByteLen;
use std::sync::Arc;

use parking_lot::Mutex;
use zerocopy::little_endian::U64;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::serial::{Line, PARTIAL_MAX};
use super::{Channel, Devices};

const V1: Version = Version(1);

#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct ChannelV1 {
    lines: U64,
    faults: U64,
    rings: U64,
    partial_len: u8,
    partial: [u8; PARTIAL_MAX],
    zero: [u8; 7],
}

const _: () = {
    use core::mem::offset_of;
    assert!(size_of::<ChannelV1>() == 48);
    assert!(offset_of!(ChannelV1, faults) == 8);
    assert!(offset_of!(ChannelV1, rings) == 16);
    assert!(offset_of!(ChannelV1, partial_len) == 24);
    assert!(offset_of!(ChannelV1, partial) == 25);
    assert!(offset_of!(ChannelV1, zero) == 41);
};

/// Why bytes are not the state of these devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DevicesError {
    /// Their number does not fit the vCPUs.
    #[error("the state of the devices is not that of {vcpus} vCPUs")]
    Length {
        /// How many there are.
        vcpus: usize,
    },
    /// A line is longer than lines can be.
    #[error("an unfinished line has more characters than a line can have")]
    Line,
    /// Behind an unfinished line, or at the end.
    #[error("there is something where nothing should be")]
    Something,
}

impl Devices {
    fn write(&self) -> Vec<u8> {
        let records = self.channels.iter().map(|channel| {
            let Channel { line: Line { partial, printed, faults }, rings } = channel;
            let mut record = ChannelV1 {
                lines: (*printed).into(),
                faults: (*faults).into(),
                rings: (*rings).into(),
                partial_len: u8::try_from(partial.len()).unwrap_or(0),
                partial: [0; PARTIAL_MAX],
                zero: [0; 7],
            };
            record.partial.iter_mut().zip(partial).for_each(|(place, byte)| *place = *byte);
            record
        });
        records.flat_map(|record| record.as_bytes().to_vec()).collect()
    }

    fn read(&mut self, bytes: &[u8]) -> Result<(), DevicesError> {
        let length = DevicesError::Length { vcpus: self.channels.len() };
        let records = <[ChannelV1]>::ref_from_bytes(bytes).map_err(|_| length)?;
        if records.len() != self.channels.len() {
            return Err(length);
        }
        let channel = |record: &ChannelV1| {
            let ChannelV1 { lines, faults, rings, partial_len, partial, zero } = record;
            let split = partial.split_at_checked((*partial_len).into());
            let (partial, behind) = split.ok_or(DevicesError::Line)?;
            if behind.iter().chain(zero).any(|byte| *byte != 0) {
                return Err(DevicesError::Something);
            }
            let line = Line { partial: partial.to_vec(), printed: lines.get(), faults: faults.get() };
            Ok(Channel { line, rings: rings.get() })
        };
        self.channels = records.iter().map(channel).collect::<Result<_, _>>()?;
        Ok(())
    }
}

/// Carries the devices. Registered behind the machine, whose freeze stops all who use them.
#[derive(Debug)]
pub(crate) struct DevicesSaver(pub(crate) Arc<Mutex<Devices>>);

impl Subsystem for DevicesSaver {
    fn name(&self) -> Kind {
        Kind::literal("vmm-devices")
    }

    fn reads(&self) -> VersionRange {
        VersionRange::only(V1)
    }

    fn writes(&self) -> Vec<Version> {
        vec![V1]
    }

    fn prepare(&mut self, scope: &mut PrepareScope<'_>) -> Result<(), Refusal> {
        let bytes = self.0.lock().channels.len() * size_of::<ChannelV1>();
        Ok(scope.reserve(V1, ByteLen::of(bytes))?)
    }

    fn cancel(&mut self) {}

    fn freeze(&mut self, scope: &mut FreezeScope<'_>) -> Result<(), Refusal> {
        let mut devices = self.0.lock();
        devices.drain();
        Ok(scope.put(V1, &devices.write())?)
    }

    fn unfreeze(&mut self) {}

    fn depart(&mut self) {}

    fn restore(&mut self, record: &Record<'_>, _scope: &mut RetrieveScope<'_>) -> Result<(), Refusal> {
        self.0.lock().read(record.payload).map_err(Refusal::new)
    }

    fn finish(&mut self) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    fn devices(vcpus: u32) -> Devices {
        Devices::new(vcpus, Box::new(std::io::sink()))
    }

    #[test]
    fn a_line_that_is_not_whole_goes_on_on_the_other_side() {
        let mut near = devices(2);
        b"1:00000001\n1:0000".iter().for_each(|byte| assert_eq!(near.print(1, *byte), *byte == b'\n'));
        assert!(near.ring(0, 0) && !near.ring(0, 0) && near.ring(0, 1));
        let mut far = devices(2);
        far.read(&near.write()).unwrap();
        assert_eq!(far.channels, near.channels);
        b"0002\n".iter().for_each(|byte| assert_eq!(far.print(1, *byte), *byte == b'\n'));
        let [_, counts] = far.counts().collect::<Vec<_>>()[..] else { panic!("two vCPUs") };
        assert_eq!((counts.lines, counts.faults, counts.partial), (2, 0, 0));
    }

    #[test]
    fn bytes_of_other_machines_are_refused() {
        let mut far = devices(2);
        for bytes in [devices(1).write(), devices(3).write(), vec![0; 95]] {
            assert_eq!(far.read(&bytes), Err(DevicesError::Length { vcpus: 2 }));
        }
        let mut bytes = devices(2).write();
        bytes[24] = 17;
        assert_eq!(far.read(&bytes), Err(DevicesError::Line));
        for nothing in [25, 40, 41, 95] {
            let mut bytes = devices(2).write();
            bytes[nothing] = b'x';
            assert_eq!(far.read(&bytes), Err(DevicesError::Something), "byte {nothing}");
        }
    }

    #[test]
    fn released_bytes_are_still_read_and_written() {
        let released = include_bytes!("../../../../tests/golden/vmm/devices-v1.bin");
        let mut devices = devices(2);
        b"1:00000001\n1:0000".iter().for_each(|byte| assert_eq!(devices.print(1, *byte), *byte == b'\n'));
        assert!(devices.ring(0, 0) && devices.ring(0, 1));
        assert_eq!(devices.write(), released, "a new layout is a new version");
        let mut read = self::devices(2);
        read.read(released).unwrap();
        assert_eq!(read.channels, devices.channels);
    }
}
