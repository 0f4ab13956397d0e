//! `cargo xtask bench NAME`: measurements, for people to read. They assert nothing about time; that is not what tests
//! are for.

use std::process::{Command, ExitCode};

use anyhow::Result;
use clap::{Args, Subcommand};

use crate::workspace::Workspace;
use crate::{instructions, program};

#[derive(Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// What a file costs in each phase of an update, from one to 100,000 files, beside the list that Linux searches
    Core,
    /// The serialized array beside other formats: bytes, building, restoring, look-ups
    Xarray {
        /// Passed on: --patterns NAME,.., --pages N, --flat
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        options: Vec<String>,
    },
    /// The gate on instructions of the serialized array: fails if a count grew by more than 2 %
    Instructions {
        /// Take what is counted now for the baseline
        #[arg(long)]
        bless: bool,
    },
    /// How long a guest stands still while its VMM is replaced, beside the floor that the kernel sets
    Blackout {
        /// Passed on: --updates N, --memory SIZE,.., --carrier socket,exec
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        options: Vec<String>,
    },
    /// What copying a file of huge pages costs, beside a plain copy; needs as many free huge pages again
    Hugetlb {
        /// Of a file of so many MiB
        #[arg(default_value_t = 512)]
        mib: u64,
    },
    /// What a guest_memfd costs in an update, mapped and copied, beside a plain copy
    Guestmemfd {
        /// Of a file of so many MiB
        #[arg(default_value_t = 512)]
        mib: u64,
    },
}

pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let workspace = Workspace::load()?;
    match &options.what {
        What::Core => {
            let bench = ["bench", "--quiet", "--package", "luo-core", "--bench", "files"];
            program::shown(workspace.cargo().args(bench))?;
        }
        What::Xarray { options } => {
            let bench = ["bench", "--quiet", "--package", "luo-benches", "--bench", "xarray", "--"];
            program::shown(workspace.cargo().args(bench).args(options))?;
        }
        What::Instructions { bless } => return instructions::run(*bless),
        What::Blackout { options } => blackout(&workspace, options)?,
        What::Hugetlb { mib } => of_a_file(&workspace, "hugetlb", *mib)?,
        What::Guestmemfd { mib } => of_a_file(&workspace, "guestmemfd", *mib)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// What one file of so many MiB costs, with its own handler.
fn of_a_file(workspace: &Workspace, name: &str, mib: u64) -> Result<()> {
    let bench = ["bench", "--quiet", "--package", "luo-tests", "--bench", name, "--"];
    program::shown(workspace.cargo().args(bench).arg(mib.to_string()))
}

/// The VMM is linked statically: by exec, loading shared libraries would be a part of the pause.
fn blackout(workspace: &Workspace, options: &[String]) -> Result<()> {
    const STATIC: [&str; 9] = [
        "rustc",
        "--quiet",
        "--release",
        "--package",
        "luo-vmm",
        "--bin=luo-vmm",
        "--",
        "-C",
        "target-feature=+crt-static",
    ];
    program::shown(workspace.cargo().args(STATIC))?;
    let vmm = workspace.target.join("release/luo-vmm");
    program::shown(Command::new(vmm).arg("bench").args(options))
}
