//! `cargo xtask ci`: every **step** that has to be green, one after the other. A step that fails does not stop the
//! others. In the closing line each step that is not made of tests counts as one.

use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;

use crate::concurrency;
use crate::fuzz;
use crate::instructions;
use crate::no_std;
use crate::program::{self, none_failed};
use crate::tally::{Tally, Took};
use crate::test::{self, EVERYTHING};
use crate::tidy;
use crate::workspace::{NO_STD, Workspace};

/// Warnings are errors here, and only here.
const DENY: [&str; 3] = ["--", "-D", "warnings"];

/// Seconds of fuzzing, and of random updates.
const FUZZING: u64 = 60;
const SIMULATING: &str = "20";

/// Workspaces of their own. The last two have steps that build them, with compilers and switches of their own, and no
/// lints.
const APART: [&str; 3] = [NO_STD, fuzz::MANIFEST, concurrency::MANIFEST];

struct Step {
    name: &'static str,
    run: fn(&Workspace) -> Result<Tally>,
}

const STEPS: [Step; 11] = [
    Step { name: "format", run: |workspace| format(workspace).map(|()| one()) },
    Step { name: "lints", run: |workspace| lints(workspace).map(|()| one()) },
    Step { name: "lints without std", run: |workspace| lints_without_std(workspace).map(|()| one()) },
    Step { name: "documentation", run: |workspace| documentation(workspace).map(|()| one()) },
    Step { name: "tidy", run: |workspace| tidy::check(&workspace.root).map(|()| one()) },
    Step { name: "dependencies", run: dependencies },
    Step { name: "simulation", run: |workspace| simulation(workspace).map(|()| one()) },
    Step { name: "concurrency", run: |workspace| concurrency::models(workspace, 1000).map(|()| one()) },
    Step { name: fuzz::NAME, run: |workspace| fuzz::counted(workspace, FUZZING, None) },
    Step { name: instructions::NAME, run: instructions::counted },
    Step { name: "tests", run: |workspace| test::suites(workspace, &test::Options::default()) },
];

pub(crate) fn run() -> Result<ExitCode> {
    let workspace = Workspace::load()?;
    let start = Instant::now();
    let mut all = Tally::default();
    for Step { name, run } in &STEPS {
        println!("\n=== {name}");
        let begun = Instant::now();
        let tally = run(&workspace).unwrap_or_else(|error| {
            println!("{error:#}");
            Tally { failed: vec![(*name).to_owned()], ..Tally::default() }
        });
        println!("=== {name}: {tally} in {}", Took(begun.elapsed()));
        all.add(tally);
    }
    println!("\n{} steps in {}", STEPS.len(), Took(start.elapsed()));
    Ok(all.close())
}

/// A step that went well.
fn one() -> Tally {
    Tally { passed: 1, ..Tally::default() }
}

fn format(workspace: &Workspace) -> Result<()> {
    let mut main = workspace.cargo();
    main.args(["fmt", "--all", "--check"]);
    let apart = APART.map(|manifest| {
        let mut cargo = workspace.cargo();
        cargo.args(["fmt", "--check", "--manifest-path", manifest]);
        cargo
    });
    all(apart.into_iter().chain([main]))
}

fn lints(workspace: &Workspace) -> Result<()> {
    let mut main = workspace.cargo();
    main.args(["clippy", "--all-targets", "--keep-going"]).args(EVERYTHING).args(DENY);
    let mut no_std = workspace.cargo();
    no_std
        .args(["clippy", "--manifest-path", NO_STD, "--target-dir"])
        .arg(workspace.target.join(no_std::NAME));
    no_std.args(DENY);
    all([main, no_std])
}

/// One package at a time: in one build cargo would give each the features that its neighbours ask for. Their tests have
/// std.
fn lints_without_std(workspace: &Workspace) -> Result<()> {
    all(workspace.libraries.iter().map(|library| {
        let mut cargo = workspace.cargo();
        cargo.args(["clippy", "--keep-going", "--no-default-features", "--package", library]).args(DENY);
        cargo
    }))
}

fn documentation(workspace: &Workspace) -> Result<()> {
    let mut cargo = workspace.cargo();
    cargo.args(["doc", "--no-deps"]).args(EVERYTHING).env("RUSTDOCFLAGS", "-D warnings");
    program::shown(&mut cargo)
}

/// Random updates with faults, which have to find nothing.
fn simulation(workspace: &Workspace) -> Result<()> {
    let mut cargo = workspace.cargo();
    cargo.args(["run", "--quiet", "--release", "--package", "luo-tests", "--bin", "sim", "--"]);
    program::shown(cargo.args(["--updates", "1000000000", "--seconds", SIMULATING]))
}

/// What we depend on, as `deny.toml` allows it: licences, sources, versions. Known faults are asked for where the list
/// of them can be had.
fn dependencies(workspace: &Workspace) -> Result<Tally> {
    if !program::has_subcommand(workspace.cargo(), "deny")? {
        return Ok(Tally::skipped("dependencies", "cargo-deny is not installed"));
    }
    let deny = |arguments: &[&str]| {
        let mut cargo = workspace.cargo();
        cargo.args(["deny", "--all-features"]).args(arguments);
        program::shown(&mut cargo)
    };
    deny(&["check", "bans", "licenses", "sources"])?;
    let mut tally = one();
    match deny(&["fetch", "db"]) {
        Ok(()) => deny(&["check", "--disable-fetch", "advisories"]).map(|()| tally.add(one()))?,
        Err(error) => tally.add(Tally::skipped("known faults of dependencies", &error.to_string())),
    }
    Ok(tally)
}

/// Runs all commands, also those after one that fails.
fn all(commands: impl IntoIterator<Item = std::process::Command>) -> Result<()> {
    let run = |mut command| program::shown(&mut command).err().map(|error| error.to_string());
    none_failed(&commands.into_iter().filter_map(run).collect::<Vec<_>>())
}
