//! The doc tests: cargo builds and runs them, we read what it says. rustdoc keeps the words of a doc test that passes
//! to itself, so a doc test cannot say that it skips: what needs a device is `no_run`.

use core::time::Duration;

use anyhow::Result;

use super::EVERYTHING;
use super::list::Wanted;
use crate::program;
use crate::tally::{Skip, Tally};
use crate::workspace::Workspace;

/// The suite.
pub(super) const NAME: &str = "doc tests";

/// How long all doc tests may take, with the compiler that each of them needs.
const DEADLINE: Duration = Duration::from_mins(30);

/// One at a time: beside it other cases run.
pub(super) fn run(workspace: &Workspace, wanted: &Wanted) -> Result<(String, Tally)> {
    let mut cargo = workspace.cargo();
    cargo.args(["test", "--quiet", "--doc", "--no-fail-fast", "--jobs", "1"]).args(EVERYTHING);
    cargo.args(["--", "--format", "pretty", "--test-threads", "1"]).args(&wanted.parts);
    let ended = program::captured(cargo, DEADLINE)?;
    let mut tally = read(&ended.output);
    if !ended.well && tally.failed.is_empty() {
        tally.failed.push(NAME.to_owned());
    }
    Ok((ended.output, tally))
}

/// Counts the lines `test NAME ... VERDICT`.
fn read(output: &str) -> Tally {
    let mut tally = Tally::default();
    for line in output.lines() {
        let Some((name, verdict)) = line.strip_prefix("test ").and_then(|rest| rest.rsplit_once(" ... "))
        else {
            continue;
        };
        match verdict {
            "ok" => tally.passed += 1,
            "FAILED" => tally.failed.push(name.to_owned()),
            _ => tally.skipped.push(Skip { name: name.to_owned(), reason: verdict.to_owned() }),
        }
    }
    tally
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_every_crate_counts() {
        let tally = read(
            "running 2 tests\n\
             test crates/luo-kho/src/units.rs - Pfn::new (line 3) ... ok\n\
             test crates/luo-kho/src/units.rs - Pfn (line 9) - compile fail ... FAILED\n\n\
             test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out\n\
             running 2 tests\n\
             test src/lib.rs - (line 1) ... ok\n\
             test src/lib.rs - (line 2) ... ignored\n",
        );
        assert_eq!(tally.to_string(), "2 passed, 1 failed, 1 skipped");
        assert_eq!(tally.failed, ["crates/luo-kho/src/units.rs - Pfn (line 9) - compile fail"]);
    }
}
