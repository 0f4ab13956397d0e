//! `cargo xtask fuzz`: libFuzzer on the targets in `fuzz`, each for its share of the time, from the corpus that is
//! committed, one on each processor. The **canary** comes first: a target that has to fail, because a fuzzer that finds
//! nothing may not be looking.
//!
//! It needs a nightly compiler and cargo-fuzz. Inputs that are found go into `target/fuzz`; the committed corpus
//! changes only by hand.

use core::time::Duration;
use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::Mutex;
use std::thread;

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use toml::{Table, Value};

use crate::nightly;
use crate::program;
use crate::tally::Tally;
use crate::workspace::Workspace;

/// What it is called in the tally.
pub(crate) const NAME: &str = "fuzz";

const CANARY: &str = "canary";
const FOLDER: &str = "fuzz";
/// The workspace of the targets.
pub(crate) const MANIFEST: &str = "fuzz/Cargo.toml";
/// How long the build may take.
const BUILDING: Duration = Duration::from_mins(30);
/// How long a target may take beyond its time, to read its corpus.
const BEYOND: Duration = Duration::from_mins(5);

#[derive(Args)]
pub(crate) struct Options {
    /// How long, for all targets together, if there were one processor
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Only this target
    #[arg(long)]
    target: Option<String>,
}

pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    Ok(counted(&Workspace::load()?, options.seconds, options.target.as_deref())?.close())
}

/// Fuzzes for so many seconds in all.
///
/// # Errors
///
/// The list of targets cannot be read.
pub(crate) fn counted(workspace: &Workspace, seconds: u64, only: Option<&str>) -> Result<Tally> {
    let mut tally = Tally::default();
    let nightly = match nightly() {
        Ok(nightly) => nightly,
        Err(reason) => return Ok(Tally::skipped(NAME, &reason)),
    };
    let targets = targets(&workspace.root)?;
    let cargo = || {
        let mut command = nightly::cargo(&nightly);
        command.arg("fuzz").current_dir(workspace.root.join(FOLDER));
        command
    };
    let mut build = cargo();
    build.arg("build");
    let built = program::captured(build, BUILDING)?;
    if !built.well {
        print!("{}", built.output);
        tally.count(NAME, false, &built.output);
        return Ok(tally);
    }
    let chosen: Vec<_> =
        targets.into_iter().filter(|target| only.is_none_or(|only| only == target)).collect();
    ensure!(!chosen.is_empty(), "there is no such fuzz target: {}", only.unwrap_or("any"));
    let share = (seconds / chosen.len().max(1) as u64).max(1);
    let queue = Mutex::new([CANARY.to_owned()].into_iter().chain(chosen));
    let tally = Mutex::new(tally);
    let worker = || -> Result<()> {
        loop {
            let next = queue.lock().expect("nobody panics with the queue").next();
            let Some(target) = next else { return Ok(()) };
            let (well, said) = fuzz(workspace, cargo(), &target, share)?;
            let mut tally = tally.lock().expect("nobody panics with the tally");
            print!("{said}");
            tally.count(&format!("{NAME} {target}"), well, "");
        }
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..thread::available_parallelism().map_or(1, usize::from))
            .map(|_| scope.spawn(worker))
            .collect();
        workers.into_iter().try_for_each(|worker| worker.join().expect("a worker does not panic"))
    })?;
    Ok(tally.into_inner().expect("nobody panics with the tally"))
}

/// Fuzzes one target for so many seconds. Whether it went well, and what there is to say.
fn fuzz(workspace: &Workspace, mut cargo: Command, target: &str, seconds: u64) -> Result<(bool, String)> {
    let found = workspace.target.join(FOLDER).join(target);
    fs::create_dir_all(&found)?;
    cargo.args(["run", target]).arg(&found);
    let corpus = workspace.root.join(FOLDER).join("corpus").join(target);
    cargo.args(corpus.is_dir().then_some(&corpus));
    cargo.args(["--", "-rss_limit_mb=2048", "-timeout=20", "-print_final_stats=1"]);
    cargo.arg(format!("-max_total_time={seconds}"));
    let ended = program::captured(cargo, Duration::from_secs(seconds) + BEYOND)?;
    let well = if target == CANARY { ended.output.contains("as it has to be") } else { ended.well };
    let runs = ended.output.lines().find_map(|line| line.strip_prefix("stat::number_of_executed_units:"));
    let mut said = format!("{target}: {} runs in {seconds} s\n", runs.map_or("?", str::trim));
    if !well {
        said += &ended.output;
    }
    Ok((well, said))
}

/// The nightly toolchain that is installed, with cargo-fuzz beside it; or why it cannot be used.
fn nightly() -> Result<String, String> {
    let nightly = nightly::toolchain()?;
    match program::has_subcommand(nightly::cargo(&nightly), "fuzz") {
        Ok(true) => Ok(nightly),
        _ => Err("cargo-fuzz is not installed".to_owned()),
    }
}

/// Every target but the canary.
fn targets(root: &Path) -> Result<Vec<String>> {
    let manifest =
        fs::read_to_string(root.join(MANIFEST)).with_context(|| format!("there is no {MANIFEST}"))?;
    let manifest: Table = manifest.parse().context("fuzz/Cargo.toml is no TOML")?;
    let bins = manifest.get("bin").and_then(Value::as_array).context("there are no targets")?;
    let names = bins.iter().filter_map(|bin| Some(bin.get("name")?.as_str()?.to_owned()));
    Ok(names.filter(|name| name != CANARY).collect())
}
