//! What is asked of a VMM through its control socket, and what it answers: words that ask, and lines `key=value`.
//!
//! The socket that listens crosses every update, so that nobody who calls is turned away; so does the request for the
//! update, which is answered by the program that has the guest afterwards.

use core::fmt::Display;
use core::time::Duration;
use std::collections::BTreeMap;
use std::path::Path;

use luo_kho::process::control;
use luo_kho::process::{LineError, Request};

/// What separates the words of a request: no path has it in it.
const SEPARATOR: char = '\t';

/// An answer, by keys.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reply(BTreeMap<String, String>);

/// The words of a request; `None` if it is no text.
pub(crate) fn words(request: &Request) -> Option<Vec<String>> {
    let text = str::from_utf8(request.bytes()).ok()?;
    Some(text.split(SEPARATOR).map(str::to_owned).collect())
}

/// Answers. A caller that is gone misses it.
pub(crate) fn answer(request: Request, reply: &Reply) {
    let mut text = String::new();
    for (key, value) in reply.lines() {
        text.extend([key, "=", value, "\n"]);
    }
    let _gone = request.reply(text.as_bytes());
}

/// Asks whoever listens at `path`, and waits so long for the answer.
///
/// # Errors
///
/// [`LineError`].
pub(crate) fn ask(path: &Path, words: &[String], patience: Duration) -> Result<Reply, LineError> {
    let request = words.join(&SEPARATOR.to_string());
    let reply = control::ask(path, request.as_bytes(), patience)?;
    let text = String::from_utf8_lossy(&reply);
    let line = |line: &str| line.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned()));
    Ok(Reply(text.lines().filter_map(line).collect()))
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    use luo_kho::process::{Control, Listener};

    #[test]
    fn words_arrive_and_lines_come_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control");
        let control = Control::new(Listener::bind(&path).unwrap());
        let server = thread::spawn(move || {
            let request = control.next(Duration::from_secs(20)).unwrap().unwrap();
            let heard = words(&request).unwrap().join(" and ");
            answer(request, &Reply::default().with("heard", heard).with("lines", "a\nb").with("pages", 7));
        });
        let reply = ask(&path, &["a b".to_owned(), "c".to_owned()], Duration::from_secs(20)).unwrap();
        assert_eq!((reply.get("heard"), reply.number("pages")), (Some("a b and c"), Some(7)));
        assert_eq!(reply.get("lines"), Some("a b"));
        server.join().unwrap();
    }
}
