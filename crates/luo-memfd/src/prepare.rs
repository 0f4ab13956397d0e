//! While users go on: the file is attached, or its contents begin to be copied. Room for the payload is reserved.

use alloc::boxed::Box;
use alloc::string::{String, ToString};

use luo_core::{PrepareScope, Refusal};
use luo_kho::carrier::Conveyance;
use luo_kho::{FrameCount, FrameRange, KhoError};

use crate::abi::Payload;
use crate::copy::{Hands, Saving};
use crate::judge::DESCRIPTOR;
use crate::options::Options;
use crate::preserve::{Held, Way};
use crate::{CopyWhen, MemfdError, Port};

pub(crate) fn prepare<P: Port>(
    (port, options): (&P, &Options<P::File>),
    file: &P::File,
    held: &mut Held<P>,
    scope: &mut PrepareScope<'_>,
) -> Result<(), Refusal> {
    for version in scope.versions().to_vec() {
        scope.reserve(version, Payload::most_bytes(version))?;
    }
    held.way = decide(port, options, file, held, scope)?;
    Ok(())
}

/// Nothing of it is left after this: the orchestrator gives back what was taken from memory.
pub(crate) fn cancel<P: Port>(held: &mut Held<P>) {
    held.way = Way::Undecided;
}

fn decide<P: Port>(
    port: &P,
    options: &Options<P::File>,
    file: &P::File,
    held: &Held<P>,
    scope: &mut PrepareScope<'_>,
) -> Result<Way<P>, MemfdError> {
    let why = match (options.copy, scope.conveys(DESCRIPTOR)) {
        (CopyWhen::Always, _) => String::new(),
        (CopyWhen::Needed | CopyWhen::Never, Conveyance::Refused { reason }) => reason.into_owned(),
        (CopyWhen::Needed | CopyWhen::Never, Conveyance::ByReference) => match attach(port, file, scope) {
            Ok(segment) => return Ok(Way::Reference(segment)),
            // This memory has no segments, or none for such files.
            Err(MemfdError::Kho(error @ KhoError::NotAttachable { .. })) => error.to_string(),
            Err(error) => return Err(error),
        },
    };
    if options.copy == CopyWhen::Never {
        return Err(MemfdError::MayNotCopy { why });
    }
    if let Some(bond) = port.bonds(file)? {
        return Err(MemfdError::CannotCopy { bond });
    }
    let mut hands = Hands { port, options, memory: scope.memory() };
    Ok(Way::Copy(Box::new(Saving::begin(file, held.name.clone(), &mut hands)?)))
}

/// The whole file, as large as it is now. An empty one has a segment too: it may grow, and its name has to be found.
fn attach<P: Port>(port: &P, file: &P::File, scope: &mut PrepareScope<'_>) -> Result<FrameRange, MemfdError> {
    let pages = port.look(file)?.pages().max(1);
    let too_many = || KhoError::NotAttachable { why: "it has more pages than there are frame numbers" };
    let frames = FrameCount::new(pages).ok_or_else(too_many)?;
    Ok(port.attach(file, scope.memory(), frames)?)
}
