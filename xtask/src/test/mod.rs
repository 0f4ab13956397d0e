//! `cargo xtask test`: builds everything once, then runs the cases of all suites side by side.
//!
//! - A **suite** is an executable with tests, or the examples, or a task: the doc tests, the program without std.
//! - A **case** is one test, in a process of its own with a scratch folder, a deadline, and a supervisor that counts
//!   what it leaves behind.
//! - What a test **needs** it declares; what is scarce is shared out.
//!
//! The last line is the closing line of [`Tally`]; the exit code agrees with it.

mod build;
mod needs;
mod list;
mod history;
mod share;
mod huge;
mod doctests;
mod outcome;
mod run;
mod progress;
mod report;
mod junit;

use core::num::NonZeroUsize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};

use crate::no_std;
use crate::tally::{Tally, Took};
use crate::workspace::Workspace;
use build::{Built, Executable};
use history::History;
use list::{Case, Declared, Wanted, Work};
use needs::Needs;
use run::Way;

/// What is built and tested: everything, with every feature.
pub(crate) const EVERYTHING: [&str; 2] = ["--workspace", "--all-features"];

/// The suite of the numbered programs, and the folder of their package.
const EXAMPLES: &str = "examples";

#[derive(Debug, Default, clap::Args)]
pub(crate) struct Options {
    /// Only list the cases, each with its needs
    #[arg(long)]
    list: bool,
    /// Only this suite, or those of this package: `luo-kho`, `luo-tests::uapi`, `uapi`, `examples`, `doc tests`
    #[arg(long, value_name = "NAME")]
    suite: Vec<String>,
    /// Only cases whose suite and name contain this
    #[arg(long, value_name = "PART")]
    filter: Vec<String>,
    /// Only cases that do without this
    #[arg(long, value_name = "NEED", value_parser = ["kvm", "root", "kernel", "memory", "huge"])]
    without: Vec<String>,
    /// How many cases run at a time, and how many compilers [default: one per core]
    #[arg(long, value_name = "N")]
    jobs: Option<NonZeroUsize>,
    /// Run every case so many times
    #[arg(long, value_name = "N", default_value = "1")]
    repeat: Option<NonZeroUsize>,
    /// Shuffle the cases; tests that draw lots are given the same seed
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// A case that is skipped fails
    #[arg(long)]
    no_skip: bool,
    /// Write a report in the form of `JUnit`
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Keep the scratch folders of cases that fail
    #[arg(long)]
    keep: bool,
    /// Build nothing; these executables are the suites
    #[arg(long, value_name = "FILE")]
    executable: Vec<PathBuf>,
}

impl Options {
    fn jobs(&self) -> NonZeroUsize {
        self.jobs.or_else(|| thread::available_parallelism().ok()).unwrap_or(NonZeroUsize::MIN)
    }

    fn wanted(&self) -> Wanted {
        Wanted { suites: self.suite.clone(), parts: self.filter.clone(), without: self.without.clone() }
    }
}

pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let workspace = Workspace::load()?;
    if options.list {
        let Some(cases) = cases(&workspace, options)? else { return Ok(ExitCode::FAILURE) };
        for case in cases {
            println!("{case}");
        }
        return Ok(ExitCode::SUCCESS);
    }
    Ok(suites(&workspace, options)?.close())
}

/// Runs what is wanted, and tells of it.
pub(crate) fn suites(workspace: &Workspace, options: &Options) -> Result<Tally> {
    let Some(mut cases) = cases(workspace, options)? else {
        return Ok(Tally { failed: vec!["building the tests".to_owned()], ..Tally::default() });
    };
    let mut history = History::read(&workspace.target);
    history.sort(&mut cases);
    if let Some(seed) = options.seed {
        fastrand::Rng::with_seed(seed).shuffle(&mut cases);
    }
    let times = options.repeat.map_or(1, NonZeroUsize::get);
    let cases: Vec<_> = cases.iter().flat_map(|case| std::iter::repeat_n(case, times)).cloned().collect();
    let way = Way {
        jobs: options.jobs().get(),
        seed: options.seed,
        keep: options.keep,
        no_skip: options.no_skip,
        wanted: options.wanted(),
    };
    println!("{} cases, {} at a time", cases.len(), way.jobs);
    let begun = Instant::now();
    let outcomes = run::all(workspace, cases, &way)?;
    println!("\n{}\nall in {}", report::text(&outcomes), Took(begun.elapsed()));
    if options.executable.is_empty() {
        history.note(&outcomes);
        history.write(&workspace.target)?;
    }
    if let Some(path) = &options.junit {
        junit::write(&outcomes, path)?;
    }
    Ok(outcome::tally(&outcomes))
}

/// Everything that is wanted. `None` if it does not build.
fn cases(workspace: &Workspace, options: &Options) -> Result<Option<Vec<Case>>> {
    let wanted = options.wanted();
    let built = if options.executable.is_empty() {
        build::everything(workspace, options.jobs())?
    } else {
        Some(given(&options.executable)?)
    };
    let Some(built) = built else { return Ok(None) };
    let mut cases = Vec::new();
    if options.executable.is_empty() {
        for (name, task) in TASKS {
            let (suite, work) = (name.to_owned(), Work::Task(task));
            cases.push(Case { suite, name: String::new(), needs: Needs::default(), work });
        }
    }
    let mut declared = declared(workspace)?;
    for suite in built.suites.iter().filter(|suite| wanted.suite(&suite.name)) {
        let rows = declared.entry(suite.folder.clone()).or_default();
        cases.extend(list::of_suite(suite, rows)?);
    }
    if wanted.suites.is_empty() && options.executable.is_empty() {
        let stale = declared.values().flatten().find(|row| !row.used);
        ensure!(
            stale.is_none(),
            "a manifest declares what `{}` needs, and there is no such test",
            stale.map(|row| row.beginning.as_str()).unwrap_or_default()
        );
    }
    let folder = workspace.root.join(EXAMPLES);
    let examples = built.examples.iter().filter(|example| example.folder == folder);
    cases.extend(examples.map(|example| list::of_program(EXAMPLES, example, workspace.root.clone())));
    cases.retain(|case| wanted.case(case));
    Ok(Some(cases))
}

/// What this program does itself.
const TASKS: [(&str, list::Task); 2] =
    [(doctests::NAME, doctests::run), (no_std::NAME, |workspace, _| Ok(no_std::counted(workspace)))];

/// What manifests say about the needs of tests, by the folder of the package.
fn declared(workspace: &Workspace) -> Result<BTreeMap<PathBuf, Vec<Declared>>> {
    let mut declared: BTreeMap<PathBuf, Vec<Declared>> = BTreeMap::new();
    for (folder, beginning, words) in &workspace.needs {
        let needs = words.parse().with_context(|| format!("{}: needs of {beginning}", folder.display()))?;
        let row = Declared { beginning: beginning.clone(), needs, used: false };
        declared.entry(folder.clone()).or_default().push(row);
    }
    Ok(declared)
}

/// Suites that somebody else has built.
fn given(paths: &[PathBuf]) -> Result<Built> {
    let folder = std::env::current_dir()?;
    let executable = |path: &PathBuf| {
        let path = folder.join(path);
        ensure!(path.is_file(), "{} is no file", path.display());
        let name = path.file_name().map_or(path.as_path(), Path::new).display().to_string();
        Ok(Executable { name, target: None, path, folder: folder.clone() })
    };
    Ok(Built { suites: paths.iter().map(executable).collect::<Result<_>>()?, examples: Vec::new() })
}
