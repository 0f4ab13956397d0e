//! `cargo xtask no-std`: the program in `tests/no-std` **links** the kernel-agnostic crates without std and runs an
//! update with them.
//!
//! That std is not in it is shown three times: cargo resolves none of our crates with a feature that needs it; the
//! compiler would refuse the program's panic handler beside std's; and no symbol of std is in the executable.

use core::time::Duration;
use std::env;
use std::fs;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, bail, ensure};

use crate::program;
use crate::tally::Tally;
use crate::workspace::{NO_STD, Workspace};

/// What it is called in filters and in the tally.
pub(crate) const NAME: &str = "no-std";

const EXECUTABLE: &str = "luo-no-std";
/// How long the build may take, and the run.
const BUILDING: Duration = Duration::from_mins(30);
const RUNNING: Duration = Duration::from_mins(1);

pub(crate) fn run() -> Result<ExitCode> {
    let (said, tally) = counted(&Workspace::load()?);
    print!("{said}");
    Ok(tally.close())
}

/// Builds, checks and runs it, and says how that went: what it said, and one test that passed or failed.
pub(crate) fn counted(workspace: &Workspace) -> (String, Tally) {
    let (well, said) = match check(workspace) {
        Ok(said) => (true, said),
        Err(error) => (false, format!("{error:#}\n")),
    };
    let mut tally = Tally::default();
    tally.count(NAME, well, &said);
    (said, tally)
}

/// Builds, checks and runs it. What the program says is the answer.
fn check(workspace: &Workspace) -> Result<String> {
    let mut tree = workspace.cargo();
    tree.args([
        "tree",
        "--quiet",
        "--manifest-path",
        NO_STD,
        "--edges",
        "normal,features",
        "--prefix",
        "none",
    ]);
    let features = must(tree, BUILDING)?;
    if let Some(line) = needs_std(&features) {
        bail!("the program is resolved with `{line}`");
    }

    // A folder of its own: two cargos that share one wait for each other.
    let target = workspace.target.join(NAME);
    let mut build = workspace.cargo();
    // One compiler: beside it other cases run.
    build
        .args(["build", "--quiet", "--locked", "--jobs", "1", "--manifest-path", NO_STD, "--target-dir"])
        .arg(&target);
    let warnings = must(build, BUILDING)?;

    let executable = target.join("debug").join(format!("{EXECUTABLE}{}", env::consts::EXE_SUFFIX));
    let bytes = fs::read(&executable).with_context(|| format!("no {}", executable.display()))?;
    ensure!(!links_std(&bytes), "symbols of std are in the program");
    Ok(warnings + &must(Command::new(&executable), RUNNING)?)
}

/// Runs `command`; an error with all it said unless it ends well.
fn must(command: Command, deadline: Duration) -> Result<String> {
    let ended = program::captured(command, deadline)?;
    ensure!(ended.well, "{}", ended.output.trim_end());
    Ok(ended.output)
}

/// The line of `cargo tree` that gives one of our crates a feature that needs std.
fn needs_std(tree: &str) -> Option<&str> {
    let ours = |line: &&str| line.starts_with("luo-");
    tree.lines()
        .filter(ours)
        .find(|line| [r#"feature "std""#, r#"feature "default""#].iter().any(|f| line.contains(f)))
}

/// Whether an executable with its symbols holds functions of std, mangled either way that rustc has.
fn links_std(executable: &[u8]) -> bool {
    let has = |needle: &[u8]| executable.windows(needle.len()).any(|window| window == needle);
    has(b"_ZN3std") || has(b"_3std2rt")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_with_std_is_recognized() {
        // This one.
        let bytes = fs::read(env::current_exe().unwrap()).unwrap();
        assert!(links_std(&bytes));
        assert!(!links_std(b"_ZN4core3fmt5Write and _ZN5alloc3vec"));
    }

    #[test]
    fn a_feature_that_needs_std_is_found() {
        let tree = "luo-no-std v0.1.0 (/p)\nluo-core v0.1.0 (/p)\ncrc-catalog feature \"default\"\n";
        assert_eq!(needs_std(tree), None);
        let slipped = format!("{tree}luo-kho feature \"std\"\nluo-kho v0.1.0 (/p)\n");
        assert_eq!(needs_std(&slipped), Some("luo-kho feature \"std\""));
    }
}
