//! The examples: each numbered program is run as a reader would run it, and has to end well.

use core::fmt::Write as _;
use std::process::Command;

use anyhow::Result;

use super::build::Executable;
use super::{DEADLINE, Filter};
use crate::program;
use crate::tally::{Tally, verdict};
use crate::workspace::Workspace;

/// The package whose examples are run, by its folder.
const FOLDER: &str = "examples";

pub(super) fn run(
    workspace: &Workspace,
    examples: &[Executable],
    filter: Filter<'_>,
) -> Result<(String, Tally)> {
    let folder = workspace.root.join(FOLDER);
    let mut tally = Tally::default();
    let mut said = String::new();
    for example in examples.iter().filter(|example| example.folder == folder && filter.wants(&example.name)) {
        let mut command = Command::new(&example.path);
        command.current_dir(&workspace.root);
        let ended = program::captured(command, DEADLINE)?;
        let name = format!("example {}", example.name);
        tally.count(&name, ended.well, &ended.output);
        writeln!(said, "{} {name}", verdict(ended.well, &ended.output))?;
        if !ended.well {
            said.push_str(&ended.output);
        }
    }
    Ok((said, tally))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    #[test]
    fn only_the_numbered_programs_are_run_and_a_bad_end_is_told() {
        let workspace = Workspace { root: "/".into(), target: PathBuf::new(), libraries: Vec::new() };
        let example = |name: &str, path: &str, folder: &str| Executable {
            name: name.into(),
            path: path.into(),
            folder: folder.into(),
        };
        let examples = [
            example("01-well", "/bin/true", "/examples"),
            example("02-badly", "/bin/false", "/examples"),
            example("of-another-package", "/bin/false", "/crates/luo-kho"),
        ];
        let (said, tally) = run(&workspace, &examples, Filter::All).unwrap();
        assert_eq!(tally, Tally { passed: 1, failed: vec!["example 02-badly".into()], skipped: Vec::new() });
        assert!(said.contains("FAIL example 02-badly"), "{said}");
    }
}
