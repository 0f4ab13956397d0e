//! Rule: **released bytes** never change. Each file under `tests/golden` is in the list `tests/golden/HASHES` with its
//! SHA-256; none is missing, none differs, none is unlisted.
//!
//! The list has the form of `sha256sum`, so that `sha256sum --check HASHES` in that folder says the same.

use core::fmt::Write as _;
use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use sha2::{Digest as _, Sha256};

use super::Finding;
use super::tree::{Source, Tree};

const FOLDER: &str = "tests/golden/";
const LIST: &str = "tests/golden/HASHES";

/// What the list and the folder disagree about.
#[derive(Debug, Default)]
struct Comparison {
    /// Lines and files that break the promise.
    broken: Vec<Finding>,
    /// Files that the list does not know, each with the line it would have.
    unlisted: Vec<(String, String)>,
}

/// The rule.
pub(super) fn in_tree(tree: &Tree) -> Vec<Finding> {
    let Comparison { mut broken, unlisted } = compare(tree);
    let finding = |(path, _): (String, String)| {
        Finding::of_file(&format!("{FOLDER}{path}"), "is not in HASHES: `cargo xtask golden add` adds it")
    };
    broken.extend(unlisted.into_iter().map(finding));
    broken
}

/// The rule alone, for the work tree at `root`.
pub(crate) fn findings(root: &Path) -> Result<Vec<Finding>> {
    Ok(in_tree(&Tree::read(root)?))
}

/// Appends files that the list does not know, and says which.
///
/// # Errors
///
/// A listed file is missing or differs: the list is not touched.
pub(crate) fn add(root: &Path) -> Result<Vec<String>> {
    let tree = Tree::read(root)?;
    let Comparison { broken, unlisted } = compare(&tree);
    if !broken.is_empty() {
        let list: Vec<_> = broken.iter().map(ToString::to_string).collect();
        bail!("released bytes do not change, they are only added to:\n{}", list.join("\n"));
    }
    let lines: String = unlisted.iter().map(|(_, line)| line.as_str()).collect();
    if !lines.is_empty() {
        let list = OpenOptions::new().create(true).append(true).open(root.join(LIST));
        list.and_then(|mut list| list.write_all(lines.as_bytes()))
            .with_context(|| format!("cannot append to {LIST}"))?;
    }
    Ok(unlisted.into_iter().map(|(path, _)| path).collect())
}

fn compare(tree: &Tree) -> Comparison {
    let mut comparison = Comparison::default();
    let mut listed = BTreeMap::new();
    for (line, text) in
        tree.get(LIST).into_iter().flat_map(Source::lines).filter(|(_, text)| !text.is_empty())
    {
        let Some((hash, path)) = text.split_once("  ").filter(|(hash, _)| is_hash(hash)) else {
            comparison.broken.push(Finding::at(LIST, line, "is not `sha256  path`"));
            continue;
        };
        if listed.insert(path, (line, hash)).is_some() {
            comparison.broken.push(Finding::at(LIST, line, format!("{path} is listed twice")));
        }
    }
    for source in tree.sources.iter().filter(|source| source.path != LIST) {
        let Some(path) = source.path.strip_prefix(FOLDER) else { continue };
        let hash = sha256(&source.bytes);
        match listed.remove(path) {
            None => comparison.unlisted.push((path.to_owned(), format!("{hash}  {path}\n"))),
            Some((_, expected)) if expected == hash => {}
            Some((line, _)) => {
                let what = format!(
                    "differs from what was released: its SHA-256 is {hash}, line {line} of HASHES differs"
                );
                comparison.broken.push(Finding::of_file(&source.path, what));
            }
        }
    }
    for (path, (line, _)) in listed {
        comparison.broken.push(Finding::at(LIST, line, format!("{path} is missing")));
    }
    comparison
}

fn is_hash(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |mut hex, byte| {
        // Writing to a string cannot fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

#[cfg(test)]
mod tests {
    use super::super::planted::Planted;
    use super::*;

    /// Of `abc`: FIPS 180-2, appendix B.1.
    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn released() -> Planted {
        Planted::empty().with("tests/golden/memfd/v1.bin", "abc").with(LIST, format!("{ABC}  memfd/v1.bin\n"))
    }

    fn list(planted: &Planted) -> String {
        std::fs::read_to_string(planted.root().join(LIST)).unwrap()
    }

    #[test]
    fn what_was_released_and_did_not_change_is_fine() {
        assert_eq!(released().findings(in_tree), [""; 0]);
        assert_eq!(Planted::empty().findings(in_tree), [""; 0]);
    }

    #[test]
    fn a_missing_file_is_a_finding() {
        let found = released().without("tests/golden/memfd/v1.bin").findings(in_tree);
        assert_eq!(found, ["tests/golden/HASHES:1: memfd/v1.bin is missing"]);
    }

    #[test]
    fn a_file_that_differs_is_a_finding() {
        let found = released().with("tests/golden/memfd/v1.bin", "abd").findings(in_tree);
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("tests/golden/memfd/v1.bin: differs"), "{found:?}");
    }

    #[test]
    fn an_unlisted_file_is_a_finding() {
        let found = released().with("tests/golden/memfd/v2.bin", "new").findings(in_tree);
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("tests/golden/memfd/v2.bin: is not in HASHES"), "{found:?}");
        let found = released().without(LIST).findings(in_tree);
        assert_eq!(found.len(), 1);
    }

    #[test]
    fn a_damaged_list_is_a_finding() {
        let twice = released().with(LIST, format!("{ABC}  memfd/v1.bin\n{ABC}  memfd/v1.bin\n"));
        assert_eq!(twice.findings(in_tree), ["tests/golden/HASHES:2: memfd/v1.bin is listed twice"]);
        let torn = released().with(LIST, format!("{ABC}  memfd/v1.bin\nba78  b\n"));
        assert_eq!(torn.findings(in_tree), ["tests/golden/HASHES:2: is not `sha256  path`"]);
    }

    #[test]
    fn add_appends_and_keeps_what_is_there() {
        let planted = released().with("tests/golden/memfd/v2.bin", "abc");
        assert_eq!(add(planted.root()).unwrap(), ["memfd/v2.bin"]);
        assert_eq!(list(&planted), format!("{ABC}  memfd/v1.bin\n{ABC}  memfd/v2.bin\n"));
        assert_eq!(planted.findings(in_tree), [""; 0]);
        assert_eq!(add(planted.root()).unwrap(), [""; 0]);
    }

    #[test]
    fn add_refuses_to_change_anything() {
        let changed = released().with("tests/golden/memfd/v1.bin", "abd").with("tests/golden/new", "n");
        assert!(add(changed.root()).unwrap_err().to_string().contains("v1.bin: differs"));
        assert_eq!(list(&changed), format!("{ABC}  memfd/v1.bin\n"));
        let gone = released().without("tests/golden/memfd/v1.bin").with("tests/golden/new", "n");
        assert!(add(gone.root()).unwrap_err().to_string().contains("v1.bin is missing"));
        assert_eq!(list(&gone), format!("{ABC}  memfd/v1.bin\n"));
    }
}
