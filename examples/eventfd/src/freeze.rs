//! With its users stopped: the file is looked at, and written down as it is now.

use luo_core::{FreezeScope, Refusal};

use crate::{EventfdError, Port, abi};

pub(crate) fn freeze<P: Port>(port: &P, file: &P::File, scope: &mut FreezeScope<'_>) -> Result<(), Refusal> {
    let state = port.look(file).map_err(EventfdError::Host)?;
    for version in scope.versions().to_vec() {
        scope.put(version, &abi::encode(state))?;
    }
    Ok(())
}
