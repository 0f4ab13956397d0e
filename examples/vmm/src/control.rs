//! The control socket: one line asks, lines `key=value` answer, and the connection ends.
//!
//! The socket that listens crosses every update, so that nobody who calls is turned away; so does the connection of
//! whoever asked for the update, which is answered by the program that has the guest afterwards.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::Duration;

/// Bytes of a request, at most.
const REQUEST_MAX: u64 = 4096;
/// A caller asks within this time, or is hung up on: others wait.
const PATIENCE: Duration = Duration::from_secs(2);

/// The socket that listens.
#[derive(Debug)]
pub(crate) struct Control(UnixListener);

/// Somebody who waits for an answer.
#[derive(Debug)]
pub(crate) struct Caller(UnixStream);

/// An answer, by keys.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reply(BTreeMap<String, String>);

impl Control {
    /// Listens at `path`. A socket at which nobody listens any more is replaced.
    ///
    /// # Errors
    ///
    /// The host's; [`io::ErrorKind::AddrInUse`] if somebody listens there.
    pub(crate) fn bind(path: &Path) -> io::Result<Self> {
        match UnixListener::bind(path) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && UnixStream::connect(path).is_err() => {
                std::fs::remove_file(path)?;
                UnixListener::bind(path).map(Self)
            }
            bound => bound.map(Self),
        }
    }

    /// The next request, and who waits for its answer. Whoever asks nothing is passed over.
    ///
    /// # Errors
    ///
    /// The socket's.
    pub(crate) fn next(&self) -> io::Result<(String, Caller)> {
        loop {
            let stream = match self.0.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let mut request = String::new();
            let asked = stream
                .set_read_timeout(Some(PATIENCE))
                .and_then(|()| BufReader::new((&stream).take(REQUEST_MAX)).read_line(&mut request));
            if asked.is_ok() && request.ends_with('\n') {
                return Ok((request.trim().to_owned(), Caller(stream)));
            }
        }
    }
}

impl Caller {
    /// Answers, and hangs up. A caller that is gone misses it.
    pub(crate) fn answer(mut self, reply: &Reply) {
        let mut text = String::new();
        for (key, value) in reply.lines() {
            text.extend([key, "=", value, "\n"]);
        }
        let _gone = self.0.write_all(text.as_bytes());
    }
}

impl Reply {
    /// Adds a line. What it says stays on one line.
    #[must_use]
    pub(crate) fn with(mut self, key: &str, value: impl Display) -> Self {
        self.0.insert(key.to_owned(), value.to_string().replace('\n', " "));
        self
    }

    /// An answer that says what went wrong.
    pub(crate) fn error(error: impl Display) -> Self {
        Self::default().with("error", error)
    }

    /// What it says of something.
    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    /// A number that it says.
    pub(crate) fn number(&self, key: &str) -> Option<u64> {
        self.get(key)?.parse().ok()
    }

    /// All that it says, by keys.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }
}

/// Asks whoever listens at `path`, and waits for the answer.
///
/// # Errors
///
/// The socket's; [`io::ErrorKind::TimedOut`] or [`io::ErrorKind::WouldBlock`] after `patience`;
/// [`io::ErrorKind::UnexpectedEof`] if whoever listened went away without an answer.
pub(crate) fn ask(path: &Path, request: &str, patience: Duration) -> io::Result<Reply> {
    let mut stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(patience))?;
    stream.write_all(format!("{request}\n").as_bytes())?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    if text.is_empty() {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "whoever was asked went away"));
    }
    let line = |line: &str| line.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned()));
    Ok(Reply(text.lines().filter_map(line).collect()))
}

impl AsFd for Control {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl From<OwnedFd> for Control {
    fn from(socket: OwnedFd) -> Self {
        Self(socket.into())
    }
}

impl AsFd for Caller {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl From<OwnedFd> for Caller {
    fn from(socket: OwnedFd) -> Self {
        Self(socket.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn one_asks_and_the_other_answers() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control");
        let control = Control::bind(&path).unwrap();
        Control::bind(&path).unwrap_err();
        let server = thread::spawn(move || {
            // The attempt to bind looked whether somebody listens: that was no request.
            let (request, caller) = control.next().unwrap();
            caller.answer(&Reply::default().with("heard", &request).with("pages", 7));
            control
        });
        let reply = ask(&path, "what is it", PATIENCE).unwrap();
        assert_eq!((reply.get("heard"), reply.number("pages")), (Some("what is it"), Some(7)));
        drop(server.join().unwrap());
        // The file is left, and nobody listens.
        Control::bind(&path).unwrap();
    }
}
