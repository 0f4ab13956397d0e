//! What an adopter has claimed of what it inherited: private to it, and forgotten with it.

use alloc::vec::Vec;

use crate::ranges::RangeSet;
use crate::{FrameRange, KhoError};

/// Where each inherited frame, and each frame of an inherited segment, is on its way to the adopter.
#[derive(Debug, Default)]
pub(crate) struct Claims {
    unclaimed: RangeSet,
    claimed: RangeSet,
    /// Claimed, and unpreserved since: cannot be claimed again.
    spent: RangeSet,
}

impl Claims {
    pub(crate) fn on(inherited: impl Iterator<Item = FrameRange>) -> Self {
        Self { unclaimed: inherited.collect(), ..Self::default() }
    }

    /// # Errors
    ///
    /// [`KhoError::AlreadyReclaimed`], [`KhoError::NotPreserved`].
    pub(crate) fn reclaim(&mut self, range: FrameRange) -> Result<(), KhoError> {
        if self.claimed.meets(range) || self.spent.meets(range) {
            return Err(KhoError::AlreadyReclaimed { range });
        }
        if !self.unclaimed.covers(range) {
            return Err(KhoError::NotPreserved { range });
        }
        self.unclaimed.move_into(&mut self.claimed, range);
        Ok(())
    }

    /// # Errors
    ///
    /// [`KhoError::NotReclaimed`].
    pub(crate) fn forgo(&mut self, range: FrameRange) -> Result<(), KhoError> {
        if !self.claimed.covers(range) {
            return Err(KhoError::NotReclaimed { range });
        }
        self.claimed.move_into(&mut self.unclaimed, range);
        Ok(())
    }

    /// What the adopter has claimed.
    pub(crate) fn claimed(&self) -> Vec<FrameRange> {
        self.claimed.iter().collect()
    }

    /// Whether nobody has claimed some of these inherited frames.
    pub(crate) fn waits_for(&self, range: FrameRange) -> bool {
        self.unclaimed.meets(range)
    }

    /// The frames are no longer preserved.
    pub(crate) fn spend(&mut self, range: FrameRange) {
        self.claimed.move_into(&mut self.spent, range);
    }

    /// The numbers name nothing any more, and may name something else later.
    pub(crate) fn forget(&mut self, range: FrameRange) {
        let mut gone = RangeSet::default();
        for set in [&mut self.unclaimed, &mut self.claimed, &mut self.spent] {
            set.move_into(&mut gone, range);
        }
    }
}
