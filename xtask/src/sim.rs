//! `cargo xtask sim`: random updates with faults on the simulated machine, or all schedules of a few faults. The simulation
//! is a program of `luo-tests`; this builds it with optimizations and passes the options on.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use crate::program;
use crate::workspace::Workspace;

#[derive(Args)]
pub(crate) struct Options {
    /// Passed on: --updates N, --seed S, --jobs J, --seconds N, --replay SEED, --schedules double|triple
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    options: Vec<String>,
}

pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let mut cargo = Workspace::load()?.cargo();
    cargo.args(["run", "--quiet", "--release", "--package", "luo-tests", "--bin", "sim", "--"]);
    program::shown(cargo.args(&options.options))?;
    Ok(ExitCode::SUCCESS)
}
