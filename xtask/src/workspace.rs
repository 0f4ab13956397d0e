//! Where things are: the **root** of the workspace, its packages, and the cargo that started this program.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

/// The workspace of this project's own small program without std.
pub(crate) const NO_STD: &str = "tests/no-std/Cargo.toml";

/// The workspace that this program belongs to.
#[derive(Debug)]
pub(crate) struct Workspace {
    /// The folder of the virtual manifest.
    pub(crate) root: PathBuf,
    /// Where cargo puts what it builds.
    pub(crate) target: PathBuf,
    /// Packages under `crates/` that can be built without std: a library with a feature `std`.
    pub(crate) libraries: Vec<String>,
    /// What manifests declare about the needs of tests: the folder of a package, the beginning of a test's path, words.
    pub(crate) needs: Vec<(PathBuf, String, String)>,
}

/// The folder of the virtual manifest: this package lies directly in it.
pub(crate) fn root() -> &'static Path {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package)
}

impl Workspace {
    /// Asks cargo.
    pub(crate) fn load() -> Result<Self> {
        let root = root().to_path_buf();
        let mut metadata = cargo(&root);
        metadata.args(["metadata", "--no-deps", "--format-version", "1"]).stderr(Stdio::inherit());
        let output = metadata.output().context("cargo metadata does not start")?;
        ensure!(output.status.success(), "cargo metadata failed");
        let metadata: Value = serde_json::from_slice(&output.stdout).context("cargo metadata is not JSON")?;
        let target =
            metadata.get("target_directory").and_then(Value::as_str).context("no target directory")?;
        let packages = metadata.get("packages").and_then(Value::as_array).context("no packages")?;
        let crates = root.join("crates");
        let libraries = packages.iter().filter(|package| is_library(package, &crates)).filter_map(name);
        let needs = packages.iter().flat_map(needs).collect();
        Ok(Self { target: PathBuf::from(target), libraries: libraries.collect(), needs, root })
    }

    /// Cargo, started in the root.
    pub(crate) fn cargo(&self) -> Command {
        cargo(&self.root)
    }
}

/// Cargo, started in `root`.
pub(crate) fn cargo(root: &Path) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root).stdin(Stdio::null());
    command
}

fn name(package: &Value) -> Option<String> {
    Some(package.get("name")?.as_str()?.to_owned())
}

/// The table `[package.metadata.needs]`.
fn needs(package: &Value) -> Vec<(PathBuf, String, String)> {
    let folder = package.get("manifest_path").and_then(Value::as_str).map(Path::new).and_then(Path::parent);
    let table = package.get("metadata").and_then(|metadata| metadata.get("needs")).and_then(Value::as_object);
    let rows = table.into_iter().flatten();
    rows.filter_map(|(test, words)| Some((folder?.to_owned(), test.clone(), words.as_str()?.to_owned())))
        .collect()
}

fn is_library(package: &Value, crates: &Path) -> bool {
    let manifest = package.get("manifest_path").and_then(Value::as_str).map(Path::new);
    let has_std = package.get("features").is_some_and(|features| features.get("std").is_some());
    has_std && manifest.is_some_and(|manifest| manifest.starts_with(crates))
}
