//! `cargo xtask mutants [ROOM]`: whether tests hold every line of the rooms that all others rely on. A **mutant** is a
//! copy of the workspace with one small edit: a comparison turned, a function emptied. It is **caught** if a test fails
//! or does not come to its end, it is **unviable** if it does not compile, and it **survives** otherwise. It is
//! **equivalent** if nothing that it does differs: those are listed in `.cargo/mutants.toml`, each with its reason. Any
//! other that survives is a failure: nothing holds that line.
//!
//! It needs cargo-mutants. What was tried, and what every test said, stays in `target/mutants`.

use std::fmt;
use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;
use serde_json::Value as Json;
use toml::{Table, Value};

use crate::program;
use crate::tally::Tally;
use crate::workspace::Workspace;

const NAME: &str = "mutants";
/// The list of those that are equivalent.
const EQUIVALENT: &str = ".cargo/mutants.toml";
/// How cargo-mutants ends if it came to its end: all well, some survived, some tests did not end.
const ENDED: [i32; 3] = [0, 2, 3];
/// Tests that have not come to their end after so many seconds will not. They take ten.
const ENDLESS: &str = "180";

#[derive(Args)]
#[command(after_help = "\
Each mutant that compiles takes 15 to 20 s of processor time, the build before it a few minutes: about an hour for each \
room, and several on a busy machine. `-- --shard 1/20` tries a twentieth of them.")]
pub(crate) struct Options {
    /// Only these rooms
    #[arg(value_name = "ROOM", value_parser = ROOMS.map(|room| room.name))]
    rooms: Vec<String>,
    /// Passed on to cargo-mutants: --shard 1/20, --re NAME, ...
    #[arg(last = true)]
    passed: Vec<String>,
}

/// Files that are mutated, and the tests that decide.
struct Room {
    name: &'static str,
    what: &'static str,
    files: &'static [&'static str],
    /// With commas.
    packages: &'static str,
    /// Files of `tests/tests`, besides the unit tests of the packages. Each is linked for each mutant, so they are few.
    tests: &'static [&'static str],
}

const ROOMS: [Room; 3] = [
    Room {
        name: "wire",
        what: "the orchestrator's bytes: who writes them, and who reads them and believes nothing",
        files: &["crates/luo-core/src/wire/**"],
        packages: "luo-core,luo-tests",
        tests: &[
            "every_class_of_hostile_bytes",
            "golden_bytes",
            "hostile_images_are_refused",
            "what_cannot_be_read_is_isolated",
        ],
    },
    Room {
        name: "tracker",
        what: "the set of preserved frames",
        files: &["crates/luo-kho/src/tracker/**"],
        packages: "luo-kho",
        tests: &[],
    },
    Room {
        name: "order",
        what: "the steps of an update in their order, and every undo in the reverse one",
        files: &[
            "crates/luo-core/src/luo/steps.rs",
            "crates/luo-core/src/update/**",
            "crates/luo-core/src/outgoing.rs",
            "crates/luo-core/src/part.rs",
            "crates/luo-core/src/incoming/desk.rs",
            "crates/luo-core/src/incoming/finish.rs",
            "crates/luo-core/src/incoming/release.rs",
            "crates/luo-core/src/incoming/retrieve.rs",
        ],
        packages: "luo-core,luo-tests",
        tests: &[
            "a_failed_handover_is_retried",
            "a_failed_step_is_undone",
            "dependencies_are_followed",
            "files_are_prepared_ahead",
            "finish_loses_nothing",
            "retrieve_happens_once",
            "shared_objects_are_counted",
            "states_follow_the_table",
            "undo_is_always_told",
        ],
    },
];

/// What became of the mutants of one room.
#[derive(Debug, Default)]
struct Score {
    caught: u64,
    /// Of those that are caught.
    endless: u64,
    unviable: u64,
    equivalent: usize,
    survived: Vec<String>,
}

pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let workspace = Workspace::load()?;
    if !program::has_subcommand(workspace.cargo(), "mutants")? {
        return Ok(Tally::skipped(NAME, "cargo-mutants is not installed").close());
    }
    let mut tally = Tally::default();
    let all = names(listing(&workspace, &ROOMS).arg("--no-config"))?;
    for pattern in equivalents(&workspace.root)? {
        let mut others = listing(&workspace, &ROOMS);
        if names(others.args(["--no-config", "--exclude-re", &pattern]))?.len() == all.len() {
            tally.failed.push(format!("{EQUIVALENT} lists what is no mutant: {pattern}"));
        }
    }
    let chosen =
        |room: &&Room| options.rooms.is_empty() || options.rooms.iter().any(|name| name == room.name);
    let mut scores = Vec::new();
    for room in ROOMS.iter().filter(chosen) {
        println!("\n=== {}: {}", room.name, room.what);
        scores.push((room.name, score(&workspace, room, &options.passed)?));
    }
    println!();
    for (name, score) in scores {
        println!("{name}: {score}");
        tally.passed += usize::try_from(score.caught)?;
        tally.failed.extend(score.survived.into_iter().map(|mutant| format!("no test fails with {mutant}")));
    }
    Ok(tally.close())
}

/// Tries all mutants of a room that are not listed as equivalent.
fn score(workspace: &Workspace, room: &Room, passed: &[String]) -> Result<Score> {
    let rooms = std::slice::from_ref(room);
    let all = names(listing(workspace, rooms).arg("--no-config").args(passed))?;
    let tried = names(listing(workspace, rooms).args(passed))?;
    let equivalent = all.len() - tried.len();
    if tried.is_empty() {
        return Ok(Score { equivalent, ..Score::default() });
    }
    let folder = workspace.target.join(NAME).join(room.name);
    fs::create_dir_all(&folder)?;
    // What is mutated has to pass as it is. cargo-mutants would ask its own package only.
    let tests =
        || ["--lib".to_owned()].into_iter().chain(room.tests.iter().map(|test| format!("--test={test}")));
    let packages = room.packages.split(',').flat_map(|package| ["--package", package]);
    program::shown(workspace.cargo().args(["test", "--quiet"]).args(packages).args(tests()))?;
    let mut cargo = mutants(workspace, rooms);
    cargo.args(["--baseline", "skip", "--timeout", ENDLESS, "--cap-lints", "true"]);
    // Not only for the run of the tests, but for their build too: nothing is linked that is not run.
    cargo.args(tests().map(|test| format!("--cargo-arg={test}")));
    cargo.args(["--test-package", room.packages, "--output"]).arg(&folder).args(passed);
    // The copy has a folder of its own for what is built, which goes when it goes. Nobody debugs a mutant.
    cargo.env_remove("CARGO_TARGET_DIR").env("CARGO_PROFILE_DEV_DEBUG", "none");
    let status = cargo.status().context("cargo does not start")?;
    ensure!(status.code().is_some_and(|code| ENDED.contains(&code)), "cargo-mutants failed: {status}");
    let outcomes = fs::read(folder.join("mutants.out/outcomes.json"))?;
    let outcomes = serde_json::from_slice(&outcomes).context("the outcomes are not JSON")?;
    let score = Score { equivalent, ..Score::read(&outcomes)? };
    ensure!(score.tried() == tried.len() as u64, "{} of {} were tried", score.tried(), tried.len());
    Ok(score)
}

/// cargo-mutants, for the files of these rooms.
fn mutants(workspace: &Workspace, rooms: &[Room]) -> Command {
    let mut cargo = workspace.cargo();
    cargo.arg("mutants");
    for file in rooms.iter().flat_map(|room| room.files) {
        cargo.args(["--file", file]);
    }
    cargo
}

fn listing(workspace: &Workspace, rooms: &[Room]) -> Command {
    let mut cargo = mutants(workspace, rooms);
    cargo.arg("--list");
    cargo
}

/// The mutants in a listing.
fn names(listing: &mut Command) -> Result<Vec<String>> {
    let output = listing.stderr(Stdio::inherit()).output().context("cargo does not start")?;
    ensure!(output.status.success(), "cargo-mutants does not list them: {}", output.status);
    Ok(String::from_utf8(output.stdout)?.lines().map(ToOwned::to_owned).collect())
}

/// The patterns of the list.
fn equivalents(root: &Path) -> Result<Vec<String>> {
    let text =
        fs::read_to_string(root.join(EQUIVALENT)).with_context(|| format!("cannot read {EQUIVALENT}"))?;
    let table: Table = text.parse().with_context(|| format!("{EQUIVALENT} is no TOML"))?;
    let list = table.get("exclude_re").and_then(Value::as_array).context("there is no `exclude_re`")?;
    list.iter().map(|value| Ok(value.as_str().context("a pattern is a string")?.to_owned())).collect()
}

impl Score {
    fn read(outcomes: &Json) -> Result<Self> {
        let mut score = Self::default();
        for outcome in outcomes.get("outcomes").and_then(Json::as_array).context("there are no outcomes")? {
            let mutant = outcome.pointer("/scenario/Mutant/name").and_then(Json::as_str);
            // The first is the workspace as it is.
            let Some(mutant) = mutant else { continue };
            match outcome.get("summary").and_then(Json::as_str) {
                Some("CaughtMutant") => score.caught += 1,
                Some("Timeout") => (score.caught, score.endless) = (score.caught + 1, score.endless + 1),
                Some("Unviable") => score.unviable += 1,
                Some("MissedMutant") => score.survived.push(mutant.to_owned()),
                other => bail!("nobody knows what became of {mutant}: {other:?}"),
            }
        }
        Ok(score)
    }

    fn tried(&self) -> u64 {
        self.caught + self.unviable + self.survived.len() as u64
    }
}

impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = self.tried() + self.equivalent as u64;
        write!(
            f,
            "{all} mutants: {} caught ({} because a test did not end), {} unviable, {} equivalent, {} survived",
            self.caught,
            self.endless,
            self.unviable,
            self.equivalent,
            self.survived.len(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::root;

    #[test]
    fn every_equivalent_mutant_has_its_reason() {
        let text = fs::read_to_string(root().join(EQUIVALENT)).unwrap();
        let mut lines = text.lines().map(str::trim).skip_while(|line| !line.starts_with("exclude_re"));
        assert_eq!(lines.next(), Some("exclude_re = ["));
        let mut reason = false;
        for line in lines.take_while(|line| *line != "]") {
            let comment = line.starts_with('#');
            assert!(comment || reason, "without a reason: {line}");
            reason = comment;
        }
        equivalents(root()).unwrap();
    }

    #[test]
    fn every_room_has_its_files_and_its_tests() {
        for room in &ROOMS {
            for file in room.files {
                assert!(root().join(file.trim_end_matches("/**")).exists(), "{file}");
            }
            for test in room.tests {
                assert!(root().join("tests/tests").join(test).with_extension("rs").is_file(), "{test}");
            }
        }
    }

    #[test]
    fn outcomes_are_told_apart() {
        let outcome = |name: &str, summary: &str| serde_json::json!({ "scenario": { "Mutant": { "name": name } }, "summary": summary });
        let baseline = serde_json::json!({ "scenario": "Baseline", "summary": "Success" });
        let outcomes = serde_json::json!({ "outcomes": [
            baseline,
            outcome("a", "CaughtMutant"),
            outcome("b", "Timeout"),
            outcome("c", "Unviable"),
            outcome("d", "MissedMutant"),
        ] });
        let score = Score { equivalent: 1, ..Score::read(&outcomes).unwrap() };
        assert_eq!(
            score.to_string(),
            "5 mutants: 2 caught (1 because a test did not end), 1 unviable, 1 equivalent, 1 survived"
        );
        assert_eq!(score.survived, ["d"]);
        let lost = serde_json::json!({ "outcomes": [outcome("e", "Failure")] });
        assert!(Score::read(&lost).is_err(), "an outcome that nobody knows is not left out");
    }
}
