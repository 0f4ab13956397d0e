//! The successor's end: it calls, introduces itself, and takes the descriptors.

use alloc::vec::Vec;
use std::path::Path;

use rustix::fd::OwnedFd;

use super::MANIFEST;
use crate::process::arrival::{Arrival, Way};
use crate::process::line::packet::Kind;
use crate::process::line::{Deadline, Line, LineError, dial};
use crate::process::waybill::{self, Cargo, Entry};
use crate::process::{ArrivalError, Terms};

/// Calls the predecessor that listens at `path`, shows it `manifest`, and takes what it hands over. Returns when all
/// descriptors are here and the guest still runs there.
///
/// # Errors
///
/// [`ArrivalError::Line`]: nobody there, not to be trusted, its refusal, too late, not to be understood, or descriptors
/// lost because too many are open here.
pub fn connect(path: impl AsRef<Path>, manifest: &[u8], terms: Terms) -> Result<Arrival, ArrivalError> {
    if manifest.len() > MANIFEST {
        return Err(LineError::TooLong { len: manifest.len(), limit: MANIFEST }.into());
    }
    let line = dial(path.as_ref(), terms.call)?;
    line.say(Kind::Hello, manifest, Deadline::after(terms.message))?;
    match take_cargo(&line, &terms) {
        Ok(cargo) => Ok(Arrival::new(cargo, Way::Line { line, terms })),
        Err(error) => {
            line.refuse(&alloc::string::ToString::to_string(&error));
            Err(error.into())
        }
    }
}

fn take_cargo(line: &Line, terms: &Terms) -> Result<Cargo, LineError> {
    const AWAITED: &str = "send descriptors";
    let garbled = |why| LineError::Garbled { awaited: AWAITED, why };
    let mut arrived: Vec<(Entry, OwnedFd)> = Vec::new();
    let mut time = terms.call;
    for next in 0u32.. {
        let batch = line.next(AWAITED, Deadline::after(time))?;
        let packet = batch.expect(Kind::Cargo)?;
        let (part, parts) = (packet.part, packet.parts);
        let entries = waybill::entries(packet.body).map_err(garbled)?;
        if part != next || entries.is_empty() || entries.len() != batch.files.len() {
            return Err(garbled("descriptors and their list do not agree"));
        }
        arrived.extend(entries.into_iter().zip(batch.files));
        if arrived.len() > waybill::MOST {
            return Err(garbled("there are more than anybody needs"));
        }
        if part + 1 == parts {
            break;
        }
        time = terms.message;
    }
    Cargo::sort(arrived.into_iter())
}
