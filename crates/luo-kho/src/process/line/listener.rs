//! Where lines begin: a socket in the file system, for its user only, and who may call there.

use core::time::Duration;
use std::fs::{self, File, Permissions, TryLockError};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{Mode, fchmod};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use rustix::net::{accept_with, bind, connect, listen, socket_with};

use super::{Deadline, Line, LineError, host, wait_readable};
use crate::process::door::peer_uid;

/// Calls that may wait for an answer at once.
const BACKLOG: i32 = 16;
/// Its user may connect, nobody else.
const MODE: u32 = 0o600;
/// How long others may make sockets in the same folder.
const TURN: Duration = Duration::from_secs(5);

/// A unix socket that programs of the same user, and of root, may call.
///
/// The socket file is removed when this is dropped, unless it has been replaced or [`keep`](Self::keep) was called.
#[derive(Debug)]
pub struct Listener {
    socket: OwnedFd,
    path: PathBuf,
    /// Device and inode of the socket file; `None` if somebody else is to remove it.
    file: Option<(u64, u64)>,
}

impl Listener {
    /// Listens at `path`, with mode 0600. A socket that nobody listens at any more is replaced; of several who do so at
    /// the same time, one gets the path. To tell, the folder is locked (`flock`) meanwhile.
    ///
    /// # Errors
    ///
    /// [`LineError::Host`]; `EADDRINUSE` (98) if somebody listens there. [`LineError::Deadline`]: somebody else has had
    /// the folder locked for five seconds.
    pub fn bind(path: impl AsRef<Path>) -> Result<Self, LineError> {
        let path = path.as_ref();
        let address = address(path)?;
        let socket = socket()?;
        let _turn = turn(path)?;
        // The file is made with this mode; it is set again because other file systems may not care.
        fchmod(&socket, Mode::from_raw_mode(MODE)).map_err(host("fchmod"))?;
        match bind(&socket, &address) {
            Err(Errno::ADDRINUSE) if is_abandoned(path) => {
                fs::remove_file(path).map_err(host_io("unlink"))?;
                bind(&socket, &address).map_err(host("bind"))?;
            }
            bound => bound.map_err(host("bind"))?,
        }
        let file = fs::symlink_metadata(path).map_err(host_io("stat"))?;
        let listener = Self { socket, path: path.to_path_buf(), file: Some((file.dev(), file.ino())) };
        fs::set_permissions(path, Permissions::from_mode(MODE)).map_err(host_io("chmod"))?;
        // Only now does anybody get through.
        listen(&listener.socket, BACKLOG).map_err(host("listen"))?;
        Ok(listener)
    }

    /// Goes on listening with a socket that was carried here.
    pub fn from_socket(socket: OwnedFd, path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        let file = fs::symlink_metadata(&path).ok().map(|file| (file.dev(), file.ino()));
        Self { socket, path, file }
    }

    /// Where it listens.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Leaves the socket file where it is, because somebody else goes on with the socket.
    pub fn keep(&mut self) {
        self.file = None;
    }

    /// The next line from somebody who may call. Others are told why not, and are gone.
    pub(in crate::process) fn accept(
        &self,
        awaited: &'static str,
        deadline: Deadline,
    ) -> Result<Line, LineError> {
        loop {
            if wait_readable([self.as_fd()], deadline)? == [false] {
                return Err(LineError::Deadline { awaited });
            }
            deadline.check(awaited)?;
            if let Some(Ok(line)) = self.answer()? {
                return Ok(line);
            }
        }
    }

    /// Answers whoever waits with no.
    pub(in crate::process) fn turn_away(&self, reason: &str) -> Result<(), LineError> {
        if let Some(Ok(line)) = self.answer()? {
            line.refuse(reason);
        }
        Ok(())
    }

    /// `None` if nobody calls any more; an error inside if whoever called may not.
    fn answer(&self) -> Result<Option<Result<Line, LineError>>, LineError> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let line = match accept_with(&self.socket, flags) {
            Ok(socket) => Line::new(socket),
            Err(Errno::AGAIN | Errno::INTR | Errno::CONNABORTED) => return Ok(None),
            Err(errno) => return Err(host("accept4")(errno)),
        };
        Ok(Some(match check_peer(&line) {
            Ok(()) => Ok(line),
            Err(error) => {
                line.refuse("only programs of the same user, or of root, may call here");
                Err(error)
            }
        }))
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // Whoever brings back what panicked goes on listening here. A file that stays behind is replaced.
        if std::thread::panicking() {
            return;
        }
        let now = fs::symlink_metadata(&self.path).ok().map(|file| (file.dev(), file.ino()));
        if self.file.is_some() && now == self.file {
            let _gone_already = fs::remove_file(&self.path);
        }
    }
}

/// Calls whoever listens at `path`, and makes sure that it may be trusted.
///
/// # Errors
///
/// [`LineError`].
pub(in crate::process) fn dial(path: &Path, time: Duration) -> Result<Line, LineError> {
    let address = address(path)?;
    let line = Line::new(socket()?);
    let deadline = Deadline::after(time);
    loop {
        match connect(&line.socket, &address) {
            Ok(()) => break,
            Err(Errno::INTR) => {}
            // The backlog is full. There is nothing to poll for.
            Err(Errno::AGAIN) if !deadline.is_over() => {
                std::thread::sleep(Duration::from_millis(1));
            }
            Err(Errno::AGAIN) => return Err(LineError::Deadline { awaited: "answer the call" }),
            Err(errno) => return Err(host("connect")(errno)),
        }
    }
    check_peer(&line)?;
    Ok(line)
}

/// The same user, or root.
fn check_peer(line: &Line) -> Result<(), LineError> {
    let uid = peer_uid(line.as_fd()).map_err(host("getsockopt(SO_PEERCRED)"))?;
    let mine = rustix::process::geteuid().as_raw();
    if uid == mine || uid == 0 { Ok(()) } else { Err(LineError::WrongPeer { uid }) }
}

fn socket() -> Result<OwnedFd, LineError> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).map_err(host("socket"))
}

fn address(path: &Path) -> Result<SocketAddrUnix, LineError> {
    SocketAddrUnix::new(path).map_err(host("bind"))
}

/// Until it is dropped nobody else makes sockets in the folder of `path`: a socket that is bound listens by then, so
/// that it is not taken for an abandoned one, and an abandoned one is not replaced twice.
fn turn(path: &Path) -> Result<File, LineError> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = File::open(folder.unwrap_or(Path::new("."))).map_err(host_io("open"))?;
    let deadline = Deadline::after(TURN);
    loop {
        match folder.try_lock() {
            Ok(()) => return Ok(folder),
            Err(TryLockError::WouldBlock) if !deadline.is_over() => {
                std::thread::sleep(Duration::from_millis(1));
            }
            Err(TryLockError::WouldBlock) => {
                return Err(LineError::Deadline { awaited: "unlock the folder of the socket" });
            }
            Err(TryLockError::Error(error)) => return Err(host_io("flock")(error)),
        }
    }
}

/// Whether `path` is a socket at which nobody listens.
fn is_abandoned(path: &Path) -> bool {
    let is_socket = fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket());
    let refused = || Some(connect(socket().ok()?, &address(path).ok()?) == Err(Errno::CONNREFUSED));
    is_socket && refused().unwrap_or(false)
}

fn host_io(call: &'static str) -> impl Fn(std::io::Error) -> LineError + Copy {
    move |error| LineError::Host { call, errno: error.raw_os_error().unwrap_or(0) }
}

#[cfg(test)]
mod tests {
    use alloc::{format, vec::Vec};
    use std::sync::Barrier;

    use super::*;

    /// Starters of one program, at a path where one before them left its socket.
    #[test]
    fn of_many_who_bind_at_once_one_gets_the_path() {
        const STARTERS: usize = 8;
        let path = std::env::temp_dir().join(format!("luo-listener-{}", std::process::id()));
        for round in 0..100 {
            let mut abandoned = Listener::bind(&path).unwrap();
            abandoned.keep();
            drop(abandoned);
            let barrier = Barrier::new(STARTERS);
            let bind = || {
                barrier.wait();
                Listener::bind(&path)
            };
            let bound: Vec<_> = std::thread::scope(|scope| {
                let starters: Vec<_> = (0..STARTERS).map(|_| scope.spawn(bind)).collect();
                starters.into_iter().map(|starter| starter.join().unwrap()).collect()
            });
            assert_eq!(bound.iter().filter(|bound| bound.is_ok()).count(), 1, "{round}: {bound:?}");
            dial(&path, Duration::from_secs(10)).unwrap();
        }
    }
}
