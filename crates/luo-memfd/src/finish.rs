//! After the commit: a file that came by reference is put right, where its carrier could not bring all of it.
//!
//! An exec and a socket carry the open file itself, and nothing is left to do. A new kernel makes a file of its own and
//! may forget the mode (Linux 7.3 makes it 0o777) or a late seal.

use luo_core::Record;

use crate::abi::{Form, Payload};
use crate::{Attributes, MODE_BITS, Port};

pub(crate) fn finish<P: Port>(port: &P, record: &Record<'_>, file: &P::File) {
    let (Some(found), Ok(now)) = (port.arrival(file), port.look(file)) else { return };
    let Ok(Payload { attributes: recorded, form: Form::Segment(_), .. }) = Payload::decode(record) else {
        return;
    };
    let shall = corrected(found, &now, &recorded);
    if shall != now {
        port.amend(file, &now, &shall);
    }
}

/// What was recorded, wherever the file is still as it was found: what its new user has changed since is the user's.
fn corrected(found: &Attributes, now: &Attributes, recorded: &Attributes) -> Attributes {
    let mut shall = *now;
    if now.mode & MODE_BITS == found.mode & MODE_BITS {
        shall.mode = recorded.mode;
    }
    if now.owner == found.owner {
        shall.owner = recorded.owner;
    }
    if now.position == found.position {
        shall.position = recorded.position;
    }
    if now.status == found.status {
        shall.status = recorded.status;
    }
    shall.seals = now.seals | recorded.seals;
    shall
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::SimHost;
    use crate::{Seals, Status};

    fn attributes() -> Attributes {
        let host = SimHost::new();
        host.look(&host.memfd("guest")).unwrap()
    }

    #[test]
    fn what_a_new_kernel_forgot_is_put_right() {
        let recorded = Attributes { mode: 0o600, position: 7, seals: Seals::GROW, ..attributes() };
        let found = Attributes { mode: 0o777, position: 7, ..attributes() };
        assert_eq!(corrected(&found, &found, &recorded), recorded);
        assert_eq!(corrected(&recorded, &recorded, &recorded), recorded);
    }

    #[test]
    fn what_the_new_user_changed_is_left_alone() {
        let recorded = Attributes { mode: 0o600, position: 7, ..attributes() };
        let found = Attributes { mode: 0o777, position: 0, ..attributes() };
        let now =
            Attributes { mode: 0o640, position: 100, seals: Seals::SHRINK, status: Status::APPEND, ..found };
        assert_eq!(corrected(&found, &now, &recorded), now);
    }
}
