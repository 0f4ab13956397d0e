//! `cargo xtask golden`: the list of released bytes under `tests/golden`. What was released is only ever added to.

use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;

use crate::tidy::golden;
use crate::workspace;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    act: Act,
}

#[derive(Debug, Subcommand)]
enum Act {
    /// Compare the files with the list
    Check,
    /// Append new files to the list; refused if a listed file is missing or differs
    Add,
}

pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    match options.act {
        Act::Check => {
            let findings = golden::findings(workspace::root())?;
            for finding in &findings {
                println!("{finding}");
            }
            Ok(if findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        Act::Add => {
            let added = golden::add(workspace::root())?;
            for path in &added {
                println!("added {path}");
            }
            println!("{} files added", added.len());
            Ok(ExitCode::SUCCESS)
        }
    }
}
