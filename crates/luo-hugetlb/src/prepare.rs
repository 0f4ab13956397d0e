//! While users go on: the file is attached, or its contents begin to be copied. Room for the payload is reserved.

use alloc::boxed::Box;
use alloc::string::{String, ToString};

use luo_core::{CopyWhen, PrepareScope, Refusal};
use luo_kho::carrier::Conveyance;
use luo_kho::{FRAME_BYTES, FrameCount, FrameRange, KhoError};

use crate::abi::Payload;
use crate::copy::{Freeing, Hands, Saving, populated};
use crate::judge::{DESCRIPTOR, STAND_IN};
use crate::options::{FreeTo, Options};
use crate::pool::Placement;
use crate::preserve::{Held, Way};
use crate::preserved::{self, PreservedPages};
use crate::{HugetlbError, PageSize, Port};

pub(crate) fn prepare<P: Port>(
    (port, options): (&P, &Options<P>),
    file: &P::File,
    held: &mut Held<P>,
    scope: &mut PrepareScope<'_>,
) -> Result<(), Refusal> {
    not_stranded(port, options, file)?;
    held.place = port.place(file).map_err(HugetlbError::Host)?;
    let placement = placement(port, file, held.page_size)?;
    let pools = port.pools().map_err(HugetlbError::Host)?;
    let nodes = pools.iter().map(|pool| pool.nodes.len()).max().unwrap_or_default();
    for version in scope.versions().to_vec() {
        scope.reserve(version, Payload::most_bytes(version, &held.place, nodes))?;
    }
    held.way = decide((port, options), file, held, (&placement, scope))?;
    if options.counted.contains(&held.page_size) {
        let pages = scope.shared::<PreservedPages>(preserved::kind(held.page_size))?;
        held.share = Some(pages.share(&placement, matches!(held.way, Way::Reference(..))));
    }
    Ok(())
}

/// Where the pages lie now: nowhere, as far as a host can tell that cannot search for them.
fn placement<P: Port>(port: &P, file: &P::File, page_size: PageSize) -> Result<Placement, HugetlbError> {
    match populated(port, &port.open(file)?, page_size, &port.look(file)?) {
        Ok(runs) => Ok(Placement::of(&runs)),
        Err(HugetlbError::Host(_)) => Ok(Placement::default()),
        Err(error) => Err(error),
    }
}

/// Nothing of it is left after this: the orchestrator gives back what was taken from memory.
pub(crate) fn cancel<P: Port>(held: &mut Held<P>) {
    held.way = Way::Undecided;
    held.share = None;
}

/// No pages of the file wait to be brought back.
pub(crate) fn not_stranded<P: Port>(
    port: &P,
    options: &Options<P>,
    file: &P::File,
) -> Result<(), HugetlbError> {
    match options.strandings.of(port.identity(file)) {
        0 => Ok(()),
        stranded => Err(HugetlbError::Stranded { stranded }),
    }
}

fn decide<P: Port>(
    (port, options): (&P, &Options<P>),
    file: &P::File,
    held: &Held<P>,
    (placement, scope): (&Placement, &mut PrepareScope<'_>),
) -> Result<Way<P>, HugetlbError> {
    let why = match (options.copy, scope.conveys(DESCRIPTOR)) {
        (CopyWhen::Always, _) => String::new(),
        (CopyWhen::Needed | CopyWhen::Never, Conveyance::Refused { reason }) => reason.into_owned(),
        (CopyWhen::Needed | CopyWhen::Never, Conveyance::ByReference) => match attach(port, file, scope) {
            Ok(segment) => return Ok(Way::Reference(segment, placement.clone())),
            // This memory has no segments, or none for such files.
            Err(HugetlbError::Kho(error @ KhoError::NotAttachable { .. })) => error.to_string(),
            Err(error) => return Err(error),
        },
    };
    if options.copy == CopyWhen::Never {
        return Err(HugetlbError::MayNotCopy { why });
    }
    if let Some(bond) = port.bonds(file)? {
        return Err(HugetlbError::CannotCopy { bond });
    }
    if let Some(to) = options.freeing {
        return free((port, options), (file, to), held, scope);
    }
    let mut hands = Hands { port, options, memory: scope.memory() };
    Ok(Way::Copy(Box::new(Saving::begin(file, &held.place, held.page_size, &mut hands)?)))
}

/// A stand-in has to cross by reference, or its contents would be copied once more.
fn free<P: Port>(
    (port, options): (&P, &Options<P>),
    (file, to): (&P::File, FreeTo),
    held: &Held<P>,
    scope: &mut PrepareScope<'_>,
) -> Result<Way<P>, HugetlbError> {
    if let Conveyance::Refused { reason } = scope.conveys(STAND_IN) {
        return Err(HugetlbError::CannotFree { why: reason });
    }
    let mut hands = Hands { port, options, memory: scope.memory() };
    Ok(Way::Free(Box::new(Freeing::begin((file, to), held.page_size, &mut hands)?)))
}

/// The whole file, as large as it is now. An empty one has a segment too: it may grow, and it has to be found.
fn attach<P: Port>(
    port: &P,
    file: &P::File,
    scope: &mut PrepareScope<'_>,
) -> Result<FrameRange, HugetlbError> {
    let too_many = || KhoError::NotAttachable { why: "it has more pages than there are frame numbers" };
    let frames = FrameCount::new((port.look(file)?.size / FRAME_BYTES).max(1)).ok_or_else(too_many)?;
    Ok(port.attach(file, scope.memory(), frames)?)
}
