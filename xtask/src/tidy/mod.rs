//! `cargo xtask tidy`: the rules of the house that a compiler does not check.
//!
//! - A **tree** is what lies in the work tree, read once.
//! - A **rule** looks at the tree and reports **findings**: a place, and what is wrong there. A new rule is one file
//!   here, with a test that plants a violation, and one line in [`RULES`].
//!
//! Tidy runs as a step of `cargo xtask ci`, and as a test, so that nobody has to remember it.

mod doors;
mod formats;
mod front_doors;
pub(crate) mod golden;
mod layers;
mod names;
#[cfg(test)]
mod planted;
mod size;
mod tree;
mod words;

use core::fmt;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::workspace;
use tree::Tree;

/// What is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    /// From the root, with `/`.
    path: String,
    /// From 1; 0 for the file as a whole.
    line: usize,
    what: String,
}

/// All rules. Each is told once, in the head of its file.
const RULES: [fn(&Tree) -> Vec<Finding>; 9] = [
    tree::unreadable,
    layers::findings,
    size::findings,
    doors::findings,
    golden::in_tree,
    formats::findings,
    names::findings,
    front_doors::findings,
    words::findings,
];

pub(crate) fn run() -> Result<ExitCode> {
    check(workspace::root())?;
    Ok(ExitCode::SUCCESS)
}

/// Prints what is found below `root`.
///
/// # Errors
///
/// Something is.
pub(crate) fn check(root: &Path) -> Result<()> {
    let findings = findings(root)?;
    for finding in &findings {
        println!("{finding}");
    }
    match findings.len() {
        0 => Ok(()),
        1 => bail!("1 finding"),
        count => bail!("{count} findings"),
    }
}

fn findings(root: &Path) -> Result<Vec<Finding>> {
    let tree = Tree::read(root)?;
    let mut findings: Vec<_> = RULES.iter().flat_map(|rule| rule(&tree)).collect();
    findings.sort();
    Ok(findings)
}

impl Finding {
    fn at(path: &str, line: usize, what: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, what: what.into() }
    }

    fn of_file(path: &str, what: impl Into<String>) -> Self {
        Self::at(path, 0, what)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.path, self.what),
            line => write!(f, "{}:{line}: {}", self.path, self.what),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::planted::Planted;
    use super::*;

    #[test]
    fn the_tree_is_tidy() {
        let findings = findings(workspace::root()).unwrap();
        let list: Vec<_> = findings.iter().map(ToString::to_string).collect();
        assert!(findings.is_empty(), "{} findings:\n{}", list.len(), list.join("\n"));
    }

    #[test]
    fn a_tidy_tree_gives_no_finding_and_an_untidy_one_fails() {
        let planted = Planted::package("luo-kho").with("crates/luo-kho/src/lib.rs", planted::LIB);
        assert_eq!(findings(planted.root()).unwrap(), []);
        assert!(check(planted.root()).is_ok());
        let planted = planted.with("crates/luo-kho/src/util.rs", "//! Odds and ends.\n");
        assert_eq!(check(planted.root()).unwrap_err().to_string(), "1 finding");
    }

    #[test]
    fn a_finding_says_where() {
        assert_eq!(Finding::at("a/b.rs", 3, "is wrong").to_string(), "a/b.rs:3: is wrong");
        assert_eq!(Finding::of_file("a/b.rs", "is wrong").to_string(), "a/b.rs: is wrong");
    }
}
