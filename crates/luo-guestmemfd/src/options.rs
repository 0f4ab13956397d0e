//! What an embedder can choose: what a successor makes of a file that arrives, how much is reserved for a copy, who
//! exports private memory.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::fmt;

use luo_core::Refusal;
use luo_kho::FRAME_BYTES;

use crate::{Port, PrivateMemory};

/// What becomes of a file that a carrier takes across. One that a carrier does not take is copied in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Retrieve {
    /// The successor maps the old file, and makes slots of its machine at the address where it is mapped. Nothing is
    /// copied; the machine for which the file was made lives on in the kernel until the file is gone.
    #[default]
    MapOld,
    /// The successor copies it into a guest_memfd of the new machine, which can be bound to that: within the pause.
    CopyIntoNew,
}

/// For a copy, one frame more is reserved for every so many pages that exist in prepare, and at least [`SPARE_MIN`].
const SPARE_SHARE: u64 = 16;
/// 256 KiB.
const SPARE_MIN: u64 = 64;

type PrivateOf<F> = Arc<dyn Fn(&F) -> Option<Box<dyn PrivateMemory>> + Send + Sync>;
type VmFor<V> = Arc<dyn Fn() -> Result<V, Refusal> + Send + Sync>;

/// All choices.
pub(crate) struct Options<P: Port> {
    pub(crate) retrieve: Retrieve,
    /// Frames beyond the pages that exist; `None` for the share above.
    pub(crate) spare: Option<u64>,
    pub(crate) private: Option<PrivateOf<P::File>>,
    pub(crate) vm_for: Option<VmFor<P::Vm>>,
}

impl<P: Port> Default for Options<P> {
    fn default() -> Self {
        Self { retrieve: Retrieve::default(), spare: None, private: None, vm_for: None }
    }
}

impl<P: Port> Options<P> {
    /// A way to the private pages of a file, if the embedder has one.
    pub(crate) fn private_of(&self, file: &P::File) -> Option<Box<dyn PrivateMemory>> {
        self.private.as_ref().and_then(|private_of| private_of(file))
    }

    /// How many frames are reserved for a copy of a file of `pages` pages of which so many exist: no more than it can
    /// ever have.
    pub(crate) fn reserve(&self, present: u64, pages: u64) -> u64 {
        let spare = self.spare.unwrap_or_else(|| (present / SPARE_SHARE).max(SPARE_MIN));
        present.saturating_add(spare).min(pages)
    }
}

/// How long it takes to copy so many pages, in words.
pub(crate) fn pause(pages: u64, bytes_per_second: u64) -> alloc::string::String {
    let rate = u128::from(bytes_per_second.max(1));
    let microseconds = u128::from(pages) * u128::from(FRAME_BYTES) * 1_000_000 / rate;
    let (whole, tenths) = (microseconds / 1000, microseconds % 1000 / 100);
    alloc::format!("about {whole}.{tenths} ms of pause at {} MB/s", rate / 1_000_000)
}

impl<P: Port> fmt::Debug for Options<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("retrieve", &self.retrieve)
            .field("spare", &self.spare)
            .field("private", &self.private.is_some())
            .field("vm_for", &self.vm_for.is_some())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_is_said_in_words() {
        assert_eq!(pause(1 << 18, 4_000_000_000), "about 268.4 ms of pause at 4000 MB/s");
        assert_eq!(pause(0, 0), "about 0.0 ms of pause at 0 MB/s");
    }

    #[test]
    fn no_more_is_reserved_than_a_file_can_have() {
        let options = Options::<crate::sim::SimHost>::default();
        assert_eq!(
            [(0, 9), (10, 1000), (3200, 9000)].map(|(present, pages)| options.reserve(present, pages)),
            [9, 74, 3400]
        );
        let narrow = Options::<crate::sim::SimHost> { spare: Some(2), ..Options::default() };
        assert_eq!(narrow.reserve(10, 1000), 12);
    }
}
