//! Making the file again: it is found behind its segment, or made of its copy.
//!
//! Before the commit a file that came by reference is still its old user's: nothing of it may be changed. What is not
//! as it was written down is refused if it matters to the contents, and otherwise put right by
//! [`finish`](crate::finish). A file that is made of a copy is nobody else's: it is made whole at once, but for its
//! path.

use luo_core::{Record, Refusal, RetrieveScope};
use luo_kho::{FrameRange, Memory};

use crate::abi::{Form, Payload};
use crate::options::Options;
use crate::port::Sort;
use crate::preserved::{self, PreservedPages};
use crate::{HugetlbError, Port, copy};

pub(crate) fn retrieve<P: Port>(
    (port, options): (&P, &Options<P>),
    record: &Record<'_>,
    scope: &mut RetrieveScope<'_>,
) -> Result<P::File, Refusal> {
    let payload = Payload::decode(record).map_err(HugetlbError::Payload)?;
    if options.counted.contains(&payload.page_size)
        && let Ok(pages) = scope.shared::<PreservedPages>(preserved::kind(payload.page_size))
    {
        port.reckon(payload.page_size, &pages.counts());
    }
    let memory = scope.memory();
    let file = match &payload.form {
        Form::Segment(segment) => {
            memory.reclaim(*segment)?;
            find(port, &*memory, *segment, &payload)
        }
        Form::Copied(copied) => {
            let claimed = copy::claim(memory, copied)?;
            copy::make((port, options), &*memory, (&claimed, copied), &payload)
        }
    };
    Ok(file?)
}

/// The file behind the segment, if it still is what was written down.
fn find<P: Port>(
    port: &P,
    memory: &dyn Memory,
    segment: FrameRange,
    payload: &Payload,
) -> Result<P::File, HugetlbError> {
    let file = port.attached(memory, segment, &payload.attributes, &payload.place)?;
    if port.sort(&file)? != Sort::Huge {
        return Err(HugetlbError::NotHuge);
    }
    let (found, recorded) = (port.page_size(&file)?, payload.page_size);
    if found != recorded {
        return Err(HugetlbError::OtherPageSize { found, recorded });
    }
    port.look(&file)?.is_arrival_of(&payload.attributes)?;
    Ok(file)
}
