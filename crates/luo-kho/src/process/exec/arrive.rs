//! What a program does that was started by exec: it looks whether something was carried here.

use alloc::string::ToString as _;
use alloc::vec::Vec;
use std::env;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use rustix::fd::{AsFd as _, OwnedFd};

use super::{VARIABLE, VERSION, note};
use crate::process::ArrivalError;
use crate::process::arrival::{Arrival, Way};
use crate::process::door::Inherited;
use crate::process::line::LineError;
use crate::process::waybill::{Cargo, Entry, Role};

/// Takes what an exec carried into this process. `None` if there was no such exec, or it has been taken already.
///
/// The descriptors are closed on exec again from now on.
///
/// # Errors
///
/// [`ArrivalError::Line`] if what was carried is not what the waybill says. The guardian will have been told why; exit.
pub fn arrive() -> Result<Option<Arrival>, ArrivalError> {
    let Some(number) = waybill_number() else { return Ok(None) };
    let Some(mut inherited) = Inherited::take() else { return Ok(None) };
    let file = claim(&mut inherited, number)?;
    match unload(&mut inherited, &file) {
        Ok((cargo, back)) => {
            if back.is_some() {
                announce();
            }
            Ok(Some(Arrival::new(cargo, Way::Exec { note: file, back })))
        }
        Err(error) => {
            note::refuse(file.as_fd(), &error.to_string());
            Err(error.into())
        }
    }
}

fn unload(
    inherited: &mut Inherited,
    file: &OwnedFd,
) -> Result<(Cargo, Option<super::super::WayBack>), LineError> {
    let (entries, back) = note::read(file.as_fd())?;
    let mut arrived: Vec<(Entry, OwnedFd)> = Vec::with_capacity(entries.len());
    for entry in entries {
        // On the way back this process is the guardian, which never had a descriptor of itself.
        if entry.role == Role::Guardian && back.is_some() {
            continue;
        }
        let file = claim(inherited, entry.number)?;
        arrived.push((entry, file));
    }
    Ok((Cargo::sort(arrived.into_iter())?, back))
}

fn claim(inherited: &mut Inherited, number: i32) -> Result<OwnedFd, LineError> {
    let failed = |errno: rustix::io::Errno| LineError::Host { call: "claim", errno: errno.raw_os_error() };
    inherited.claim(number).map_err(failed)
}

/// The number of the waybill's descriptor, if the variable is meant for this process.
fn waybill_number() -> Option<i32> {
    let variable = env::var(VARIABLE).ok()?;
    let mut fields = variable.split(':');
    let (version, pid, number) = (fields.next()?, fields.next()?, fields.next()?);
    let meant = version == VERSION && pid.parse() == Ok(std::process::id()) && fields.next().is_none();
    meant.then(|| number.parse().ok()).flatten()
}

/// Tells the service manager, if there is one, that the main process has another number now.
fn announce() {
    let Some(place) = env::var_os("NOTIFY_SOCKET") else { return };
    let address = match place.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name),
        _ => SocketAddr::from_pathname(&place),
    };
    let message = alloc::format!("MAINPID={}", std::process::id());
    // The guest is what counts: a manager that does not listen is no reason to stop, or to wait.
    let _unheard = UnixDatagram::unbound().and_then(|socket| {
        socket.set_nonblocking(true)?;
        socket.send_to_addr(message.as_bytes(), &address?)
    });
}
