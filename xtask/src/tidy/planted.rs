//! Small trees for the tests of the rules: **planted** in a folder of their own, with one thing wrong in each.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use super::tree::Tree;

/// The front door of a library that no rule objects to.
pub(super) const LIB: &str = "#![doc = include_str!(\"../README.md\")]\n";

/// A tree in a temporary folder.
#[derive(Debug)]
pub(super) struct Planted {
    folder: TempDir,
}

impl Planted {
    /// Nothing at all.
    pub(super) fn empty() -> Self {
        Self { folder: TempDir::new().unwrap() }
    }

    /// One package under `crates/` with a README, and no source yet.
    pub(super) fn package(name: &str) -> Self {
        Self::empty()
            .with(&format!("crates/{name}/Cargo.toml"), format!("[package]\nname = \"{name}\"\n"))
            .with(&format!("crates/{name}/README.md"), format!("# {name}\n"))
    }

    /// Writes a file, or writes it anew.
    pub(super) fn with(self, path: &str, text: impl AsRef<[u8]>) -> Self {
        let path = self.root().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    /// Removes a file.
    pub(super) fn without(self, path: &str) -> Self {
        fs::remove_file(self.root().join(path)).unwrap();
        self
    }

    pub(super) fn root(&self) -> &Path {
        self.folder.path()
    }

    pub(super) fn tree(&self) -> Tree {
        Tree::read(self.root()).unwrap()
    }

    /// What `rule` finds, as it is printed.
    pub(super) fn findings(&self, rule: fn(&Tree) -> Vec<super::Finding>) -> Vec<String> {
        rule(&self.tree()).iter().map(ToString::to_string).collect()
    }
}
