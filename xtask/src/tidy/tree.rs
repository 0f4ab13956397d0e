//! The work tree as the rules see it.
//!
//! - A **source** is one file: its bytes, its text if it is text, its syntax if it is Rust.
//! - A **package** is a folder with a `Cargo.toml` that names one.
//!
//! What cargo and git write (`target`, `.git`) is not part of it.

use core::str::FromStr as _;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use proc_macro2::TokenStream;

use super::Finding;

/// Folders that hold what tools write.
const NOT_OURS: [&str; 2] = ["target", ".git"];

#[derive(Debug, Default)]
pub(super) struct Tree {
    /// Ascending by path.
    pub(super) sources: Vec<Source>,
}

#[derive(Debug)]
pub(super) struct Source {
    /// From the root, with `/`.
    pub(super) path: String,
    pub(super) bytes: Vec<u8>,
    pub(super) rust: Option<Rust>,
    /// Why it could not be read as what its name says.
    unreadable: Option<String>,
}

/// One file of Rust.
#[derive(Debug)]
pub(super) struct Rust {
    /// All of its tokens; comments are none, doc comments are attributes.
    pub(super) tokens: TokenStream,
    pub(super) file: syn::File,
}

#[derive(Debug)]
pub(super) struct Package<'a> {
    pub(super) name: String,
    /// From the root; empty for the root itself.
    pub(super) folder: &'a str,
    pub(super) manifest: toml::Table,
}

impl Tree {
    /// Reads everything below `root`.
    pub(super) fn read(root: &Path) -> Result<Self> {
        let mut tree = Self::default();
        let mut folders = vec![String::new()];
        while let Some(folder) = folders.pop() {
            let at = root.join(&folder);
            for entry in fs::read_dir(&at).with_context(|| format!("cannot list {}", at.display()))? {
                let entry = entry?;
                let name = entry.file_name().to_string_lossy().into_owned();
                let path = if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
                let kind = entry.file_type()?;
                if kind.is_dir() && !NOT_OURS.contains(&name.as_str()) {
                    folders.push(path);
                } else if kind.is_file() {
                    let bytes = fs::read(entry.path()).with_context(|| format!("cannot read {path}"))?;
                    tree.sources.push(Source::new(path, bytes));
                }
            }
        }
        tree.sources.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(tree)
    }

    pub(super) fn get(&self, path: &str) -> Option<&Source> {
        let at = self.sources.binary_search_by(|source| source.path.as_str().cmp(path)).ok()?;
        self.sources.get(at)
    }

    /// All files of Rust that can be parsed.
    pub(super) fn rust(&self) -> impl Iterator<Item = (&Source, &Rust)> {
        self.sources.iter().filter_map(|source| Some((source, source.rust.as_ref()?)))
    }

    /// All packages, of this workspace and of those inside it.
    pub(super) fn packages(&self) -> impl Iterator<Item = Package<'_>> {
        self.sources.iter().filter_map(Source::package)
    }

    /// The folder of the package that `path` belongs to: the nearest one above it.
    pub(super) fn package_of<'p>(&self, path: &'p str) -> &'p str {
        let mut folder = path;
        while let Some((above, _)) = folder.rsplit_once('/') {
            if self.get(&format!("{above}/Cargo.toml")).is_some() {
                return above;
            }
            folder = above;
        }
        ""
    }
}

impl Source {
    fn new(path: String, bytes: Vec<u8>) -> Self {
        let mut source = Self { path, bytes, rust: None, unreadable: None };
        if source.has_extension("rs") {
            match source.text().context("not UTF-8").and_then(parse) {
                Ok(rust) => source.rust = Some(rust),
                Err(error) => source.unreadable = Some(format!("cannot be parsed: {error:#}")),
            }
        } else if source.name() == "Cargo.toml"
            && let Err(error) = source.text().unwrap_or_default().parse::<toml::Table>()
        {
            source.unreadable = Some(format!("cannot be parsed: {}", error.message()));
        }
        source
    }

    /// The text; `None` if it is none.
    pub(super) fn text(&self) -> Option<&str> {
        str::from_utf8(&self.bytes).ok()
    }

    /// The last part of the path.
    pub(super) fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }

    pub(super) fn has_extension(&self, extension: &str) -> bool {
        self.name().rsplit_once('.').is_some_and(|(_, found)| found == extension)
    }

    /// Lines with their numbers, from 1.
    pub(super) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        (1..).zip(self.text().unwrap_or_default().split('\n'))
    }

    fn package(&self) -> Option<Package<'_>> {
        let folder = self.path.strip_suffix("Cargo.toml")?;
        if !(folder.is_empty() || folder.ends_with('/')) {
            return None;
        }
        let manifest = self.text()?.parse::<toml::Table>().ok()?;
        let name = manifest.get("package")?.get("name")?.as_str()?.to_owned();
        Some(Package { name, folder: folder.trim_end_matches('/'), manifest })
    }
}

fn parse(text: &str) -> Result<Rust> {
    let tokens = TokenStream::from_str(text).map_err(|error| anyhow::anyhow!("{error}"))?;
    let file = syn::parse2(tokens.clone())?;
    Ok(Rust { tokens, file })
}

/// Where the file of `mod name;` may lie, if that line stands in the file at `path`.
pub(super) fn module_files(path: &str, name: &str) -> [String; 2] {
    let (folder, file) = path.rsplit_once('/').unwrap_or(("", path));
    let stem = file.strip_suffix(".rs").unwrap_or(file);
    // Programs of a package are roots too.
    let in_roots = ["tests", "examples", "benches", "bin"].iter().any(|roots| folder.ends_with(roots));
    let below = match stem {
        "lib" | "main" | "mod" | "build" => folder.to_owned(),
        _ if in_roots => folder.to_owned(),
        _ => format!("{folder}/{stem}"),
    };
    [format!("{below}/{name}.rs"), format!("{below}/{name}/mod.rs")]
}

/// Rule: Rust and manifests can be parsed, or no other rule sees them.
pub(super) fn unreadable(tree: &Tree) -> Vec<Finding> {
    let finding = |source: &Source| Some(Finding::of_file(&source.path, source.unreadable.clone()?));
    tree.sources.iter().filter_map(finding).collect()
}

#[cfg(test)]
mod tests {
    use super::super::planted::Planted;
    use super::*;

    #[test]
    fn what_tools_write_is_left_out() {
        let planted = Planted::empty()
            .with("a/b.md", "b\n")
            .with("target/debug/x.rs", "fn")
            .with("a/target/y.rs", "fn")
            .with(".git/z.rs", "fn");
        let paths: Vec<_> = planted.tree().sources.into_iter().map(|source| source.path).collect();
        assert_eq!(paths, ["a/b.md"]);
    }

    #[test]
    fn what_cannot_be_parsed_is_a_finding() {
        let planted = Planted::empty().with("a.rs", "fn f( {\n").with("b/Cargo.toml", "[package\n");
        let found = planted.findings(unreadable);
        assert!(found[0].starts_with("a.rs: cannot be parsed"), "{found:?}");
        assert!(found[1].starts_with("b/Cargo.toml: cannot be parsed"), "{found:?}");
    }

    #[test]
    fn a_file_belongs_to_the_nearest_package() {
        let planted =
            Planted::package("luo-kho").with("crates/luo-kho/fuzz/Cargo.toml", "[package]\nname = \"f\"\n");
        let tree = planted.tree();
        assert_eq!(tree.package_of("crates/luo-kho/src/a/b.rs"), "crates/luo-kho");
        assert_eq!(tree.package_of("crates/luo-kho/fuzz/src/main.rs"), "crates/luo-kho/fuzz");
        assert_eq!(tree.package_of("docs/x.rs"), "");
        assert_eq!(tree.packages().map(|package| package.name).collect::<Vec<_>>(), ["luo-kho", "f"]);
    }

    #[test]
    fn modules_are_looked_for_where_rustc_does() {
        assert_eq!(module_files("c/src/lib.rs", "m")[0], "c/src/m.rs");
        assert_eq!(module_files("c/src/a/mod.rs", "m")[1], "c/src/a/m/mod.rs");
        assert_eq!(module_files("c/src/a.rs", "m")[0], "c/src/a/m.rs");
        assert_eq!(module_files("c/tests/a.rs", "m")[0], "c/tests/m.rs");
    }
}
