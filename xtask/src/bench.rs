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
    /// How long a guest stands still while its VMM is replaced, beside the floor that the kernel sets
    Blackout {
        /// Passed on: --updates N, --memory SIZE,.., --carrier socket,exec
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        options: Vec<String>,
    },
}

pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let mut cargo = Workspace::load()?.cargo();
    let cargo = match &options.what {
        What::Core => cargo.args(["bench", "--quiet", "--package", "luo-core", "--bench", "files"]),
        What::Blackout { options } => {
            cargo.args(["run", "--quiet", "--release", "--package", "luo-vmm", "--", "bench"]).args(options)
        }
    };
    program::shown(cargo)?;
    Ok(ExitCode::SUCCESS)
}
