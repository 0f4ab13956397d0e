//! With its users running: room for the payload is set aside, as large as it can become.

use luo_core::{PrepareScope, Refusal};

use crate::abi::MOST_BYTES;

pub(crate) fn prepare(scope: &mut PrepareScope<'_>) -> Result<(), Refusal> {
    for version in scope.versions().to_vec() {
        scope.reserve(version, MOST_BYTES)?;
    }
    Ok(())
}
