//! Whose file is this, and can it travel?

use alloc::format;

use luo_core::{Copying, Travel, Verdict};
use luo_kho::ByteLen;
use luo_kho::carrier::DescriptorKind;

use crate::Port;
use crate::abi::MOST_BYTES;
use crate::port::Sort;

/// The descriptor that a carrier would have to take.
pub const DESCRIPTOR: DescriptorKind = DescriptorKind("eventfd");

/// Ours are ours, unless they cannot travel.
pub(crate) fn judge<P: Port>(port: &P, file: &P::File) -> Verdict {
    match port.sort(file) {
        Ok(Sort::Other) => Verdict::NotMine,
        Ok(Sort::Unfit { reason }) => Verdict::MineButNo { reason },
        Ok(Sort::Ours) => Verdict::Mine,
        Err(error) => Verdict::MineButNo { reason: format!("it could not be looked at: {error}").into() },
    }
}

/// Always by copy: the payload is all of it.
pub(crate) fn travel() -> Travel {
    let copy = Copying::Will { reason: "its state is a few bytes".into() };
    Travel { descriptor: DESCRIPTOR, bytes: ByteLen::new(MOST_BYTES.get()), copy }
}
