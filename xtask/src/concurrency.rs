//! `cargo xtask concurrency`: the models in `tests/concurrency`, once with loom's atomics and once with shuttle's
//! threads.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use crate::program;
use crate::workspace::Workspace;

/// The workspace of the models.
pub(crate) const MANIFEST: &str = "tests/concurrency/Cargo.toml";

#[derive(Args)]
pub(crate) struct Options {
    /// How many schedules of each model shuttle runs
    #[arg(long, default_value_t = 10_000)]
    schedules: u64,
}

pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    models(&Workspace::load()?, options.schedules)?;
    Ok(ExitCode::SUCCESS)
}

/// Runs all models.
///
/// # Errors
///
/// One of them failed.
pub(crate) fn models(workspace: &Workspace, schedules: u64) -> Result<()> {
    // A folder for each: the atomics of one are not those of the other.
    let test = |folder: &str| {
        let mut cargo = workspace.cargo();
        cargo.args(["test", "--manifest-path", MANIFEST, "--target-dir"]).arg(workspace.target.join(folder));
        cargo
    };
    program::shown(test("loom").args(["--test", "word"]).env("RUSTFLAGS", "--cfg loom"))?;
    program::shown(test("shuttle").args(["--test", "lock"]).env("LUO_SCHEDULES", schedules.to_string()))
}
