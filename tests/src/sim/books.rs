//! The books: what a life expects to be preserved, and what it expects to find on the far side.

use super::plan::Speaks;
use crate::file::{Contents, SimFile};

/// Names of sessions that a life uses; the last one has the greatest length there is.
const SESSIONS: [&str; 3] = ["a", "b", "the longest name that the kernel allows a session to have: 63 b"];
/// Tokens that a life uses.
const TOKENS: [u64; 7] = [0, 1, 2, 3, 4, 0x1A, u64::MAX];

/// The name of session number `session`.
pub(super) fn session_name(session: u8) -> &'static str {
    SESSIONS.get(usize::from(session) % SESSIONS.len()).copied().unwrap_or("a")
}

/// Token number `token`.
pub(super) fn token_of(token: u8) -> u64 {
    TOKENS.get(usize::from(token) % TOKENS.len()).copied().unwrap_or(0)
}

/// Sessions in the order in which they were opened, files in the order in which they were preserved.
#[derive(Debug, Default)]
pub(super) struct Books {
    pub(super) sessions: Vec<(&'static str, Vec<(u64, SimFile)>)>,
}

/// A file that was handed over, as it was when the guest was stopped.
#[derive(Clone, Debug)]
pub(super) struct Expected {
    pub(super) session: &'static str,
    pub(super) token: u64,
    pub(super) mark: u64,
    pub(super) kind: String,
    pub(super) contents: Contents,
    /// The marks of the files it depends on.
    pub(super) depends_on: Vec<u64>,
}

impl Books {
    pub(super) fn files(&self, session: &str) -> Option<&Vec<(u64, SimFile)>> {
        self.sessions.iter().find(|(name, _)| *name == session).map(|(_, files)| files)
    }

    pub(super) fn files_mut(&mut self, session: &str) -> Option<&mut Vec<(u64, SimFile)>> {
        self.sessions.iter_mut().find(|(name, _)| *name == session).map(|(_, files)| files)
    }

    pub(super) fn file(&self, session: &str, token: u64) -> Option<&SimFile> {
        self.files(session)?.iter().find(|(other, _)| *other == token).map(|(_, file)| file)
    }

    /// Where a file is preserved.
    pub(super) fn place_of(&self, file: &SimFile) -> Option<(&'static str, u64)> {
        self.all().find(|(.., other)| other.is(file)).map(|(session, token, _)| (session, token))
    }

    /// Every file, in registration order.
    pub(super) fn all(&self) -> impl Iterator<Item = (&'static str, u64, &SimFile)> {
        self.sessions
            .iter()
            .flat_map(|(session, files)| files.iter().map(move |(token, file)| (*session, *token, file)))
    }

    /// Whether everything that files depend on can be written down, read, and followed.
    pub(super) fn are_sound(&self, speaks: Speaks) -> bool {
        let place = |file: &SimFile| self.place_of(file).map(|(session, _)| session);
        let sound = |(session, _, file): (&str, u64, &SimFile)| {
            let depends_on = file.depends_on();
            depends_on.is_empty()
                || (speaks.says_dependencies(file.kind().as_str())
                    && depends_on.iter().all(|other| place(other) == Some(session)))
        };
        self.all().all(sound) && !self.has_circle()
    }

    fn has_circle(&self) -> bool {
        // Whatever only files that lead nowhere lead to leads nowhere itself.
        let mut open: Vec<&SimFile> = self.all().map(|(.., file)| file).collect();
        loop {
            let before = open.len();
            let still = open.clone();
            open.retain(|file| file.depends_on().iter().any(|other| still.iter().any(|file| file.is(other))));
            if open.is_empty() || open.len() == before {
                return !open.is_empty();
            }
        }
    }

    /// Nobody depends on anybody any more.
    pub(super) fn mend(&self) {
        self.all().for_each(|(.., file)| file.depend_on_nobody());
    }

    /// Everything as it is now.
    pub(super) fn snapshot(&self) -> Vec<Expected> {
        let expected = |(session, token, file): (&'static str, u64, &SimFile)| Expected {
            session,
            token,
            mark: file.mark(),
            kind: file.kind().as_str().to_owned(),
            contents: file.contents(),
            depends_on: file.depends_on().iter().map(SimFile::mark).collect(),
        };
        self.all().map(expected).collect()
    }
}

impl Expected {
    /// The version in which the reader reads it; `None` if it cannot, or cannot read what it depends on.
    pub(super) fn readable(&self, all: &[Self], writer: Speaks, reader: Speaks) -> Option<u16> {
        let version = writer.common(&self.kind, reader)?;
        let readable = |mark: &u64| {
            all.iter().any(|other| other.mark == *mark && other.readable(all, writer, reader).is_some())
        };
        (version == 1 || self.depends_on.iter().all(readable)).then_some(version)
    }

    /// Panics unless `found` is this file, as far as `version` tells.
    pub(super) fn compare(&self, found: &SimFile, version: u16) {
        let mut contents = self.contents.clone();
        let mut depends_on = self.depends_on.clone();
        if version == 1 {
            contents.flags = 0;
            depends_on.clear();
        }
        assert_eq!(found.mark(), self.mark, "another file");
        assert_eq!(found.contents(), contents, "other contents");
        let found: Vec<_> = found.depends_on().iter().map(SimFile::mark).collect();
        assert_eq!(found, depends_on, "other dependencies");
    }
}
