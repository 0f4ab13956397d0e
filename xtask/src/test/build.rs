//! One build of all that is run: a **suite** is an executable with test functions, an **example** a program to read.

use core::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::EVERYTHING;
use crate::workspace::Workspace;

/// An executable that was built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Executable {
    /// As it is told apart: `luo-kho`, or `luo-tests::socket` for the target `socket` of a package.
    pub(super) name: String,
    /// The target, if it is not the package's own.
    pub(super) target: Option<String>,
    pub(super) path: PathBuf,
    /// The folder of its package.
    pub(super) folder: PathBuf,
}

/// What one build gave.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Built {
    pub(super) suites: Vec<Executable>,
    /// Of all packages.
    pub(super) examples: Vec<Executable>,
}

/// Builds; cargo's words go where ours go. `None` if it does not build.
pub(super) fn everything(workspace: &Workspace, jobs: NonZeroUsize) -> Result<Option<Built>> {
    let mut cargo = workspace.cargo();
    cargo.args(["test", "--no-run", "--message-format", "json-render-diagnostics"]).args(EVERYTHING);
    cargo.args(["--jobs", &jobs.to_string()]).stderr(Stdio::inherit());
    let output = cargo.output().context("cargo test does not start")?;
    let messages = String::from_utf8(output.stdout).context("cargo's messages are not text")?;
    Ok(if output.status.success() { Some(read(&messages)?) } else { None })
}

/// Picks the executables out of cargo's messages.
fn read(messages: &str) -> Result<Built> {
    let mut built = Built::default();
    for line in messages.lines().filter(|line| line.starts_with('{')) {
        let message: Value = serde_json::from_str(line).context("a message of cargo is not JSON")?;
        let Some((executable, kind, is_test)) = executable(&message) else { continue };
        if is_test {
            built.suites.push(executable);
        } else if kind == "example" {
            built.examples.push(executable);
        }
    }
    built.suites.sort_by(|a, b| a.name.cmp(&b.name));
    built.examples.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(built)
}

fn executable(message: &Value) -> Option<(Executable, String, bool)> {
    let path = message.get("executable")?.as_str()?;
    let folder = PathBuf::from(message.get("manifest_path")?.as_str()?).parent()?.to_path_buf();
    let target = message.get("target")?;
    let target_name = target.get("name")?.as_str()?;
    let kind = target.get("kind")?.get(0)?.as_str()?.to_owned();
    // `path+file:///folder#name@version`, or `path+file:///folder/name#version`
    let id = message.get("package_id")?.as_str()?;
    let (address, fragment) = id.split_once('#')?;
    let package = match fragment.split_once('@') {
        Some((name, _)) => name,
        None => address.rsplit('/').next()?,
    };
    let own = kind == "lib" || target_name == package;
    let target = (!own).then(|| target_name.to_owned());
    let name = match &target {
        _ if kind == "example" => target_name.to_owned(),
        None => package.to_owned(),
        Some(target) => format!("{package}::{target}"),
    };
    let is_test = message.get("profile")?.get("test")?.as_bool()?;
    Some((Executable { name, target, path: path.into(), folder }, kind, is_test))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MESSAGES: &str = r#"
{"reason":"compiler-artifact","package_id":"registry+https://crates.io#anyhow@1.0.0","manifest_path":"/r/anyhow/Cargo.toml","target":{"kind":["lib"],"name":"anyhow"},"profile":{"test":false},"executable":null}
{"reason":"compiler-artifact","package_id":"path+file:///p/crates/luo-kho#0.1.0","manifest_path":"/p/crates/luo-kho/Cargo.toml","target":{"kind":["lib"],"name":"luo_kho"},"profile":{"test":true},"executable":"/t/luo_kho-1"}
{"reason":"compiler-artifact","package_id":"path+file:///p/tests#luo-tests@0.1.0","manifest_path":"/p/tests/Cargo.toml","target":{"kind":["test"],"name":"socket"},"profile":{"test":true},"executable":"/t/socket-1"}
{"reason":"compiler-artifact","package_id":"path+file:///p/examples#luo-examples@0.1.0","manifest_path":"/p/examples/Cargo.toml","target":{"kind":["example"],"name":"01-hello"},"profile":{"test":false},"executable":"/t/01-hello"}
{"reason":"compiler-artifact","package_id":"path+file:///p/xtask#0.1.0","manifest_path":"/p/xtask/Cargo.toml","target":{"kind":["bin"],"name":"xtask"},"profile":{"test":false},"executable":"/t/xtask"}
{"reason":"build-finished","success":true}
"#;

    #[test]
    fn suites_and_examples_are_told_from_other_artifacts() {
        let built = read(MESSAGES).unwrap();
        let names = |all: &[Executable]| all.iter().map(|one| one.name.clone()).collect::<Vec<_>>();
        assert_eq!(names(&built.suites), ["luo-kho", "luo-tests::socket"]);
        assert_eq!(names(&built.examples), ["01-hello"]);
        assert_eq!(
            (built.suites[0].target.as_deref(), built.suites[1].target.as_deref()),
            (None, Some("socket"))
        );
        assert_eq!(built.suites[1].folder, PathBuf::from("/p/tests"));
        assert_eq!(built.suites[1].path, PathBuf::from("/t/socket-1"));
    }
}
