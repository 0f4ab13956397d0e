//! Rule: a name says what a room is for. `util` and its kin say nothing, so whatever has no home moves in.

use syn::visit::{self, Visit};

use super::Finding;
use super::tree::Tree;

/// Names of no module, folder or package.
const EMPTY: [&str; 8] = ["util", "utils", "common", "helper", "helpers", "types", "prelude", "misc"];

pub(super) fn findings(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in tree.packages() {
        let bare = package.name.rsplit('-').next().unwrap_or_default();
        if EMPTY.contains(&bare) {
            let what = format!("a package called {}: name it after what it is for", package.name);
            findings.push(Finding::of_file(&format!("{}/Cargo.toml", package.folder), what));
        }
    }
    for (source, rust) in tree.rust() {
        for part in source.path.split('/') {
            let name = part.strip_suffix(".rs").unwrap_or(part);
            if EMPTY.contains(&name) {
                let what = format!("a room called {name}: name it after what it holds");
                findings.push(Finding::of_file(&source.path, what));
            }
        }
        let mut inline = Inline { path: &source.path, findings: &mut findings };
        inline.visit_file(&rust.file);
    }
    findings
}

/// Looks for modules that have no file.
struct Inline<'t> {
    path: &'t str,
    findings: &'t mut Vec<Finding>,
}

impl<'a> Visit<'a> for Inline<'_> {
    fn visit_item_mod(&mut self, module: &'a syn::ItemMod) {
        let name = module.ident.to_string();
        if module.content.is_some() && EMPTY.contains(&name.as_str()) {
            let what = format!("a module called {name}: name it after what it holds");
            self.findings.push(Finding::at(self.path, module.ident.span().start().line, what));
        }
        visit::visit_item_mod(self, module);
    }
}

#[cfg(test)]
mod tests {
    use super::super::planted::Planted;
    use super::*;

    #[test]
    fn files_folders_modules_and_packages_are_named_after_something() {
        for (path, text) in [
            ("c/src/util.rs", ""),
            ("c/src/common/mod.rs", ""),
            ("c/tests/helpers/machine.rs", ""),
            ("c/src/a.rs", "mod a { mod types {} }"),
            ("crates/luo-common/Cargo.toml", "[package]\nname = \"luo-common\"\n"),
        ] {
            assert_eq!(Planted::empty().with(path, text).findings(findings).len(), 1, "{path}");
        }
    }

    #[test]
    fn other_names_are_fine() {
        let planted =
            Planted::package("luo-kho").with("crates/luo-kho/src/utility_company.rs", "mod frames {}");
        assert_eq!(planted.findings(findings), [""; 0]);
    }
}
