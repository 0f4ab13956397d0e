//! Nobody wants the file any more: what carried it is claimed, so that it can be released, and its huge pages go back
//! to their pool.

use luo_core::{Record, RetrieveScope};

use crate::Port;
use crate::abi::{Form, Payload};
use crate::copy;

/// Claims what can be found. What a damaged record does not name is released with the rest at the end of finish.
pub(crate) fn discard<P: Port>(port: &P, record: &Record<'_>, scope: &mut RetrieveScope<'_>) {
    let Ok(Payload { form, attributes, place, .. }) = Payload::decode(record) else { return };
    let memory = scope.memory();
    match form {
        Form::Segment(segment) => {
            if memory.reclaim(segment).is_ok() {
                // A host that has not seen it yet counts its pages as its own before they are given up.
                drop(port.attached(&*memory, segment, &attributes, &place));
            }
        }
        Form::Copied(copied) => drop(copy::claim(memory, &copied)),
    }
}
