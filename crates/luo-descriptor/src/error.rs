//! What a host answers when it refuses.

/// A call that the host refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{call} failed with errno {errno}")]
pub struct HostError {
    /// The call.
    pub call: &'static str,
    /// The host's error number.
    pub errno: i32,
}
