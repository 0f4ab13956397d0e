//! A seat: the thread in which one vCPU is executed.
//!
//! A vCPU that lies still is given to its seat with the permission to enter it. It leaves when the machine says that it
//! is over and the seat is **kicked**: a signal takes the thread out of the guest, and a thread that waits is woken. A
//! kick that comes between a look at the flag and the entry is lost, so whoever waits kicks again.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Once};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use vmm_sys_util::signal::{Killable as _, SIGRTMIN, register_signal_handler};

use super::error::MachineError;
use super::shared::Shared;
use super::{Entry, Vcpu};
use crate::trace::now;

/// How long to wait before the next kick. Longer than leaving the guest takes.
const KICK_AGAIN: Duration = Duration::from_micros(500);

/// A vCPU that came out.
pub(super) struct Left {
    pub(super) vcpu: Vcpu,
    /// Whether it could be executed.
    pub(super) ran: Result<(), MachineError>,
    /// When it was out of the guest.
    pub(super) at: u64,
}

/// See the room's head.
pub(super) struct Seat {
    number: u32,
    /// `None` when the seat is given up.
    take: Option<Sender<(Vcpu, Entry)>>,
    left: Receiver<Left>,
    /// `None` when it was waited for.
    thread: Option<JoinHandle<()>>,
}

extern "C" fn kicked(_: libc::c_int, _: *mut libc::siginfo_t, _: *mut libc::c_void) {
    // That it came is all that is wanted: KVM_RUN returns EINTR.
}

fn handle_kicks() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // The number is valid, so it cannot fail.
        let _never = register_signal_handler(SIGRTMIN(), kicked);
    });
}

impl Seat {
    pub(super) fn new(number: u32, shared: &Arc<Shared>) -> Result<Self, MachineError> {
        handle_kicks();
        let ((take, taken), (leave, left)) = (channel(), channel());
        let shared = Arc::clone(shared);
        let thread = Builder::new()
            .name(format!("vcpu{number}"))
            .spawn(move || sit(&shared, &taken, &leave))
            .map_err(MachineError::Thread)?;
        Ok(Self { number, take: Some(take), left, thread: Some(thread) })
    }

    /// Executes a vCPU from now on.
    pub(super) fn take(&self, vcpu: Vcpu, entry: Entry) -> Result<(), MachineError> {
        let sent = self.take.as_ref().is_some_and(|take| take.send((vcpu, entry)).is_ok());
        if sent { Ok(()) } else { Err(MachineError::Gone { vcpu: self.number }) }
    }

    /// Whether its thread lives.
    pub(super) fn is_there(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }

    /// Takes the thread out of the guest.
    pub(super) fn kick(&self) {
        let Some(thread) = &self.thread else { return };
        thread.thread().unpark();
        // It lives as long as the seat: it ends when `take` is dropped.
        let _never = thread.kill(SIGRTMIN());
    }

    /// Waits until the vCPU is out.
    pub(super) fn wait(&self) -> Result<Left, MachineError> {
        loop {
            match self.left.recv_timeout(KICK_AGAIN) {
                Ok(left) => return Ok(left),
                Err(RecvTimeoutError::Timeout) => self.kick(),
                Err(RecvTimeoutError::Disconnected) => return Err(MachineError::Gone { vcpu: self.number }),
            }
        }
    }
}

/// Waits for the thread: it holds the machine's memory and descriptors. A machine that is dropped was stopped before.
impl Drop for Seat {
    fn drop(&mut self) {
        self.take = None;
        // A thread that panicked has been reported as gone.
        let _panicked = self.thread.take().map(JoinHandle::join);
    }
}

fn sit(shared: &Shared, taken: &Receiver<(Vcpu, Entry)>, leave: &Sender<Left>) {
    while let Ok((mut vcpu, entry)) = taken.recv() {
        let ran = vcpu.run(entry, shared);
        let at = now();
        shared.left();
        if leave.send(Left { vcpu, ran, at }).is_err() {
            return;
        }
    }
}
