//! `cargo xtask new-handler NAME`: a crate for another kind of file, on the floor plan of the handlers that there are.
//! It is an **echo**: it carries the files of a simulated host and keeps all laws, and its rooms are where a real one
//! is built. `docs/new-handler.md` goes on from there.
//!
//! The crate is written from the **template**; an **entry** is a line in a file that has to know it.

mod template;
mod entries;
#[cfg(test)]
mod steps;
#[cfg(test)]
mod tutorial;

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result, ensure};

use crate::tidy::golden;
use crate::workspace::{self, cargo};
use crate::{concurrency, fuzz, program};

/// The workspaces that the tests of a handler are a part of.
const LOCKED: [&str; 3] = ["Cargo.toml", concurrency::MANIFEST, fuzz::MANIFEST];

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// What is carried: small letters, digits and hyphens, as `vfio-pci`
    name: String,
}

/// A name in the forms that it takes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Name {
    /// `vfio-pci`
    kebab: String,
    /// `vfio_pci`
    snake: String,
    /// `VfioPci`
    camel: String,
}

pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let name = Name::new(&options.name)?;
    let root = workspace::root();
    write(root, &name)?;
    // A line that became too long is broken, and every lock file learns of the package.
    program::shown(cargo(root).args(["fmt", "--all"]))?;
    for manifest in LOCKED {
        program::shown(cargo(root).args(["update", "--quiet", "--workspace", "--manifest-path", manifest]))?;
    }
    println!("crates/luo-{0} is an echo; docs/new-handler.md makes a handler of it", name.kebab);
    let suites = format!("--suite luo-{0} --suite {1}_laws --suite matrix", name.kebab, name.snake);
    println!("it is tried by `cargo xtask test {suites} --filter {}`", name.kebab);
    Ok(ExitCode::SUCCESS)
}

/// Writes the crate and every entry, or nothing.
fn write(root: &Path, name: &Name) -> Result<()> {
    let files = template::files(name);
    for (path, _) in &files {
        ensure!(!root.join(path).exists(), "{path} is there already");
    }
    let changed = entries::all(root, name)?;
    for (path, bytes) in files.into_iter().chain(changed) {
        let path = root.join(path);
        let folder = path.parent().context("every file has a folder")?;
        fs::create_dir_all(folder)
            .and_then(|()| fs::write(&path, bytes))
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    golden::add(root)?;
    Ok(())
}

impl Name {
    fn new(name: &str) -> Result<Self> {
        let good = |word: &str| {
            word.starts_with(|c: char| c.is_ascii_lowercase())
                && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
        };
        ensure!(name.split('-').all(good), "`{name}` is no name: small letters, digits and hyphens");
        let capital = |word: &str| {
            let (first, rest) = word.split_at(1);
            first.to_ascii_uppercase() + rest
        };
        let camel = name.split('-').map(capital).collect();
        Ok(Self { kebab: name.to_owned(), snake: name.replace('-', "_"), camel })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_three_forms() {
        let name = Name::new("vfio-pci2").unwrap();
        assert_eq!((name.snake.as_str(), name.camel.as_str()), ("vfio_pci2", "VfioPci2"));
        for bad in ["", "Vfio", "vfio_pci", "-x", "x-", "x--y", "2x", "../x"] {
            assert!(Name::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_there_is_not_written_over() {
        let error = write(workspace::root(), &Name::new("memfd").unwrap()).unwrap_err();
        assert!(error.to_string().ends_with("is there already"), "{error}");
    }
}
