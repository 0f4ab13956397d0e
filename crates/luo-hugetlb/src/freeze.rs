//! With the users stopped: the file is looked at once more, and written down as it is now.
//!
//! Size, seals, mode, position, flags and path may all have changed since prepare, and pages may have come and gone.
//! Whatever they are now is what crosses; only a copy that no longer fits into what prepare reserved is refused.

use luo_core::{FreezeScope, Refusal};

use crate::abi::{Form, Payload};
use crate::copy::Hands;
use crate::options::Options;
use crate::prepare::not_stranded;
use crate::preserve::{Held, Way};
use crate::{HugetlbError, Port, Seals};

pub(crate) fn freeze<P: Port>(
    (port, options): (&P, &Options<P>),
    file: &P::File,
    held: &mut Held<P>,
    scope: &mut FreezeScope<'_>,
) -> Result<(), Refusal> {
    not_stranded(port, options, file)?;
    let attributes = port.look(file).map_err(HugetlbError::Host)?;
    let unknown = attributes.seals.unknown();
    if unknown != Seals::NONE {
        return Err(HugetlbError::StrangeSeals { seals: unknown }.into());
    }
    held.place = port.place(file).map_err(HugetlbError::Host)?;
    if !matches!(held.way, Way::Reference(..))
        && let Some(bond) = port.bonds(file).map_err(HugetlbError::Host)?
    {
        return Err(HugetlbError::CannotCopy { bond }.into());
    }
    let mut hands = Hands { port, options, memory: scope.memory() };
    let (form, placement) = match &mut held.way {
        Way::Reference(segment, placement) => (Form::Segment(*segment), placement.clone()),
        Way::Copy(saving) => {
            let (copied, placement) = saving.complete(&attributes, &held.place, &mut hands)?;
            (Form::Copied(copied), placement)
        }
        Way::Free(freeing) => {
            let (copied, placement) = freeing.complete(&attributes, &held.place, &mut hands)?;
            (Form::Copied(copied), placement)
        }
        Way::Undecided => unreachable!("a file is prepared before it is frozen"),
    };
    if let Some(share) = &mut held.share {
        share.renew(&placement);
    }
    let payload =
        Payload { attributes, page_size: held.page_size, place: held.place.clone(), placement, form };
    let put = put(&payload, scope);
    if put.is_err() {
        unfreeze((port, options), held);
    }
    put
}

fn put(payload: &Payload, scope: &mut FreezeScope<'_>) -> Result<(), Refusal> {
    for version in scope.versions().to_vec() {
        let bytes = payload.encode(version).map_err(HugetlbError::Payload)?;
        scope.put(version, &bytes)?;
    }
    Ok(())
}

/// What was copied can be copied again; what was freed is taken back, as far as pages can be had.
pub(crate) fn unfreeze<P: Port>((port, options): (&P, &Options<P>), held: &mut Held<P>) {
    if let Way::Free(freeing) = &mut held.way {
        freeing.take_back(&held.place, port, options);
    }
}
