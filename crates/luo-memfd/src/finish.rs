//! After the commit: a file that came by reference is put right, where its carrier could not bring all of it.
//!
//! An exec and a socket carry the open file itself, and nothing is left to do. A new kernel makes a file of its own and
//! may forget the mode (Linux 7.3 makes it 0o777) or a late seal.

use luo_core::Record;

use crate::Port;
use crate::abi::{Form, Payload};

pub(crate) fn finish<P: Port>(port: &P, record: &Record<'_>, file: &P::File) {
    let (Some(found), Ok(now)) = (port.arrival(file), port.look(file)) else { return };
    let Ok(Payload { attributes: recorded, form: Form::Segment(_), .. }) = Payload::decode(record) else {
        return;
    };
    let shall = recorded.corrected(found, &now);
    if shall != now {
        port.amend(file, &now, &shall);
    }
}
