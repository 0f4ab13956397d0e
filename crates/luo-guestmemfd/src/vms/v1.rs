//! Version 1 of a virtual machine's payload: 16 bytes, little-endian.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 8 | type, as `KVM_CREATE_VM` takes it |
//! | 8 | 1 | form: 1 made anew |
//! | 9 | 7 | 0 |

use luo_core::PayloadError;
use luo_kho::ByteLen;
use zerocopy::little_endian::U64;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::VmType;

#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct VmRecordV1 {
    vm_type: U64,
    form: u8,
    zeros: [u8; 7],
}

const _: () = {
    use core::mem::offset_of;
    assert!(size_of::<VmRecordV1>() == 16);
    assert!(offset_of!(VmRecordV1, vm_type) == 0);
    assert!(offset_of!(VmRecordV1, form) == 8);
    assert!(offset_of!(VmRecordV1, zeros) == 9);
};

const MADE_ANEW: u8 = 1;

pub(super) fn encode(VmType(vm_type): VmType) -> [u8; 16] {
    let record = VmRecordV1 { vm_type: vm_type.into(), form: MADE_ANEW, zeros: [0; 7] };
    zerocopy::transmute!(record)
}

pub(super) fn decode(bytes: &[u8]) -> Result<VmType, PayloadError> {
    let wrong_length = |_| PayloadError::Length {
        found: ByteLen::of(bytes.len()),
        expected: ByteLen::of(size_of::<VmRecordV1>()),
    };
    let VmRecordV1 { vm_type, form, zeros } =
        VmRecordV1::read_from_bytes(bytes).map_err(|error| wrong_length(error.map_src(drop)))?;
    match (form, zeros) {
        (MADE_ANEW, [0, 0, 0, 0, 0, 0, 0]) => Ok(VmType(vm_type.get())),
        (MADE_ANEW, _) => Err(PayloadError::Impossible { why: "what is to be zero is not" }),
        _ => Err(PayloadError::Impossible { why: "there is no such form of a virtual machine" }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RELEASED: &[u8] = include_bytes!("../../../../tests/golden/guestmemfd-v1/vm.bin");

    #[test]
    fn version_1_is_written_and_read_as_it_was_released() {
        assert_eq!(encode(VmType(0x0102_0304)), RELEASED);
        assert_eq!(decode(RELEASED), Ok(VmType(0x0102_0304)));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for len in (0..16).chain(17..30) {
            let bytes: alloc::vec::Vec<u8> = RELEASED.iter().copied().chain([0; 16]).take(len).collect();
            assert!(matches!(decode(&bytes), Err(PayloadError::Length { .. })), "{len}");
        }
        for at in 8..16 {
            let mut bytes = RELEASED.to_vec();
            bytes[at] ^= 2;
            assert!(matches!(decode(&bytes), Err(PayloadError::Impossible { .. })), "{at}");
        }
    }
}
