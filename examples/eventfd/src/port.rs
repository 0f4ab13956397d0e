//! The port: the least that a host must lend, so that its files can be carried.
//!
//! A **file** is what users hold: a reference to an open one. [`sim`](crate::sim) is an adapter. A method changes
//! nothing unless it says so. Undoing is dropping.

use alloc::borrow::Cow;

use luo_core::Identity;

use crate::{HostError, State};

/// What a file is to the handler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sort {
    /// The handler's.
    Ours,
    /// Something else.
    Other,
    /// The handler's, but its user should hear why it cannot travel.
    Unfit {
        /// Why: lower case, no full stop.
        reason: Cow<'static, str>,
    },
}

/// A host with such files.
pub trait Port: Send + Sync + 'static {
    /// What users hold.
    type File: Clone + Send + Sync + 'static;

    /// What tells the file from others: the same for every reference to one file.
    fn identity(&self, file: &Self::File) -> Identity;

    /// What the file is.
    ///
    /// # Errors
    ///
    /// The host's.
    fn sort(&self, file: &Self::File) -> Result<Sort, HostError>;

    /// All that a user can ask for.
    ///
    /// # Errors
    ///
    /// The host's.
    fn look(&self, file: &Self::File) -> Result<State, HostError>;

    /// A new file in this state.
    ///
    /// # Errors
    ///
    /// The host's.
    fn make(&self, state: State) -> Result<Self::File, HostError>;
}
