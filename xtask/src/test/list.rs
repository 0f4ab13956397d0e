//! What there is to run: the tests of every suite, asked as any harness answers (`--list --format terse`).
//!
//! A **case** is one thing to run, with a suite to belong to and a name in it: a test function, a test made of data, an
//! example. Some cases are **tasks** of this program itself.

use core::time::Duration;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use super::build::Executable;
use super::needs::Needs;
use crate::program::{self, Ended};
use crate::tally::Tally;
use crate::workspace::Workspace;

/// How long a suite may take to list its tests.
const LISTING: Duration = Duration::from_mins(1);

/// What a task says, and what it counts.
pub(super) type Task = fn(&Workspace, &Wanted) -> Result<(String, Tally)>;

/// One thing to run.
#[derive(Clone, Debug)]
pub(super) struct Case {
    pub(super) suite: String,
    pub(super) name: String,
    pub(super) needs: Needs,
    pub(super) work: Work,
}

/// How a case is run.
#[derive(Clone, Debug)]
pub(super) enum Work {
    /// A program with its arguments, in the folder of its package.
    Program { path: PathBuf, arguments: Vec<String>, folder: PathBuf },
    /// A task of this program.
    Task(Task),
}

/// Which cases are wanted: those of one of the suites, whose name contains one of the parts, and that do without what
/// is not to be used. No suite and no part mean all.
#[derive(Clone, Debug, Default)]
pub(super) struct Wanted {
    pub(super) suites: Vec<String>,
    pub(super) parts: Vec<String>,
    pub(super) without: Vec<String>,
}

impl Wanted {
    /// Whether a suite is: by its name, or by the package or word before it.
    pub(super) fn suite(&self, name: &str) -> bool {
        let of = |suite: &String| {
            name.strip_prefix(suite.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
                || name.rsplit_once("::").is_some_and(|(_, target)| target == suite)
        };
        self.suites.is_empty() || self.suites.iter().any(of)
    }

    pub(super) fn case(&self, case: &Case) -> bool {
        let full = case.full_name();
        let named = self.parts.is_empty() || self.parts.iter().any(|part| full.contains(part.as_str()));
        // A task compiles before it knows its tests: it is looked into only if it was asked for.
        let asked = matches!(case.work, Work::Task(_)) && !self.suites.is_empty();
        self.suite(&case.suite) && (named || asked) && !self.without.iter().any(|word| case.needs.has(word))
    }
}

impl core::fmt::Display for Case {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(&self.full_name())?;
        match self.needs.to_string().as_str() {
            "" => Ok(()),
            needs => write!(f, " [{needs}]"),
        }
    }
}

impl Case {
    /// As reports call it.
    pub(super) fn full_name(&self) -> String {
        if self.name.is_empty() { self.suite.clone() } else { format!("{} {}", self.suite, self.name) }
    }
}

/// What a manifest says about needs: the beginning of a test's path, and what it needs.
#[derive(Debug)]
pub(super) struct Declared {
    pub(super) beginning: String,
    pub(super) needs: Needs,
    /// Whether there is such a test.
    pub(super) used: bool,
}

/// The cases of one suite. `declared` is what the manifest of its package says.
///
/// # Errors
///
/// It does not list its tests.
pub(super) fn of_suite(suite: &Executable, declared: &mut [Declared]) -> Result<Vec<Case>> {
    let mut command = Command::new(&suite.path);
    command.args(["--list", "--format", "terse"]);
    command.current_dir(&suite.folder).env("CARGO_MANIFEST_DIR", &suite.folder);
    let Ended { well, output } = program::captured(command, LISTING)?;
    ensure!(well, "{} does not list its tests:\n{output}", suite.name);
    let mut cases = Vec::new();
    for (kind, name) in output.lines().filter_map(test) {
        let own: Needs = kind.parse().with_context(|| format!("{} {name}", suite.name))?;
        let path =
            suite.target.as_ref().map_or_else(|| name.to_owned(), |target| format!("{target}::{name}"));
        let mut needs = own;
        for row in declared.iter_mut().filter(|row| path.starts_with(&row.beginning)) {
            row.used = true;
            needs = needs.and(&row.needs);
        }
        cases.push(Case {
            suite: suite.name.clone(),
            name: name.to_owned(),
            needs,
            work: Work::Program {
                path: suite.path.clone(),
                arguments: vec![name.to_owned(), "--exact".to_owned(), "--nocapture".to_owned()],
                folder: suite.folder.clone(),
            },
        });
    }
    Ok(cases)
}

/// A program that is one case by itself.
pub(super) fn of_program(suite: &str, program: &Executable, folder: PathBuf) -> Case {
    let work = Work::Program { path: program.path.clone(), arguments: Vec::new(), folder };
    Case { suite: suite.to_owned(), name: program.name.clone(), needs: Needs::default(), work }
}

/// Kind and name in a line of a terse list: `name: test`, or `[kind] name: test`.
fn test(line: &str) -> Option<(&str, &str)> {
    let test = line.strip_suffix(": test")?;
    Some(test.strip_prefix('[').and_then(|rest| rest.split_once("] ")).unwrap_or(("", test)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// This very executable as a suite.
    fn ourselves() -> Executable {
        Executable {
            name: "xtask".into(),
            target: None,
            path: std::env::current_exe().unwrap(),
            folder: PathBuf::from(env!("CARGO_MANIFEST_DIR")),
        }
    }

    #[test]
    fn a_list_names_tests_and_their_kinds() {
        let list = "a::b: test\nc: benchmark\n[kvm memory=1G] d/e: test\n\n2 tests, 1 benchmark\n";
        let tests: Vec<_> = list.lines().filter_map(test).collect();
        assert_eq!(tests, [("", "a::b"), ("kvm memory=1G", "d/e")]);
    }

    #[test]
    fn a_suite_is_listed_with_what_its_manifest_declares() {
        let row = |beginning: &str| Declared {
            beginning: beginning.to_owned(),
            needs: "kvm".parse().unwrap(),
            used: false,
        };
        let mut declared = [row("test::list"), row("test::nothing")];
        let cases = of_suite(&ourselves(), &mut declared).unwrap();
        assert_eq!(declared.map(|row| row.used), [true, false]);
        let this = "test::list::tests::a_suite_is_listed_with_what_its_manifest_declares";
        assert!(cases.iter().any(|case| case.name == this && case.needs.kvm.is_some()));
        assert!(cases.iter().any(|case| case.name.starts_with("tidy::") && case.needs.kvm.is_none()));
    }

    #[test]
    fn a_suite_that_cannot_be_listed_is_an_error() {
        let broken = Executable { path: "/bin/false".into(), ..ourselves() };
        assert!(
            of_suite(&broken, &mut []).unwrap_err().to_string().starts_with("xtask does not list its tests")
        );
    }

    #[test]
    fn what_is_wanted_is_said_by_suite_name_and_need() {
        let case = |suite: &str, name: &str, needs: &str| Case {
            suite: suite.to_owned(),
            name: name.to_owned(),
            needs: needs.parse().unwrap(),
            work: Work::Program { path: PathBuf::new(), arguments: Vec::new(), folder: PathBuf::new() },
        };
        let wanted = |suites: &[&str], parts: &[&str], without: &[&str]| {
            let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
            Wanted { suites: words(suites), parts: words(parts), without: words(without) }
        };
        let (uapi, matrix) = (case("luo-tests::uapi", "a", ""), case("luo-tests::matrix", "b", "kvm"));
        assert!(wanted(&["luo-tests"], &[], &[]).case(&uapi) && wanted(&["uapi"], &[], &[]).case(&uapi));
        assert!(!wanted(&["luo"], &[], &[]).case(&uapi) && !wanted(&["matrix"], &[], &[]).case(&uapi));
        assert!(
            wanted(&[], &["matrix b"], &[]).case(&matrix) && !wanted(&[], &["matrix b"], &[]).case(&uapi)
        );
        assert!(!wanted(&[], &[], &["kvm"]).case(&matrix) && wanted(&[], &[], &["kvm"]).case(&uapi));
    }
}
