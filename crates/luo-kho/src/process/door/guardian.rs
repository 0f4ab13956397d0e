//! The guardian: a process that shares the memory of the one that it guards.
//!
//! It is a clone with `CLONE_VM` and nothing else in common: its own descriptors, signal dispositions, session, and
//! stack. It keeps the old address space alive across the exec of the guarded process, so that tearing it down is not
//! on the way; and it is the way back, if the successor dies, or does not commit in time.
//!
//! It may not allocate, lock, panic, or touch thread-local memory: all of that belongs to the guarded process, whose
//! threads run, or stopped wherever they were. So it does nothing but atomic operations and raw system calls.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::ffi::{CStr, c_int, c_void};
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;

use memmap2::{MmapMut, MmapOptions};
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd as _, OwnedFd};
use rustix::fs::Timespec;
use rustix::io::Errno;
use rustix::process::{Signal, WaitId, WaitIdOptions, pidfd_send_signal, waitid};
use rustix::thread::futex;

use super::WordPage;
use super::program::Program;
use super::raw::{self, all_close_on_exec, set_closes_on_exec};
use super::signals::{Disposition, block_all, dispose, set_mask};
use crate::Word;
use crate::ownership::{Holding, shared};

/// A few frames of a debug build, many times over.
const STACK: usize = 256 * 1024;
/// How often it looks at the word without being told: the longest time that an offer goes unnoticed.
const TICK_NANOS: i64 = 20_000_000;
/// Digits of a process number, with leading zeros.
const DIGITS: usize = 10;
const _: () = assert!(i32::MAX.ilog10() < 10 && DIGITS == 10);

/// How often is looked whether it died before it watched: 20 ms.
const LOOK: Timespec = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };
/// What its life says once it has begun to watch.
const WATCHING: u32 = 1;

/// Why the guest comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::process) enum Mishap {
    /// The guarded process died.
    Died,
    /// Nobody committed in time.
    Late,
}

impl Mishap {
    /// As it is written down.
    pub(in crate::process) const fn code(self) -> u16 {
        match self {
            Self::Died => 2,
            Self::Late => 3,
        }
    }
}

/// All that the guardian needs. It is laid out beforehand and not changed once it runs.
#[derive(Debug)]
pub(in crate::process) struct Watch {
    pub(in crate::process) word: WordPage,
    /// A pidfd of the guarded process.
    pub(in crate::process) guarded: OwnedFd,
    /// An eventfd that the successor rings after its commit.
    pub(in crate::process) bell: OwnedFd,
    /// A timerfd.
    pub(in crate::process) timer: OwnedFd,
    /// From the offer to the commit.
    pub(in crate::process) blackout: Duration,
    /// The waybill, and where in it 2 bytes say what happened.
    pub(in crate::process) waybill: OwnedFd,
    pub(in crate::process) mishap_at: usize,
    /// The old program.
    pub(in crate::process) file: OwnedFd,
    pub(in crate::process) program: Program,
    /// A variable in its environment, and where in it the number of its process is to be put, 10 digits.
    pub(in crate::process) variable: alloc::ffi::CString,
    pub(in crate::process) pid_at: usize,
    /// What the old program gets.
    pub(in crate::process) carried: Vec<i32>,
}

/// What both processes have in sight.
struct Shared {
    watch: Watch,
    life: AtomicU32,
    /// Where the digits are put.
    digits: *mut u8,
}

/// A guardian that runs. Dropping it ends it, unless an offer stands.
///
/// # Invariants
///
/// - `shared` and `stack` are in use by the guardian until it has been reaped.
#[derive(Debug)]
pub(in crate::process) struct Guardian {
    shared: NonNull<Shared>,
    stack: Option<MmapMut>,
    pidfd: OwnedFd,
    pid: i32,
}

// SAFETY: `shared` is owned, and both sides only read it, or use its atomics.
unsafe impl Send for Guardian {}
// SAFETY: as above.
unsafe impl Sync for Guardian {}

impl Guardian {
    /// Starts it. Returns when it watches, or with why it does not.
    ///
    /// # Errors
    ///
    /// The host's; `ETIMEDOUT` if it does not come up in `patience`.
    pub(in crate::process) fn start(watch: Watch, patience: Duration) -> Result<Self, Errno> {
        let errno = |error: std::io::Error| Errno::from_io_error(&error).unwrap_or(Errno::NOMEM);
        let variable: &CStr = &watch.variable;
        let digits =
            watch.program.variable(variable).filter(|_| watch.pid_at + DIGITS <= variable.count_bytes());
        let digits = digits.ok_or(Errno::INVAL)?.wrapping_add(watch.pid_at);
        let stack = MmapOptions::new().len(STACK).stack().map_anon().map_err(errno)?;
        let top = stack.as_ptr().wrapping_add(STACK).cast_mut().cast::<c_void>();
        let shared = Shared { watch, life: AtomicU32::new(0), digits };
        let shared = NonNull::from(Box::leak(Box::new(shared)));

        let mut pidfd: c_int = -1;
        let flags = libc::CLONE_VM | libc::CLONE_PIDFD;
        // No handler of this process may ever run in the guardian, on its stack.
        let mask = block_all();
        // SAFETY: the stack is mapped, of this size, and used by nobody else; it and `shared` stay until the guardian
        // has been reaped. The function keeps to what the head of this file allows. The kernel writes one descriptor.
        let pid = unsafe { libc::clone(guard, top, flags, shared.as_ptr().cast(), &raw mut pidfd) };
        let failed = (pid < 0).then(|| errno(std::io::Error::last_os_error()));
        set_mask(mask);
        if let Some(errno) = failed {
            // SAFETY: leaked above, and nobody else has it.
            drop(unsafe { Box::from_raw(shared.as_ptr()) });
            return Err(errno);
        }
        // SAFETY: the kernel has just opened it for us.
        let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
        // INVARIANT: the guardian uses these two, and has not been reaped.
        let guardian = Self { shared, stack: Some(stack), pidfd, pid };
        guardian.await_watching(patience)?;
        Ok(guardian)
    }

    /// Sleeps until it watches. Whoever looked again and again instead could keep it from being executed: for seconds,
    /// on a processor that both share with a vCPU.
    fn await_watching(&self, patience: Duration) -> Result<(), Errno> {
        let end = std::time::Instant::now().checked_add(patience);
        // SAFETY: by the invariants it lives, and is only read.
        let life = unsafe { &self.shared.as_ref().life };
        while life.load(Ordering::Acquire) != WATCHING {
            if !self.is_alive() {
                return Err(Errno::CHILD);
            }
            if end.is_some_and(|end| end < std::time::Instant::now()) {
                return Err(Errno::TIMEDOUT);
            }
            // Woken, or not: it is looked at again.
            let _woken = futex::wait(life, futex::Flags::PRIVATE, 0, Some(&LOOK));
        }
        Ok(())
    }

    pub(in crate::process) fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    pub(in crate::process) fn pid(&self) -> i32 {
        self.pid
    }

    pub(in crate::process) fn is_alive(&self) -> bool {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT | all_children();
        matches!(waitid(WaitId::PidFd(self.pidfd.as_fd()), options), Ok(None))
    }
}

impl Drop for Guardian {
    fn drop(&mut self) {
        // SAFETY: by the invariants it lives, and is only read.
        let watch = unsafe { &self.shared.as_ref().watch };
        if load(watch).is_some_and(|word| word.holding() == Holding::Offered) {
            // Whoever made the offer is leaving without having taken it back: this is the way back. It uses all that it
            // uses until this process is gone.
            core::mem::forget(self.stack.take());
            return;
        }
        let _gone_already = pidfd_send_signal(&self.pidfd, Signal::KILL);
        if reap(self.pidfd.as_fd(), true) {
            // SAFETY: leaked in `start`; the guardian is gone, so nobody else has it.
            drop(unsafe { Box::from_raw(self.shared.as_ptr()) });
        } else {
            // It cannot be told whether it still runs: what it uses stays.
            core::mem::forget(self.stack.take());
        }
    }
}

/// Reaps a guardian that is a child of this process; whether it is gone now.
pub(in crate::process) fn reap(pidfd: BorrowedFd<'_>, wait: bool) -> bool {
    let patience = if wait { WaitIdOptions::empty() } else { WaitIdOptions::NOHANG };
    loop {
        match waitid(WaitId::PidFd(pidfd), WaitIdOptions::EXITED | all_children() | patience) {
            // CHILD: somebody else has reaped it.
            Ok(Some(_)) | Err(Errno::CHILD) => return true,
            Err(Errno::INTR) => {}
            Ok(None) | Err(_) => return false,
        }
    }
}

/// A guardian is cloned without SIGCHLD, and is not waited for by those who wait for children that send it.
fn all_children() -> WaitIdOptions {
    WaitIdOptions::from_bits_retain(libc::__WALL.cast_unsigned())
}

/// The guardian begins here, and ends with the number that this returns.
extern "C" fn guard(shared: *mut c_void) -> c_int {
    // SAFETY: what `start` passed; it lives until this process has been reaped, and nobody changes it but by atomics.
    let shared = unsafe { &*shared.cast_const().cast::<Shared>() };
    raw::setsid();
    raw::set_name(c"luo-guardian");
    let Some(watch) = Watching::begin(&shared.watch) else { return 1 };
    shared.life.store(WATCHING, Ordering::Release);
    raw::wake(&shared.life);
    match watch.until_decided() {
        None => 0,
        Some(mishap) => go_back(shared, mishap),
    }
}

struct Watching<'w> {
    watch: &'w Watch,
    /// The word when it began.
    first: Word,
    /// The offer for which the timer runs, or has run.
    armed: Option<Word>,
    /// Whether the bell is still listened to: it rings once.
    bell: bool,
}

impl<'w> Watching<'w> {
    fn begin(watch: &'w Watch) -> Option<Self> {
        Some(Self { watch, first: load(watch)?, armed: None, bell: true })
    }

    /// Watches until the guardian is not needed any more, or has shut everybody out and is to bring the guest back.
    fn until_decided(mut self) -> Option<Mishap> {
        loop {
            let word = load(self.watch)?;
            let still_here = word.owner() == self.first.owner();
            match word.holding() {
                Holding::Running if still_here => self.armed = None,
                Holding::Offered if still_here => self.arm(word),
                // Somebody committed, or the owner stopped on purpose.
                _ => return None,
            }
            let [died, rung, late] = self.poll();
            self.bell = self.bell && !rung;
            if !(died || late && self.armed.is_some()) {
                continue;
            }
            // Dead, or late: what does the word say now?
            let word = load(self.watch)?;
            match (word.holding(), died) {
                (Holding::Offered, true) if word.owner() == self.first.owner() => {
                    if self.shut_out(word) {
                        return Some(Mishap::Died);
                    }
                }
                (Holding::Offered, false) if self.armed == Some(word) => {
                    if self.shut_out(word) {
                        return Some(Mishap::Late);
                    }
                }
                // Whoever owned the guest is dead, and had made no offer.
                (_, true) => return None,
                (_, false) => {}
            }
        }
    }

    /// Starts the timer for an offer, once.
    fn arm(&mut self, offer: Word) {
        if self.armed == Some(offer) {
            return;
        }
        self.armed = Some(offer);
        let blackout = self.watch.blackout;
        // Zero would stop the timer.
        let nanos = i64::from(blackout.subsec_nanos()).max(1);
        let seconds = i64::try_from(blackout.as_secs()).unwrap_or(i64::MAX);
        raw::set_timer(self.watch.timer.as_raw_fd(), seconds, nanos);
    }

    /// The renewed offer: whoever read the old one cannot commit any more.
    fn shut_out(&self, offer: Word) -> bool {
        let Some(renewed) = offer.next(offer.owner(), Holding::Offered) else { return false };
        shared::swap(self.watch.word.atomic(), offer, renewed).is_ok()
    }

    /// Waits a little; whether the guarded process has died, the bell has rung, the time is up.
    fn poll(&self) -> [bool; 3] {
        let watch = self.watch;
        // A negative number is passed over.
        let bell = if self.bell { watch.bell.as_raw_fd() } else { -1 };
        let timer = if self.armed.is_some() { watch.timer.as_raw_fd() } else { -1 };
        raw::poll([watch.guarded.as_raw_fd(), bell, timer], Some(TICK_NANOS))
    }
}

fn load(watch: &Watch) -> Option<Word> {
    shared::load(watch.word.atomic()).ok()
}

/// Makes sure that the guarded process is gone, and becomes the old program.
fn go_back(shared: &Shared, mishap: Mishap) -> c_int {
    let watch = &shared.watch;
    note(watch, mishap);
    let guarded = watch.guarded.as_raw_fd();
    raw::kill(guarded);
    // It is dead when its pidfd can be read. Until then nothing else can be done.
    while raw::poll([guarded], None) != [true] {}
    put_pid(shared.digits);
    // Before Linux 5.11 it keeps what it would have closed, and has what it needs all the same.
    let _too_old = all_close_on_exec(3);
    for &file in &watch.carried {
        let _not_open = set_closes_on_exec(file, false);
    }
    dispose(u64::MAX, Disposition::Default);
    set_mask(0);
    let _why = watch.program.exec_file(watch.file.as_raw_fd());
    127
}

/// Writes down what happened, unless the successor has said why it refuses.
fn note(watch: &Watch, mishap: Mishap) {
    let file = watch.waybill.as_raw_fd();
    let mut bytes = [0u8; 2];
    raw::read_at(file, &mut bytes, watch.mishap_at);
    if bytes == [0; 2] {
        raw::write_at(file, &mishap.code().to_le_bytes(), watch.mishap_at);
    }
}

/// Puts the number of this process, which is about to become the old program, where that will look for it.
fn put_pid(digits: *mut u8) {
    let mut rest = raw::pid();
    let mut place = digits.wrapping_add(DIGITS);
    for _ in 0..DIGITS {
        place = place.wrapping_sub(1);
        let digit = b'0'.wrapping_add(u8::try_from(rest % 10).unwrap_or(0));
        // SAFETY: one of the 10 bytes that `start` found inside a string of the program's environment; that memory is
        // on the heap, and nobody else has used it since.
        unsafe { place.write(digit) };
        rest /= 10;
    }
}
