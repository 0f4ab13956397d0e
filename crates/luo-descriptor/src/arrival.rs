//! A file that **arrived**: it came by reference, and its old user may still take it back.
//!
//! What is not as it was written down is a [`Mismatch`] if it matters to the contents or cannot be undone. Everything
//! else is put right after the commit, where nobody has changed it since.

use luo_kho::ByteLen;

use crate::{Access, Attributes, MODE_BITS, Seals, Status};

/// Why a file that arrived is not the one that was written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Mismatch {
    /// It was cut off or has grown since it was frozen.
    #[error("it arrived with {found}, it was frozen with {recorded}")]
    Size {
        /// What it has.
        found: ByteLen,
        /// What it had.
        recorded: ByteLen,
    },
    /// It got seals that it did not have when it was frozen. Seals cannot be taken off.
    #[error("it arrived with seals {:#x} that it did not have when it was frozen", .seals.bits())]
    Sealed {
        /// Those.
        seals: Seals,
    },
    /// The descriptor may not be used as before.
    #[error("it arrived for {found:?}, it was open for {recorded:?}")]
    Access {
        /// What it may be used for.
        found: Access,
        /// What it could be used for.
        recorded: Access,
    },
    /// The descriptor has other flags, which it keeps from its opening on.
    #[error("it arrived with status flags {:#x}, it was open with {:#x}", .found.bits(), .recorded.bits())]
    Status {
        /// What it has.
        found: Status,
        /// What it had.
        recorded: Status,
    },
}

impl Attributes {
    /// Whether a file that looks like this on its arrival can be the one that was written down.
    ///
    /// # Errors
    ///
    /// What cannot be put right.
    pub fn is_arrival_of(&self, recorded: &Self) -> Result<(), Mismatch> {
        if self.size != recorded.size {
            let (found, recorded) = (ByteLen::new(self.size), ByteLen::new(recorded.size));
            return Err(Mismatch::Size { found, recorded });
        }
        let seals = self.seals.without(recorded.seals);
        if seals != Seals::NONE {
            return Err(Mismatch::Sealed { seals });
        }
        if self.access != recorded.access {
            return Err(Mismatch::Access { found: self.access, recorded: recorded.access });
        }
        if self.status.only(Status::FIXED) != recorded.status.only(Status::FIXED) {
            return Err(Mismatch::Status { found: self.status, recorded: recorded.status });
        }
        Ok(())
    }

    /// What a file that was `found` like this on its arrival and looks like `now` shall be: what was recorded, wherever
    /// it is still as it was found. What its new user has changed since is the user's.
    #[must_use]
    pub fn corrected(&self, found: &Self, now: &Self) -> Self {
        let mut shall = *now;
        if now.mode & MODE_BITS == found.mode & MODE_BITS {
            shall.mode = self.mode;
        }
        if now.owner == found.owner {
            shall.owner = self.owner;
        }
        if now.position == found.position {
            shall.position = self.position;
        }
        if now.status == found.status {
            shall.status = self.status;
        }
        shall.seals = now.seals | self.seals;
        shall
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Owner, Times};

    fn attributes() -> Attributes {
        Attributes {
            size: 4096,
            blocks: 8,
            position: 0,
            seals: Seals::NONE,
            mode: 0o777,
            owner: Owner { user: 0, group: 0 },
            times: Times::default(),
            access: Access::ReadWrite,
            status: Status::NONE,
            close_on_exec: true,
        }
    }

    #[test]
    fn what_a_new_kernel_forgot_is_put_right() {
        let recorded = Attributes { mode: 0o600, position: 7, seals: Seals::GROW, ..attributes() };
        let found = Attributes { mode: 0o777, position: 7, ..attributes() };
        assert_eq!(recorded.corrected(&found, &found), recorded);
        assert_eq!(recorded.corrected(&recorded, &recorded), recorded);
    }

    #[test]
    fn what_the_new_user_changed_is_left_alone() {
        let recorded = Attributes { mode: 0o600, position: 7, ..attributes() };
        let found = Attributes { mode: 0o777, position: 0, ..attributes() };
        let now =
            Attributes { mode: 0o640, position: 100, seals: Seals::SHRINK, status: Status::APPEND, ..found };
        assert_eq!(recorded.corrected(&found, &now), now);
    }

    #[test]
    fn what_cannot_be_put_right_is_a_mismatch() {
        let recorded = Attributes { seals: Seals::GROW, ..attributes() };
        let check = |found: Attributes| found.is_arrival_of(&recorded);
        assert_eq!(check(Attributes { mode: 0, position: 9, seals: Seals::NONE, ..recorded }), Ok(()));
        assert!(matches!(check(Attributes { size: 1, ..recorded }), Err(Mismatch::Size { .. })));
        assert!(matches!(
            check(Attributes { seals: Seals::KNOWN, ..recorded }),
            Err(Mismatch::Sealed { .. })
        ));
        assert!(matches!(
            check(Attributes { access: Access::Read, ..recorded }),
            Err(Mismatch::Access { .. })
        ));
        assert!(matches!(
            check(Attributes { status: Status::SYNC, ..recorded }),
            Err(Mismatch::Status { .. })
        ));
        assert_eq!(check(Attributes { status: Status::APPEND, ..recorded }), Ok(()));
    }
}
