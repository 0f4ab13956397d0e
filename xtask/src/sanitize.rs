//! `cargo xtask sanitize`: tests under a **sanitizer**, which watches what the compiler cannot: the doors behind which
//! there is `unsafe`, the memory that the kernel maps for them, and threads.
//!
//! std is built with it too: that takes a nightly toolchain with its sources, and some minutes.

use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result};
use clap::{Args, ValueEnum};

use crate::nightly;
use crate::program;
use crate::tally::Tally;
use crate::workspace::Workspace;

/// What it is called in the tally.
const NAME: &str = "sanitize";

/// Suites in which programs share memory, or hand it over.
const PROCESSES: [&str; 3] = ["process_life_cycle", "process_socket", "memfd_properties"];
/// One with a guardian, which is a process in the memory of another: the runtime of `ThreadSanitizer` aborts there.
const GUARDED: &str = "process_exec";

#[derive(Args)]
pub(crate) struct Options {
    /// Only this one
    #[arg(long, value_enum)]
    only: Option<Sanitizer>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Sanitizer {
    /// Memory that is not there any more, or never was, and leaks
    Address,
    /// Races
    Thread,
}

impl Sanitizer {
    fn name(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::Thread => "thread",
        }
    }
}

pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let workspace = Workspace::load()?;
    let (nightly, host) = match nightly::toolchain().and_then(|nightly| Ok((host(&nightly)?, nightly))) {
        Ok((host, nightly)) => (nightly, host),
        Err(reason) => return Ok(Tally::skipped(NAME, &reason).close()),
    };
    let mut tally = Tally::default();
    for sanitizer in Sanitizer::value_variants() {
        if options.only.is_some_and(|only| only != *sanitizer) {
            continue;
        }
        for (suites, arguments) in suites(&workspace, *sanitizer) {
            let name = format!("{NAME} {} {suites}", sanitizer.name());
            println!("=== {name}");
            let ended = program::shown(&mut test(&workspace, &nightly, &host, *sanitizer, &arguments));
            tally.count(&name, ended.is_ok(), &ended.err().map_or(String::new(), |error| error.to_string()));
        }
    }
    Ok(tally.close())
}

/// What is run, and how cargo is told.
fn suites(workspace: &Workspace, sanitizer: Sanitizer) -> [(&'static str, Vec<String>); 2] {
    let libraries = workspace.libraries.iter().flat_map(|library| ["--package".to_owned(), library.clone()]);
    let guarded = (sanitizer == Sanitizer::Address).then_some(GUARDED);
    let processes =
        PROCESSES.into_iter().chain(guarded).flat_map(|suite| ["--test", suite].map(str::to_owned));
    let package = ["--package", "luo-tests"].map(str::to_owned);
    [
        ("units", libraries.chain(["--lib", "--all-features"].map(str::to_owned)).collect()),
        ("processes", package.into_iter().chain(processes).collect()),
    ]
}

fn test(
    workspace: &Workspace,
    nightly: &str,
    host: &str,
    sanitizer: Sanitizer,
    arguments: &[String],
) -> Command {
    let mut cargo = nightly::cargo(nightly);
    cargo.current_dir(&workspace.root);
    cargo.args(["test", "--quiet", "-Zbuild-std", "--target", host, "--target-dir"]);
    // A folder for each: the std of one is not that of the other.
    cargo.arg(workspace.target.join(NAME).join(sanitizer.name())).args(arguments);
    cargo.env("RUSTFLAGS", format!("-Zsanitizer={}", sanitizer.name()));
    cargo
}

/// The machine that the toolchain builds for, if the sources of std are there; or why it cannot be used.
fn host(nightly: &str) -> Result<String, String> {
    let ask = |question: &[&str]| -> Result<String> {
        let output = Command::new("rustup").args(["run", nightly, "rustc"]).args(question).output();
        Ok(String::from_utf8_lossy(&output.context("rustup does not start")?.stdout).trim().to_owned())
    };
    let facts = ask(&["--print", "sysroot"]).and_then(|sysroot| Ok((sysroot, ask(&["-vV"])?)));
    let (sysroot, version) = facts.map_err(|error| error.to_string())?;
    if !Path::new(&sysroot).join("lib/rustlib/src/rust/library/std").is_dir() {
        return Err(format!("no sources of std: `rustup component add rust-src --toolchain {nightly}`"));
    }
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.ok_or("rustc does not say what it builds for")?.to_owned())
}
