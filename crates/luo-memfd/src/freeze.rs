//! With the users stopped: the file is looked at once more, and written down as it is now.
//!
//! Size, seals, mode, position and flags may all have changed since prepare. Whatever they are now is what crosses;
//! only a copy that no longer fits into what prepare reserved is refused.

use luo_core::{FreezeScope, Refusal};

use crate::abi::{Form, Payload};
use crate::copy::Hands;
use crate::options::Options;
use crate::preserve::{Held, Way};
use crate::{MemfdError, Port, Seals};

pub(crate) fn freeze<P: Port>(
    (port, options): (&P, &Options<P::File>),
    file: &P::File,
    held: &mut Held<P>,
    scope: &mut FreezeScope<'_>,
) -> Result<(), Refusal> {
    let attributes = port.look(file).map_err(MemfdError::Host)?;
    if attributes.seals.unknown() != Seals::NONE {
        return Err(MemfdError::StrangeSeals { seals: attributes.seals.unknown() }.into());
    }
    let form = match &mut held.way {
        Way::Reference(segment) => Form::Segment(*segment),
        Way::Copy(saving) => {
            if let Some(bond) = port.bonds(file).map_err(MemfdError::Host)? {
                return Err(MemfdError::CannotCopy { bond }.into());
            }
            let mut hands = Hands { port, options, memory: scope.memory() };
            Form::Store(saving.complete(&attributes, &mut hands)?)
        }
        Way::Undecided => unreachable!("a file is prepared before it is frozen"),
    };
    let payload = Payload { attributes, name: held.name.clone(), form };
    for version in scope.versions().to_vec() {
        let bytes = payload.encode(version).map_err(MemfdError::Payload)?;
        scope.put(version, &bytes)?;
    }
    Ok(())
}
