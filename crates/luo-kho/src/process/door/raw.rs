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
    // struct ucred: process, user, group. The process is 0 if it cannot be seen from here, which rustix does not expect.
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
