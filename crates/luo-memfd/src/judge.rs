//! Whose file is this, and can it travel?

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::ToString as _;

use luo_core::{Copying, Travel, Verdict};
use luo_kho::carrier::DescriptorKind;
use luo_kho::{ByteLen, FRAME_BYTES};

use crate::options::Options;
use crate::port::Sort;
use crate::{CopyWhen, HostError, MemfdError, Port, Seals, Status};

/// The descriptor that a carrier would have to take.
pub const DESCRIPTOR: DescriptorKind = DescriptorKind("memfd");

/// Memfds are ours, with seals and flags that can be given to a copy.
pub(crate) fn judge<P: Port>(port: &P, file: &P::File) -> Verdict {
    let no = |reason: Cow<'static, str>| Verdict::MineButNo { reason };
    let looked = |error: HostError| no(format!("it could not be looked at: {error}").into());
    match port.sort(file) {
        Ok(Sort::Other) => return Verdict::NotMine,
        Ok(Sort::Unfit { reason }) => return no(reason),
        Ok(Sort::Memfd) => {}
        Err(error) => return looked(error),
    }
    let attributes = match port.look(file) {
        Ok(attributes) => attributes,
        Err(error) => return looked(error),
    };
    let unknown = attributes.seals.unknown();
    if unknown != Seals::NONE {
        return no(MemfdError::StrangeSeals { seals: unknown }.to_string().into());
    }
    if attributes.status.contains(Status::UNKNOWN) {
        return no("its descriptor has status flags that this build does not know".into());
    }
    match port.name(file) {
        Ok(_) => Verdict::Mine,
        Err(error) => looked(error),
    }
}

/// By reference where the carrier can. What a copy would move is no more than the host keeps for the file.
pub(crate) fn travel<P: Port>(port: &P, options: &Options<P::File>, file: &P::File) -> Travel {
    let (bytes, bond) = match (port.look(file), port.bonds(file)) {
        (Ok(attributes), Ok(bond)) => (attributes.pages_kept().saturating_mul(FRAME_BYTES), Ok(bond)),
        (Err(error), _) | (_, Err(error)) => (0, Err(error)),
    };
    let copy = match (options.copy, bond) {
        (CopyWhen::Never, _) => Copying::Cannot { reason: "this handler was told never to copy".into() },
        (_, Err(error)) => Copying::Cannot { reason: format!("it could not be looked at: {error}").into() },
        (_, Ok(Some(bond))) => Copying::Cannot { reason: format!("a copy cannot have its {bond}").into() },
        (CopyWhen::Needed, Ok(None)) => Copying::Can,
        (CopyWhen::Always, Ok(None)) => {
            Copying::Will { reason: "this handler was told always to copy".into() }
        }
    };
    Travel { descriptor: DESCRIPTOR, bytes: ByteLen::new(bytes), copy }
}
