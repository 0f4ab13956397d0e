//! Programs as exec takes them, and descriptors as the program that was started finds them.

use alloc::ffi::CString;
use alloc::vec::Vec;
use core::ffi::{CStr, c_char};
use core::sync::atomic::{AtomicBool, Ordering};

use rustix::fd::{FromRawFd as _, OwnedFd};
use rustix::io::Errno;

use super::raw::{call, closes_on_exec, number, set_closes_on_exec};

/// Arguments and environment of a program, laid out for exec beforehand: nothing is allocated when it counts.
///
/// # Invariants
///
/// - `argv` and `envp` hold pointers that [`CString::into_raw`] gave, each in one of them and once, and end with a
///   null.
#[derive(Debug)]
pub(in crate::process) struct Program {
    path: CString,
    argv: Vec<*mut c_char>,
    envp: Vec<*mut c_char>,
}

// SAFETY: the pointers lead to memory that the program itself owns, on the heap.
unsafe impl Send for Program {}
// SAFETY: as above; through a shared reference it is only read.
unsafe impl Sync for Program {}

impl Program {
    pub(in crate::process) fn new(path: CString, arguments: Vec<CString>, environment: Vec<CString>) -> Self {
        let pointers = |strings: Vec<CString>| {
            strings.into_iter().map(CString::into_raw).chain([core::ptr::null_mut()]).collect::<Vec<_>>()
        };
        // INVARIANT: made so right here.
        Self { path, argv: pointers(arguments), envp: pointers(environment) }
    }

    /// Replaces this process. Returns only if that failed, and then why.
    pub(in crate::process) fn exec(&self) -> Errno {
        let args = [
            self.path.as_ptr().expose_provenance(),
            self.argv.as_ptr().expose_provenance(),
            self.envp.as_ptr().expose_provenance(),
            0,
            0,
            0,
        ];
        // SAFETY: by the invariants a string, and two lists of strings that end with a null; if the call succeeds,
        // nothing of this program is left that could be wrong.
        unsafe { call(libc::SYS_execve, args) }.err().unwrap_or(Errno::NOEXEC)
    }

    /// As [`exec`](Self::exec), for the program behind a descriptor, whatever stands at its path by now.
    pub(super) fn exec_file(&self, file: i32) -> Errno {
        let args = [
            number(file),
            c"".as_ptr().expose_provenance(),
            self.argv.as_ptr().expose_provenance(),
            self.envp.as_ptr().expose_provenance(),
            number(libc::AT_EMPTY_PATH),
            0,
        ];
        // SAFETY: as in `exec`.
        unsafe { call(libc::SYS_execveat, args) }.err().unwrap_or(Errno::NOEXEC)
    }

    /// Where the variable of the environment that is exactly `text` begins, for whoever completes it in place.
    pub(super) fn variable(&self, text: &CStr) -> Option<*mut u8> {
        let found = self.envp.iter().find(|string| {
            // SAFETY: by the invariants null, or a string that lives as long as this.
            !string.is_null() && unsafe { CStr::from_ptr(**string) } == text
        });
        found.map(|string| string.cast())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        for string in self.argv.drain(..).chain(self.envp.drain(..)).filter(|string| !string.is_null()) {
            // SAFETY: by the invariants given by `into_raw`, and taken back once. Whoever completed a variable in place
            // wrote digits over digits: its length is as it was.
            drop(unsafe { CString::from_raw(string) });
        }
    }
}

/// The descriptors that crossed an exec, taken once per process.
pub(in crate::process) struct Inherited(());

impl Inherited {
    /// `None` if somebody has them already.
    pub(in crate::process) fn take() -> Option<Self> {
        static TAKEN: AtomicBool = AtomicBool::new(false);
        (!TAKEN.swap(true, Ordering::Relaxed)).then_some(Self(()))
    }

    /// Takes the descriptor under this number, which from now on is closed on exec again.
    ///
    /// It must have crossed the exec: if it is closed on exec already, this program has opened it itself, and it is
    /// somebody's.
    ///
    /// # Errors
    ///
    /// `EBADF` if there is none, or it did not cross.
    #[expect(clippy::unused_self, reason = "having the value is the right to claim")]
    pub(in crate::process) fn claim(&mut self, file: i32) -> Result<OwnedFd, Errno> {
        if file <= libc::STDERR_FILENO || closes_on_exec(file)? {
            return Err(Errno::BADF);
        }
        set_closes_on_exec(file, true)?;
        // SAFETY: the descriptor is open. It crossed an exec, so that nobody in this program opened it; it is claimed
        // here only, by the one value of this type that there is, and not twice, because it is closed on exec from now
        // on.
        Ok(unsafe { OwnedFd::from_raw_fd(file) })
    }
}
