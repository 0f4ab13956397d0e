//! The doc tests: cargo builds and runs them, we read what it says. rustdoc keeps the words of a doc test that passes to
//! itself, so a doc test cannot say that it skips: what needs a device is `no_run`.

use core::time::Duration;

use anyhow::Result;

use super::{EVERYTHING, Filter};
use crate::program;
use crate::tally::{Skip, Tally};
use crate::workspace::Workspace;

/// How long all doc tests may take, with the compiler that each of them needs.
const DEADLINE: Duration = Duration::from_mins(30);

pub(super) fn run(workspace: &Workspace, filter: Filter<'_>) -> Result<(String, Tally)> {
    let mut cargo = workspace.cargo();
    cargo.args(["test", "--quiet", "--doc", "--no-fail-fast"]).args(EVERYTHING);
    cargo.args(["--", "--format", "pretty"]);
    match filter {
        Filter::All => {}
        Filter::Name(part) => drop(cargo.arg(part)),
        Filter::Expression(_) => return Ok((String::new(), Tally::default())),
    }
    let ended = program::captured(cargo, DEADLINE)?;
    let mut tally = read(&ended.output);
    if !ended.well && tally.failed.is_empty() {
        tally.failed.push("the doc tests".to_owned());
    }
    let said = if ended.well { String::new() } else { ended.output };
    Ok((said, tally))
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
