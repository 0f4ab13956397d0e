//! With the guest stopped: what was told of the file is looked at once more, and written down as it is now.
//!
//! Slots and shared frames may have changed since prepare. Whatever they are now is what crosses. Frames that became
//! private meanwhile are refused as before: the guest goes on.

use luo_core::{FreezeScope, PayloadError, Refusal};

use crate::abi::{Form, Payload};
use crate::judge::refuse_hidden;
use crate::prepare::refuse_too_many;
use crate::preserve::{Held, Way};
use crate::{GuestMemfdError, Port};

pub(crate) fn freeze<P: Port>(
    port: &P,
    file: &P::File,
    held: &mut Held<P>,
    scope: &mut FreezeScope<'_>,
) -> Result<(), Refusal> {
    let facts = port.facts(file);
    let runs = refuse_too_many(&facts)?;
    let look = port.look(file).map_err(GuestMemfdError::Host)?;
    let vm = match port.vm(file) {
        None => None,
        Some(vm) => Some(scope.token_of(&vm).map_err(|cause| GuestMemfdError::VmNotPreserved { cause })?),
    };
    let form = match &mut held.way {
        Way::Reference(segment) => {
            refuse_hidden(&facts)?;
            Form::Segment(*segment)
        }
        Way::Copy(saving) => Form::Store(saving.complete(port, &facts, scope.memory())?),
        Way::Undecided => unreachable!("a file is prepared before it is frozen"),
    };
    let again;
    let map = match &held.encoded {
        Some((before, map)) if alloc::sync::Arc::ptr_eq(before, &facts) => map.as_slice(),
        _ => {
            again = facts.sharing().encode();
            again.as_slice()
        }
    };
    let too_much = GuestMemfdError::ToldTooMuch { bindings: facts.bindings().len(), runs };
    let payload = Payload { close_on_exec: look.close_on_exec, vm, form, facts };
    for version in scope.versions().to_vec() {
        let bytes = match payload.encode(version, map) {
            Ok(bytes) => bytes,
            Err(error @ PayloadError::Version { .. }) => {
                return Err(GuestMemfdError::Record(error.into()).into());
            }
            Err(_) => return Err(too_much.into()),
        };
        let put = scope.put(version, &bytes);
        put.map_err(|error| match error {
            luo_core::SlotError::TooLong { .. } => too_much.clone().into(),
            other => Refusal::from(other),
        })?;
    }
    Ok(())
}
