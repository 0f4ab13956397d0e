#![doc = include_str!("../README.md")]

mod cli;
mod guest;
mod machine;
mod state;
mod devices;
mod trace;
mod folder;
mod huge;
mod control;
mod vmm;
mod subject;
mod percentile;
mod demo;
mod bench;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::Parser as _;

use cli::{Cli, Command};

/// For an answer: an update may have to populate a lot of memory.
const PATIENCE: Duration = Duration::from_mins(2);

fn main() -> ExitCode {
    match act(Cli::parse().command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("luo-vmm: {}", told(&error));
            ExitCode::FAILURE
        }
    }
}

fn act(command: Command) -> Result<ExitCode> {
    match command {
        Command::Run(run) => vmm::run(run).map(|()| ExitCode::SUCCESS),
        Command::Demo(demo) => demo::run(&demo),
        Command::Bench(bench) => bench::run(&bench),
        Command::Floor(floor) => bench::run_floor(&floor),
        Command::Update(update) => {
            // The VMM is somewhere else, and would look there.
            let program = update.program.as_ref().map(std::path::absolute).transpose()?;
            ask(&folder::Folder::open(&update.dir)?, program)
        }
        Command::Ask(question) => ask(&folder::Folder::open(&question.dir)?, None),
    }
}

/// An error with its causes, but for those that it tells itself.
fn told(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

/// Asks the VMM in this folder what stands on our own command line, but for where that names this program, and prints
/// the answer.
fn ask(folder: &folder::Folder, program: Option<PathBuf>) -> Result<ExitCode> {
    let mut words: Vec<_> = std::env::args().skip(1).collect();
    if let Some(program) = program {
        // The last one counts.
        words.push(format!("--program={}", program.display()));
    }
    let reply = control::ask(&folder.control(), &words, PATIENCE)?;
    for (key, value) in reply.lines() {
        println!("{key} = {value}");
    }
    let failed = reply.get("error").is_some() || reply.get("ok") == Some("false");
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
