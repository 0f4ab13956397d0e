//! After the commit: a file that came by reference is put right, where its carrier could not bring all of it; a copy of
//! a file that had a path gets it.

use luo_core::Record;

use crate::Port;
use crate::abi::{Form, Payload};

pub(crate) fn finish<P: Port>(port: &P, record: &Record<'_>, file: &P::File) {
    let Ok(Payload { attributes: recorded, place, form, .. }) = Payload::decode(record) else { return };
    match form {
        Form::Segment(_) => {
            let (Some(found), Ok(now)) = (port.arrival(file), port.look(file)) else { return };
            let shall = recorded.corrected(found, &now);
            if shall != now {
                port.amend(file, &now, &shall);
            }
        }
        Form::Copied(_) => port.settle(file, &place),
    }
}
