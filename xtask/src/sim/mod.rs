//! `cargo xtask sim`: random updates with faults on the simulated machine, all schedules of a few faults, or every flip
//! of a handover's bits (`--hostile`). The simulation is a program of `luo-tests`; this builds it with optimizations
//! and passes the options on. With `--planted` it is the simulation that is tested: by defects that are planted into a
//! copy of the sources.

mod planted;

use core::time::Duration;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use crate::program;
use crate::workspace::Workspace;

#[derive(Args)]
pub(crate) struct Options {
    /// Plant each of the known defects into a copy of the sources, and see whether it is found within so many seconds
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "60")]
    planted: Option<u64>,
    /// Passed on: --updates N, --seed S, --jobs J, --seconds N, --replay SEED, --schedules double|triple, --hostile
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    options: Vec<String>,
}

pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let workspace = Workspace::load()?;
    if let Some(seconds) = options.planted {
        return planted::run(&workspace, Duration::from_secs(seconds));
    }
    let mut cargo = workspace.cargo();
    cargo.args(["run", "--quiet", "--release", "--package", "luo-tests", "--bin", "sim", "--"]);
    program::shown(cargo.args(&options.options))?;
    Ok(ExitCode::SUCCESS)
}
