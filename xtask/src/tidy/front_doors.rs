//! Rule: every file has a **front door**, its first paragraph, which defines its nouns. That of a package under
//! `crates/` is its README; that of a handler says in a table what survives an update and what does not.

use super::Finding;
use super::layers::{self, HANDLERS};
use super::tree::{Package, Tree};

/// What the first line of a package's library says.
const README_AS_DOC: &str = "#![doc = include_str!(\"../README.md\")]";

/// How the columns begin that a handler's README owes to whoever updates: "Survives by reference" is one.
const COLUMNS: [&str; 2] = ["Survives", "Does not survive"];

pub(super) fn findings(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (source, _) in tree.rust() {
        let first = source.text().unwrap_or_default();
        if !first.starts_with("//!") && !first.starts_with("#![doc = include_str!(") {
            findings.push(Finding::at(
                &source.path,
                1,
                "starts with no `//!` paragraph that defines its nouns",
            ));
        }
    }
    for package in tree.packages().filter(|package| package.folder.starts_with("crates/")) {
        readme(tree, &package, &mut findings);
    }
    findings
}

fn readme(tree: &Tree, package: &Package<'_>, findings: &mut Vec<Finding>) {
    let folder = package.folder;
    let path = format!("{folder}/README.md");
    let Some(readme) = tree.get(&path) else {
        findings.push(Finding::of_file(&path, "is missing: it is the package's front door"));
        return;
    };
    let root = ["lib.rs", "main.rs"].iter().find_map(|name| tree.get(&format!("{folder}/src/{name}")));
    if let Some(root) = root
        && !root.lines().any(|(_, line)| line == README_AS_DOC)
    {
        findings.push(Finding::of_file(&root.path, format!("does not say `{README_AS_DOC}`")));
    }
    let rooms = tree.rust().filter(|(source, _)| source.path.starts_with(&format!("{folder}/src/"))).count();
    let holds_a_handler = layers::layer(&package.name) == Some(HANDLERS) && rooms > 1;
    if holds_a_handler && !readme.lines().any(|(_, line)| is_header(line)) {
        let what =
            format!("a handler's README has a table with the columns `{}` and `{}`", COLUMNS[0], COLUMNS[1]);
        findings.push(Finding::of_file(&path, what));
    }
}

fn is_header(line: &str) -> bool {
    let cells: Vec<_> = line.split('|').map(str::trim).collect();
    COLUMNS.iter().all(|column| cells.iter().any(|cell| cell.starts_with(column)))
}

#[cfg(test)]
mod tests {
    use super::super::planted::{LIB, Planted};
    use super::*;

    const TABLE: &str = "# luo-memfd\n\n| Survives | Does not survive |\n|---|---|\n| bytes | locks |\n";

    #[test]
    fn a_file_without_a_first_paragraph_is_a_finding() {
        for text in ["use core::fmt;\n", "", "\n//! Late.\n", "/// Of an item.\nfn f() {}\n"] {
            let found = Planted::empty().with("c/src/a.rs", text).findings(findings);
            assert_eq!(found, ["c/src/a.rs:1: starts with no `//!` paragraph that defines its nouns"]);
        }
        assert_eq!(Planted::empty().with("c/src/a.rs", "//! A room.\n").findings(findings), [""; 0]);
    }

    #[test]
    fn a_package_has_a_readme_and_it_is_the_crate_doc() {
        let planted = Planted::package("luo-kho").with("crates/luo-kho/src/lib.rs", LIB);
        assert_eq!(planted.findings(findings), [""; 0]);
        let planted = planted.with("crates/luo-kho/src/lib.rs", "//! Something else.\n");
        assert_eq!(planted.findings(findings).len(), 1);
        let planted = planted.with("crates/luo-kho/src/lib.rs", LIB).without("crates/luo-kho/README.md");
        assert_eq!(
            planted.findings(findings),
            ["crates/luo-kho/README.md: is missing: it is the package's front door"]
        );
    }

    #[test]
    fn a_handler_says_what_survives_as_soon_as_there_is_one() {
        let planted = Planted::package("luo-memfd").with("crates/luo-memfd/src/lib.rs", LIB);
        assert_eq!(planted.findings(findings), [""; 0]);
        let planted = planted.with("crates/luo-memfd/src/preserve.rs", "//! One direction.\n");
        assert_eq!(planted.findings(findings).len(), 1);
        let planted = planted.with("crates/luo-memfd/README.md", TABLE.replace("| Does not survive", ""));
        assert_eq!(planted.findings(findings).len(), 1);
        assert_eq!(planted.with("crates/luo-memfd/README.md", TABLE).findings(findings), [""; 0]);
    }
}
