//! What an eventfd is: its **state** is all of it that a user can ask for and that crosses.

/// All of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// The counter: at most 2^64 - 2.
    pub count: u64,
    /// Reading takes one, and not all.
    pub semaphore: bool,
    /// Reading does not wait.
    pub nonblock: bool,
    /// An exec closes the descriptor.
    pub close_on_exec: bool,
}
