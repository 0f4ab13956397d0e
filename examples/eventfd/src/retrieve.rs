//! Making the file again.

use luo_core::{Record, Refusal};

use crate::{EventfdError, Port, abi};

pub(crate) fn retrieve<P: Port>(port: &P, record: &Record<'_>) -> Result<P::File, Refusal> {
    let state = abi::decode(record).map_err(EventfdError::Payload)?;
    Ok(port.make(state).map_err(EventfdError::Host)?)
}
