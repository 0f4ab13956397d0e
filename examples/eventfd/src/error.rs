//! What goes wrong.

use luo_core::{PayloadError, Refusal};

use crate::HostError;

/// Why a file was not carried.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EventfdError {
    /// The host refused.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The payload is not believed.
    #[error(transparent)]
    Payload(#[from] PayloadError),
}

impl From<EventfdError> for Refusal {
    fn from(error: EventfdError) -> Self {
        Self::new(error)
    }
}
