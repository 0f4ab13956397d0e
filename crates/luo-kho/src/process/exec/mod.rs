//! Handing over in place: this program is replaced by another, in the same process.
//!
//! ```text
//! prepare    the guardian is started; the waybill is written               the guest runs
//! hand_over  descriptors and signals are made ready, execve                the offer stands
//! arrive     the new program takes the descriptors, adopts, commits        the guardian leaves
//! ```
//!
//! If execve fails, everything is as it was. From the offer on the **guardian** watches: if the process dies, or nobody
//! commits in time, it renews the offer, so that nobody else can commit, kills the process, waits until it is gone, and
//! becomes the old program, which arrives like any successor
//! ([`Arrival::way_back`](crate::process::Arrival::way_back)). The guest then lives on in a process with another
//! number; a service manager that asked to be notified is told (`MAINPID=`, which systemd heeds with
//! `NotifyAccess=all`). A manager that stops the whole service because its main process was killed, as systemd does
//! unless the unit says otherwise, stops the way back too: this has not been tried with one yet. A guardian that dies
//! before the offer makes the handover fail; one that dies later leaves no way back.
//!
//! The guardian holds every descriptor that was open in prepare until it leaves: closing a VM is not on the way either,
//! and whoever waits for the other end of a connection to be closed waits that long. What this program has buffered for
//! standard output is lost: flush it first. Whatever signal is pending and blocked arrives just before exec.
//!
//! # What the new program finds
//!
//! The variable `LUO_WAYBILL` of its environment has the form `1:PID:NUMBER`. If PID is the number of its process,
//! NUMBER is that of the descriptor of the waybill, on which all others are listed; so children that inherit the
//! variable are not mistaken. Standard input, output and error are what they were. Nothing else is open; no signal is
//! blocked or ignored.

mod arrive;
mod carrier;
mod note;
mod rules;

pub use self::arrive::arrive;
pub use self::carrier::Exec;
pub(super) use self::note::refuse;

/// The variable, and what stands before the number of the process.
const VARIABLE: &str = "LUO_WAYBILL";
const VERSION: &str = "1";
