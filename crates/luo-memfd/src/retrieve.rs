//! Making the file again: it is found behind its segment, or made of its copy.
//!
//! Before the commit a file that came by reference is still its old user's: nothing of it may be changed. What is not
//! as it was written down is refused if it matters to the contents, and otherwise put right by
//! [`finish`](crate::finish). A file that is made of a copy is nobody else's: it is made whole at once.

use luo_core::{Record, Refusal, RetrieveScope};
use luo_kho::FrameRange;
use luo_xarray::page_map::PageStore;

use crate::abi::{Form, Payload};
use crate::options::Options;
use crate::{Attributes, MemfdError, Port, copy};

pub(crate) fn retrieve<P: Port>(
    (port, options): (&P, &Options<P::File>),
    record: &Record<'_>,
    scope: &mut RetrieveScope<'_>,
) -> Result<P::File, Refusal> {
    let Payload { attributes, name, form } = Payload::decode(record).map_err(MemfdError::Payload)?;
    let memory = scope.memory();
    let file = match form {
        Form::Segment(segment) => {
            memory.reclaim(segment)?;
            find(port, &*memory, segment, &attributes)
        }
        Form::Store(names) => {
            let claimed = PageStore::restore(memory, &names).map_err(MemfdError::Store)?;
            let store = claimed.as_ref().map(|claimed| (claimed, &names));
            copy::make((port, options), &*memory, store, (&name, &attributes))
        }
    };
    Ok(file?)
}

/// The file behind the segment, if it still is what was written down.
fn find<P: Port>(
    port: &P,
    memory: &dyn luo_kho::Memory,
    segment: FrameRange,
    recorded: &Attributes,
) -> Result<P::File, MemfdError> {
    let file = port.attached(memory, segment, recorded)?;
    match port.arrival(&file) {
        Some(found) => found.is_arrival_of(recorded)?,
        None => port.look(&file)?.is_arrival_of(recorded)?,
    }
    Ok(file)
}
