//! `cargo xtask test`: builds everything once, then runs all **suites** side by side.
//!
//! - The test functions of every package, each in a process of its own: by cargo-nextest where it is installed, by
//!   [`processes`] where it is not. Both give a test the same surroundings and the same deadline.
//! - Beside them the doc tests, the examples, and the program without std.
//!
//! The last line is the closing line of [`Tally`]; the exit code agrees with it.

mod build;
mod doctests;
mod examples;
mod nextest;
mod processes;

use core::num::NonZeroUsize;
use core::time::Duration;
use std::process::ExitCode;
use std::thread;
use std::time::Instant;

use anyhow::{Result, ensure};
use clap::ValueEnum;

use crate::no_std;
use crate::program;
use crate::tally::{Tally, Took};
use crate::workspace::Workspace;

/// How long one test or one example may take: `slow-timeout` times `terminate-after` in `.config/nextest.toml`.
const DEADLINE: Duration = Duration::from_mins(3);

/// What is built and tested: everything, with every feature.
pub(crate) const EVERYTHING: [&str; 2] = ["--workspace", "--all-features"];

#[derive(Debug, Default, clap::Args)]
pub(crate) struct Options {
    /// Only tests whose name contains this; with parentheses in it, an expression in nextest's language, which leaves
    /// out doc tests, examples and the program without std
    #[arg(long, value_name = "EXPR")]
    filter: Option<String>,
    /// How many tests run at a time, and how many compilers [default: one per core]
    #[arg(long, value_name = "N")]
    jobs: Option<NonZeroUsize>,
    /// Who runs the test functions
    #[arg(long, value_enum, default_value_t)]
    runner: Runner,
}

/// Who runs the test functions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Runner {
    /// cargo-nextest if it is installed, else xtask
    #[default]
    Auto,
    /// cargo-nextest
    Nextest,
    /// xtask itself
    Xtask,
}

/// Which tests are wanted.
#[derive(Clone, Copy, Debug)]
enum Filter<'a> {
    All,
    /// Those whose name contains this.
    Name(&'a str),
    /// Those that an expression in nextest's language describes.
    Expression(&'a str),
}

impl Options {
    fn filter(&self) -> Filter<'_> {
        match self.filter.as_deref() {
            None => Filter::All,
            Some(text) if text.contains('(') => Filter::Expression(text),
            Some(text) => Filter::Name(text),
        }
    }

    fn jobs(&self) -> NonZeroUsize {
        self.jobs.or_else(|| thread::available_parallelism().ok()).unwrap_or(NonZeroUsize::MIN)
    }
}

impl Filter<'_> {
    /// Whether something that is not a test function is wanted.
    fn wants(self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Name(part) => name.contains(part),
            Self::Expression(_) => false,
        }
    }
}

pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let workspace = Workspace::load()?;
    let mut tally = suites(&workspace, options)?;
    if options.filter().wants(no_std::NAME) {
        println!("\n--- {}", no_std::NAME);
        tally.add(no_std::counted(&workspace));
    }
    Ok(tally.close())
}

/// Runs all but the program without std.
pub(crate) fn suites(workspace: &Workspace, options: &Options) -> Result<Tally> {
    let filter = options.filter();
    let with_nextest = match options.runner {
        Runner::Auto => program::has_subcommand(workspace.cargo(), "nextest")?,
        Runner::Nextest => true,
        Runner::Xtask => false,
    };
    ensure!(
        with_nextest || !matches!(filter, Filter::Expression(_)),
        "a filter expression needs cargo-nextest; without it, give a part of a name"
    );
    let Some(built) = build::everything(workspace, options.jobs())? else {
        return Ok(Tally { failed: vec!["building the tests".to_owned()], ..Tally::default() });
    };
    thread::scope(|scope| {
        let beside = scope.spawn(|| beside(workspace, &built, filter));
        let mut tally = if with_nextest {
            nextest::run(workspace, filter, options.jobs())?
        } else {
            processes::run(&built.suites, filter, options.jobs())?
        };
        for (name, side) in beside.join().unwrap_or_default() {
            let Side { said, tally: counted, took } = side?;
            println!("\n--- {name}: {counted} in {took}\n{}", said.trim_end());
            tally.add(counted);
        }
        Ok(tally)
    })
}

/// What ran beside the test functions. It is told afterwards, so that two streams do not mix.
struct Side {
    said: String,
    tally: Tally,
    took: Took,
}

fn beside(
    workspace: &Workspace,
    built: &build::Built,
    filter: Filter<'_>,
) -> Vec<(&'static str, Result<Side>)> {
    let timed = |work: &dyn Fn() -> Result<(String, Tally)>| {
        let start = Instant::now();
        work().map(|(said, tally)| Side { said, tally, took: Took(start.elapsed()) })
    };
    vec![
        ("examples", timed(&|| examples::run(workspace, &built.examples, filter))),
        ("doc tests", timed(&|| doctests::run(workspace, filter))),
    ]
}
