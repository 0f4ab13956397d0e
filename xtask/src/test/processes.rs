//! The test functions, run by us where cargo-nextest is missing: each in a process of its own, so many at a time,
//! with a deadline. The exit code of that process says whether the test passed.

use core::num::NonZeroUsize;
use core::sync::atomic::{AtomicUsize, Ordering};
use core::time::Duration;
use std::process::Command;
use std::sync::Mutex;
use std::thread;
use std::time::Instant;

use anyhow::Result;

use super::build::Executable;
use super::{DEADLINE, Filter};
use crate::program::{self, Ended};
use crate::tally::{Tally, Took, verdict};

/// How long a suite may take to list its tests.
const LISTING: Duration = Duration::from_secs(30);

/// One test function.
#[derive(Clone, Copy, Debug)]
struct Test<'a> {
    suite: &'a Executable,
    name: &'a str,
}

pub(super) fn run(suites: &[Executable], filter: Filter<'_>, jobs: NonZeroUsize) -> Result<Tally> {
    let mut tally = Tally::default();
    let mut listed = Vec::new();
    for suite in suites {
        let mut command = command(suite);
        command.args(["--list", "--format", "terse"]);
        let Ended { well, output } = program::captured(command, LISTING)?;
        if well {
            listed.push((suite, output));
        } else {
            println!("{output}");
            tally.failed.push(format!("{}: its tests cannot be listed", suite.name));
        }
    }
    let of_suite = |(suite, output)| names(output).map(move |name| Test { suite, name });
    let tests = listed.iter().map(|(suite, output)| (*suite, output.as_str())).flat_map(of_suite);
    let tests: Vec<_> = tests.filter(|test| filter.wants(test.name)).collect();
    let next = AtomicUsize::new(0);
    let ran = Mutex::new(tally);
    thread::scope(|scope| {
        let worker = || {
            while let Some((number, test)) = take(&next, &tests) {
                one(test, number + 1, tests.len(), &ran);
            }
        };
        for _ in 0..jobs.get() {
            scope.spawn(worker);
        }
    });
    Ok(ran.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner))
}

fn take<'a>(next: &AtomicUsize, tests: &[Test<'a>]) -> Option<(usize, Test<'a>)> {
    let number = next.fetch_add(1, Ordering::Relaxed);
    Some((number, *tests.get(number)?))
}

/// Runs one test, tells how it ended, and counts it.
fn one(test: Test<'_>, number: usize, of: usize, ran: &Mutex<Tally>) {
    let start = Instant::now();
    let mut command = command(test.suite);
    command.args([test.name, "--exact", "--nocapture"]);
    let Ended { well, output } = program::captured(command, DEADLINE)
        .unwrap_or_else(|error| Ended { well: false, output: format!("{error:#}\n") });
    let name = format!("{} {}", test.suite.name, test.name);
    let verdict = verdict(well, &output);
    // One at a time from here, so that the words of a failure stay together.
    let mut tally = ran.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    println!("{verdict} {:>6} [{number}/{of}] {name}", Took(start.elapsed()).to_string());
    if !well {
        println!("{}", output.trim_end());
    }
    tally.count(&name, well, &output);
}

/// The executable as cargo would start it: in the folder of its package.
fn command(suite: &Executable) -> Command {
    let mut command = Command::new(&suite.path);
    command.current_dir(&suite.folder).env("CARGO_MANIFEST_DIR", &suite.folder);
    command
}

/// The names in a terse list: `name: test`.
fn names(list: &str) -> impl Iterator<Item = &str> {
    list.lines().filter_map(|line| line.strip_suffix(": test"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    /// This very executable as a suite.
    fn ourselves() -> Executable {
        let path = std::env::current_exe().unwrap();
        Executable { name: "xtask".into(), path, folder: PathBuf::from(env!("CARGO_MANIFEST_DIR")) }
    }

    #[test]
    fn a_list_names_tests_only() {
        let list = "a::b: test\nc: benchmark\nd: test\n\n2 tests, 1 benchmark\n";
        assert_eq!(names(list).collect::<Vec<_>>(), ["a::b", "d"]);
    }

    #[test]
    fn a_suite_is_listed_filtered_and_run() {
        let filter = Filter::Name("a_list_names_tests_only");
        let tally = run(&[ourselves()], filter, NonZeroUsize::MIN).unwrap();
        assert_eq!(tally, Tally { passed: 1, ..Tally::default() });
    }

    #[test]
    fn a_suite_that_cannot_be_listed_fails() {
        let missing = Executable { path: "/bin/false".into(), ..ourselves() };
        let tally = run(&[missing], Filter::All, NonZeroUsize::MIN).unwrap();
        assert_eq!(tally.failed, ["xtask: its tests cannot be listed"]);
    }

    #[test]
    fn a_test_that_fails_is_counted_with_its_name() {
        // Nobody has a test of this name: with `--exact` the harness runs none and succeeds, so what fails here is
        // the program that is asked.
        let ran = Mutex::new(Tally::default());
        let suite = Executable { path: "/bin/false".into(), ..ourselves() };
        one(Test { suite: &suite, name: "t" }, 1, 1, &ran);
        assert_eq!(ran.into_inner().unwrap().failed, ["xtask t"]);
    }
}
