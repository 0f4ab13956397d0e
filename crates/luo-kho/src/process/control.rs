//! Requests to a running program: opaque bytes in, opaque bytes out.
//!
//! Whoever calls is checked like a successor: the same user, or root. A connection carries one **request** and its
//! reply. A request that has been heard can be carried across an update like any descriptor, and answered by the
//! program that comes after: so whoever asks for an update learns how it ended.

use alloc::vec::Vec;
use core::time::Duration;
use std::path::Path;

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};

use super::line::packet::Kind;
use super::line::{Deadline, Line, LineError, Listener, dial};

/// The longest request, and the longest reply: 16 MiB, room for a report.
pub const LONGEST: usize = 16 << 20;
/// For the next packet, unless the embedder says otherwise: 5 s.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where requests come in.
#[derive(Debug)]
pub struct Control {
    listener: Listener,
    patience: Duration,
}

/// A request that waits for its reply. Dropping it hangs up.
#[derive(Debug)]
#[must_use = "somebody waits for the reply"]
pub struct Request {
    line: Line,
    bytes: Vec<u8>,
    patience: Duration,
}

impl Control {
    /// Takes requests at this listener.
    pub fn new(listener: Listener) -> Self {
        Self { listener, patience: PATIENCE }
    }

    /// Waits so long for a caller that does not get on with its request, or does not take its reply.
    #[must_use]
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// The listener.
    pub fn listener(&self) -> &Listener {
        &self.listener
    }

    /// Gives the listener back.
    pub fn into_listener(self) -> Listener {
        self.listener
    }

    /// The next request; `None` if there is none in time. Whoever may not call, makes no sense, or is not done in time,
    /// is turned away, and the wait goes on.
    ///
    /// # Errors
    ///
    /// [`LineError::Host`].
    pub fn next(&self, wait: Duration) -> Result<Option<Request>, LineError> {
        let deadline = Deadline::after(wait);
        loop {
            let line = match self.listener.accept("call", deadline) {
                Ok(line) => line,
                Err(LineError::Deadline { .. }) => return Ok(None),
                Err(error) => return Err(error),
            };
            let patience = self.patience;
            match line.hear(Kind::Request, LONGEST, "send its request", deadline.or_after(patience)) {
                Ok(bytes) => return Ok(Some(Request { line, bytes, patience })),
                Err(error) => line.refuse(&alloc::string::ToString::to_string(&error)),
            }
        }
    }
}

impl AsFd for Control {
    /// Can be read when somebody calls.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}

impl Request {
    /// What is asked.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Answers.
    ///
    /// # Errors
    ///
    /// [`LineError`]: whoever asked is gone, does not listen, or would not listen to so much.
    pub fn reply(self, bytes: &[u8]) -> Result<(), LineError> {
        if bytes.len() > LONGEST {
            return Err(LineError::TooLong { len: bytes.len(), limit: LONGEST });
        }
        self.line.say(Kind::Reply, bytes, Deadline::after(self.patience))
    }

    /// Says no, and why.
    pub fn refuse(self, reason: &str) {
        self.line.refuse(reason);
    }

    /// The connection, for whoever comes after to [`resume`](Self::resume).
    pub fn into_socket(self) -> OwnedFd {
        self.line.into_socket()
    }

    /// A request that a program before this one has heard. What was asked is not heard again: that crosses elsewhere,
    /// if it matters.
    pub fn resume(socket: OwnedFd) -> Self {
        Self { line: Line::new(socket), bytes: Vec::new(), patience: PATIENCE }
    }
}

impl AsFd for Request {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.line.as_fd()
    }
}

/// Asks the program that listens at `path`, and waits so long for each step of its answer.
///
/// # Errors
///
/// [`LineError`]: nobody there, not to be trusted, its refusal, no answer in time, or one that makes no sense.
pub fn ask(path: impl AsRef<Path>, bytes: &[u8], patience: Duration) -> Result<Vec<u8>, LineError> {
    if bytes.len() > LONGEST {
        return Err(LineError::TooLong { len: bytes.len(), limit: LONGEST });
    }
    let line = dial(path.as_ref(), patience)?;
    line.say(Kind::Request, bytes, Deadline::after(patience))?;
    line.hear(Kind::Reply, LONGEST, "reply", Deadline::after(patience))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    const LONG: Duration = Duration::from_secs(20);

    fn control(test: &str) -> Control {
        let path = std::env::temp_dir().join(alloc::format!("luo-control-{test}-{}", std::process::id()));
        Control::new(Listener::bind(path).unwrap())
    }

    #[test]
    fn large_requests_get_large_replies() {
        let control = control("large");
        let path = control.listener().path().to_path_buf();
        let question: Vec<u8> = (0..LONGEST as u64).map(|n| n.to_le_bytes()[1]).collect();
        let asked = question.clone();
        let client = thread::spawn(move || ask(path, &question, LONG));
        let request = control.next(LONG).unwrap().unwrap();
        assert!(request.bytes() == asked);
        let mut reply = asked;
        reply.reverse();
        request.reply(&reply).unwrap();
        assert!(client.join().unwrap().unwrap() == reply);
        assert!(control.next(Duration::from_millis(1)).unwrap().is_none());
    }

    #[test]
    fn what_is_too_long_refused_or_forgotten_is_told() {
        let control = control("no").with_patience(Duration::from_millis(50));
        let path = control.listener().path().to_path_buf();
        let too_long = ask(&path, &alloc::vec![0; LONGEST + 1], LONG).unwrap_err();
        assert_eq!(too_long, LineError::TooLong { len: LONGEST + 1, limit: LONGEST });
        let client = thread::spawn(move || {
            let silent = dial(&path, LONG).unwrap();
            let answers = [0; 3].map(|_| ask(&path, b"please", LONG).unwrap_err());
            drop(silent);
            answers
        });
        control.next(LONG).unwrap().unwrap().refuse("no");
        drop(control.next(LONG).unwrap().unwrap());
        let too_much = control.next(LONG).unwrap().unwrap();
        assert!(matches!(too_much.reply(&alloc::vec![0; LONGEST + 1]), Err(LineError::TooLong { .. })));
        let gone = LineError::Gone { awaited: "reply" };
        let no = LineError::Refused { reason: "no".into() };
        assert_eq!(client.join().unwrap(), [no, gone.clone(), gone]);
    }

    #[test]
    fn whoever_comes_after_can_answer() {
        let control = control("after");
        let path = control.listener().path().to_path_buf();
        let client = thread::spawn(move || ask(path, b"update", LONG));
        let socket = control.next(LONG).unwrap().unwrap().into_socket();
        let mut listener = control.into_listener();
        let path = listener.path().to_path_buf();
        listener.keep();
        let carried = listener.as_fd().try_clone_to_owned().unwrap();
        drop(listener);
        let after = Control::new(Listener::from_socket(carried, &path));
        Request::resume(socket).reply(b"updated").unwrap();
        assert_eq!(client.join().unwrap().unwrap(), b"updated");
        let client = thread::spawn(move || ask(path, b"again", LONG));
        let request = after.next(LONG).unwrap().unwrap();
        assert_eq!(request.bytes(), b"again");
        request.reply(b"yes").unwrap();
        assert_eq!(client.join().unwrap().unwrap(), b"yes");
    }
}
