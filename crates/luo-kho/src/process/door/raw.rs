//! System calls without a library between: no `errno`, no lock, no allocation.
//!
//! The guardian may use nothing else: it shares thread-local memory and locks with the process that it guards.

use rustix::fd::{AsRawFd, BorrowedFd};
use rustix::io::Errno;

/// Makes a system call with arguments that the caller vouches for.
///
/// # Safety
///
/// As the call demands: pointers among the arguments are valid for what the kernel does with them.
#[cfg(target_arch = "x86_64")]
pub(super) unsafe fn call(number: libc::c_long, args: [usize; 6]) -> Result<usize, Errno> {
    let [first, second, third, fourth, fifth, sixth] = args;
    let mut result = number.cast_unsigned();
    // SAFETY: the kernel's calling convention on this architecture; the caller vouches for the arguments.
    unsafe {
        core::arch::asm!(
            "syscall",
            inlateout("rax") result,
            in("rdi") first, in("rsi") second, in("rdx") third,
            in("r10") fourth, in("r8") fifth, in("r9") sixth,
            lateout("rcx") _, lateout("r11") _,
            options(nostack),
        );
    }
    outcome(result)
}

/// Makes a system call with arguments that the caller vouches for.
///
/// # Safety
///
/// As the call demands: pointers among the arguments are valid for what the kernel does with them.
#[cfg(target_arch = "aarch64")]
pub(super) unsafe fn call(number: libc::c_long, args: [usize; 6]) -> Result<usize, Errno> {
    let [first, second, third, fourth, fifth, sixth] = args;
    let mut result = first;
    // SAFETY: the kernel's calling convention on this architecture; the caller vouches for the arguments.
    unsafe {
        core::arch::asm!(
            "svc 0",
            in("x8") number,
            inlateout("x0") result,
            in("x1") second, in("x2") third, in("x3") fourth, in("x4") fifth, in("x5") sixth,
            options(nostack),
        );
    }
    outcome(u64::try_from(result).unwrap_or(u64::MAX))
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
compile_error!("the feature `process` of luo-kho knows the system calls of x86_64 and aarch64 only");

/// Errors come back as small negative numbers.
fn outcome(result: u64) -> Result<usize, Errno> {
    const LAST_ERRNO: i64 = 4095;
    let signed = result.cast_signed();
    match i32::try_from(signed.wrapping_neg()) {
        Ok(errno) if (1..=LAST_ERRNO).contains(&i64::from(errno)) => Err(Errno::from_raw_os_error(errno)),
        _ => Ok(crate::ByteLen::new(result).as_usize()),
    }
}

/// An argument that is a descriptor, or another small signed number.
pub(super) fn number(value: i32) -> usize {
    // The kernel looks at the lower half only.
    usize::try_from(value.cast_unsigned()).unwrap_or(usize::MAX)
}

/// The effective user of whoever made, or accepted, this connection, as it was then: `SO_PEERCRED`.
pub(in crate::process) fn peer_uid(socket: BorrowedFd<'_>) -> Result<u32, Errno> {
    // struct ucred: process, user, group. The process is 0 if it cannot be seen from here, which rustix does not
    // expect.
    let mut cred = [0u32; 3];
    let mut len = 12u32;
    let args = [
        number(socket.as_raw_fd()),
        number(libc::SOL_SOCKET),
        number(libc::SO_PEERCRED),
        cred.as_mut_ptr().expose_provenance(),
        (&raw mut len).expose_provenance(),
        0,
    ];
    // SAFETY: the kernel writes at most `len` bytes, the size of `cred`, and the 4 bytes of `len`.
    unsafe { call(libc::SYS_getsockopt, args)? };
    let [_pid, uid, _gid] = cred;
    Ok(uid)
}

/// Whether a descriptor is closed on exec; an error if there is none under this number.
pub(in crate::process) fn closes_on_exec(file: i32) -> Result<bool, Errno> {
    let args = [number(file), number(libc::F_GETFD), 0, 0, 0, 0];
    // SAFETY: reads a flag; no pointers.
    let flags = unsafe { call(libc::SYS_fcntl, args)? };
    Ok(flags & number(libc::FD_CLOEXEC) != 0)
}

/// Sets whether a descriptor is closed on exec.
pub(in crate::process) fn set_closes_on_exec(file: i32, closes: bool) -> Result<(), Errno> {
    let flags = if closes { number(libc::FD_CLOEXEC) } else { 0 };
    let args = [number(file), number(libc::F_SETFD), flags, 0, 0, 0];
    // SAFETY: changes a flag that only exec looks at; no pointers.
    unsafe { call(libc::SYS_fcntl, args) }.map(drop)
}

/// Lets exec close every descriptor from `first` on. `EINVAL` or `ENOSYS` before Linux 5.11.
pub(in crate::process) fn all_close_on_exec(first: i32) -> Result<(), Errno> {
    const CLOSE_RANGE_CLOEXEC: usize = 1 << 2;
    let args = [number(first), number(-1), CLOSE_RANGE_CLOEXEC, 0, 0, 0];
    // SAFETY: changes flags that only exec looks at; no pointers.
    unsafe { call(libc::SYS_close_range, args) }.map(drop)
}

/// `struct pollfd`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Poll {
    file: i32,
    events: i16,
    revents: i16,
}

/// Waits until something can be read from one of these, or this time is over, or a signal comes; which of them are
/// ready. Negative numbers are passed over.
pub(super) fn poll<const N: usize>(files: [i32; N], nanos: Option<i64>) -> [bool; N] {
    let mut polls = files.map(|file| Poll { file, events: libc::POLLIN, revents: 0 });
    let time: [i64; 2] = [0, nanos.unwrap_or(0)];
    let limit = if nanos.is_some() { (&raw const time).expose_provenance() } else { 0 };
    let args = [polls.as_mut_ptr().expose_provenance(), N, limit, 0, 0, 0];
    // SAFETY: N entries of that layout, and a time or none; the kernel writes `revents`.
    let _none_ready = unsafe { call(libc::SYS_ppoll, args) };
    polls.map(|poll| poll.revents != 0)
}

/// Lets a timerfd be readable in this time, which is not zero.
pub(super) fn set_timer(file: i32, seconds: i64, nanos: i64) {
    // struct itimerspec: interval, then value; seconds, then nanoseconds.
    let spec: [i64; 4] = [0, 0, seconds, nanos];
    let args = [number(file), 0, (&raw const spec).expose_provenance(), 0, 0, 0];
    // SAFETY: the kernel reads four numbers.
    let _cannot_fail = unsafe { call(libc::SYS_timerfd_settime, args) };
}

/// Kills the process behind a pidfd.
pub(super) fn kill(pidfd: i32) {
    let args = [number(pidfd), number(libc::SIGKILL), 0, 0, 0, 0];
    // SAFETY: no pointers.
    let _dead_already = unsafe { call(libc::SYS_pidfd_send_signal, args) };
}

/// Reads at most so many bytes from a place in a file; what is not there stays as it was.
pub(super) fn read_at(file: i32, bytes: &mut [u8], at: usize) {
    let args = [number(file), bytes.as_mut_ptr().expose_provenance(), bytes.len(), at, 0, 0];
    // SAFETY: the kernel writes at most that many bytes.
    let _as_it_was = unsafe { call(libc::SYS_pread64, args) };
}

/// Writes bytes to a place in a file.
pub(super) fn write_at(file: i32, bytes: &[u8], at: usize) {
    let args = [number(file), bytes.as_ptr().expose_provenance(), bytes.len(), at, 0, 0];
    // SAFETY: the kernel reads that many bytes.
    let _nobody_knows = unsafe { call(libc::SYS_pwrite64, args) };
}

/// Wakes whoever of this address space sleeps until this changes.
pub(super) fn wake(word: &core::sync::atomic::AtomicU32) {
    let all = number(i32::MAX);
    let args = [
        word.as_ptr().expose_provenance(),
        number(libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG),
        all,
        0,
        0,
        0,
    ];
    // SAFETY: the kernel takes the address for a name, and reads nothing.
    let _nobody_sleeps = unsafe { call(libc::SYS_futex, args) };
}

/// The number of this process; 0 never.
pub(super) fn pid() -> usize {
    // SAFETY: no pointers.
    unsafe { call(libc::SYS_getpid, [0; 6]) }.unwrap_or(0)
}

/// Begins a session of its own, so that a terminal's signals do not reach this process.
pub(super) fn setsid() {
    // SAFETY: no pointers.
    let _leads_one_already = unsafe { call(libc::SYS_setsid, [0; 6]) };
}

/// What `ps` calls this thread.
pub(super) fn set_name(name: &core::ffi::CStr) {
    let args = [number(libc::PR_SET_NAME), name.as_ptr().expose_provenance(), 0, 0, 0, 0];
    // SAFETY: the kernel reads a string.
    let _only_a_name = unsafe { call(libc::SYS_prctl, args) };
}
