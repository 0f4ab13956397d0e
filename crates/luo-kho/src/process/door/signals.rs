//! Signal masks and dispositions, as sets of 64 bits: bit 0 is signal 1.

use rustix::io::Errno;

use super::raw::{call, number};

/// Signals that there are.
const LAST: i32 = 64;
/// Bytes of a set, as the kernel wants to know.
const SET: usize = 8;

/// `struct sigaction`, as the kernel of the architectures that `raw` knows has it.
#[repr(C)]
#[derive(Clone, Copy)]
struct Action {
    handler: usize,
    flags: u64,
    restorer: usize,
    mask: u64,
}

/// What is done with a signal that has no handler.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::process) enum Disposition {
    Default,
    Ignored,
}

/// Blocks every signal for the calling thread, and gives what was blocked before.
pub(in crate::process) fn block_all() -> u64 {
    set_mask(u64::MAX)
}

/// Blocks exactly these signals for the calling thread, and gives what was blocked before.
pub(in crate::process) fn set_mask(mask: u64) -> u64 {
    let mut old = 0u64;
    let (new, place) = ((&raw const mask).expose_provenance(), (&raw mut old).expose_provenance());
    let args = [number(libc::SIG_SETMASK), new, place, SET, 0, 0];
    // SAFETY: the kernel reads one set and writes another, both 8 bytes. It cannot fail with valid arguments.
    let _never_fails = unsafe { call(libc::SYS_rt_sigprocmask, args) };
    old
}

/// The signals that are ignored.
pub(in crate::process) fn ignored() -> u64 {
    let mut set = 0;
    for signal in 1..=LAST {
        let mut old = Action { handler: 0, flags: 0, restorer: 0, mask: 0 };
        let args = [number(signal), 0, (&raw mut old).expose_provenance(), SET, 0, 0];
        // SAFETY: the kernel writes one action.
        let found = unsafe { call(libc::SYS_rt_sigaction, args) };
        if found.is_ok() && old.handler == libc::SIG_IGN {
            set |= bit(signal);
        }
    }
    set
}

/// Gives the signals of a set this disposition. Those that cannot have another than the default are passed over.
pub(in crate::process) fn dispose(set: u64, how: Disposition) {
    let handler = if how == Disposition::Ignored { libc::SIG_IGN } else { libc::SIG_DFL };
    for signal in (1..=LAST).filter(|&signal| set & bit(signal) != 0) {
        let new = Action { handler, flags: 0, restorer: 0, mask: 0 };
        let args = [number(signal), (&raw const new).expose_provenance(), 0, SET, 0, 0];
        // SAFETY: the kernel reads one action, which names no code.
        let _kill_and_stop: Result<usize, Errno> = unsafe { call(libc::SYS_rt_sigaction, args) };
    }
}

const fn bit(signal: i32) -> u64 {
    1u64.wrapping_shl(signal.wrapping_sub(1).cast_unsigned())
}
