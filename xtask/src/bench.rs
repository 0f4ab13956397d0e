//! `cargo xtask bench NAME`: measurements, for people to read. They assert nothing about time; that is not what tests
//! are for.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Subcommand};

use crate::program;
use crate::workspace::Workspace;

#[derive(Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// What a file costs in each phase of an update, from 1,000 to 100,000 files, and the exponent that fits
    Core,
}

pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let (package, bench) = match options.what {
        What::Core => ("luo-core", "files"),
    };
    let mut cargo = Workspace::load()?.cargo();
    program::shown(cargo.args(["bench", "--quiet", "--package", package, "--bench", bench]))?;
    Ok(ExitCode::SUCCESS)
}
