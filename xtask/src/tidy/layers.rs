//! Rule: a package names only packages of lower **layers**; siblings do not know each other.
//!
//! The layers are those of `ARCHITECTURE.md`. What tests need (`dev-dependencies`) may come from any layer up to that
//! of the handlers. A package that is in no layer is a finding: its place has to be decided first.

use toml::{Table, Value};

use super::Finding;
use super::tree::{Package, Tree};

/// Packages and their layers, from the bottom.
pub(super) const LAYERS: [(u8, &[&str]); 5] = [
    (1, &["luo-kho"]),
    (2, &["luo-core", "luo-descriptor", "luo-xarray"]),
    (HANDLERS, &["luo-memfd", "luo-hugetlb", "luo-guestmemfd", "luo-example-eventfd"]),
    (4, &["luo-benches", "luo-vmm", "luo-examples", "luo-tests", "luo-no-std", "xtask"]),
    (5, &["luo-concurrency", "luo-fuzz"]),
];

/// The layer of the handlers: one file type each. The highest that the tests of lower layers may use.
pub(super) const HANDLERS: u8 = 3;

/// The layer of a package of this project.
pub(super) fn layer(package: &str) -> Option<u8> {
    LAYERS.iter().find(|(_, packages)| packages.contains(&package)).map(|(layer, _)| *layer)
}

pub(super) fn findings(tree: &Tree) -> Vec<Finding> {
    let renamed = renamed(tree);
    let ours: Vec<_> = tree.packages().map(|package| package.name).collect();
    let is_ours = |name: &str| layer(name).is_some() || ours.iter().any(|own| own == name);
    let mut findings = Vec::new();
    for package in tree.packages() {
        let path = manifest_of(&package);
        if let Some(folder) = package.folder.strip_prefix("crates/")
            && folder != package.name
        {
            findings.push(Finding::of_file(
                &path,
                format!("the package in crates/{folder} is called {}", package.name),
            ));
        }
        let Some(own) = layer(&package.name) else {
            let what = format!("{} is in no layer: give it a row in the table of this rule", package.name);
            findings.push(Finding::of_file(&path, what));
            continue;
        };
        for (section, name) in dependencies(&package.manifest, &renamed) {
            if !is_ours(&name) {
                continue;
            }
            let highest = if section == "dev-dependencies" { HANDLERS.max(own - 1) } else { own - 1 };
            if layer(&name).is_none_or(|layer| layer > highest) {
                let what = format!(
                    "[{section}] of {} (layer {own}) names {name} (layer {}): the highest it may name is layer {highest}",
                    package.name,
                    layer(&name).map_or("none".to_owned(), |layer| layer.to_string()),
                );
                findings.push(Finding::of_file(&path, what));
            }
        }
    }
    findings
}

fn manifest_of(package: &Package<'_>) -> String {
    if package.folder.is_empty() { "Cargo.toml".to_owned() } else { format!("{}/Cargo.toml", package.folder) }
}

/// Names under which `[workspace.dependencies]` of the root knows a package that is called something else.
fn renamed(tree: &Tree) -> Table {
    let root =
        tree.get("Cargo.toml").and_then(|source| source.text()?.parse::<Table>().ok()).unwrap_or_default();
    let shared =
        root.get("workspace").and_then(|workspace| workspace.get("dependencies")).and_then(Value::as_table);
    let renamed = |(name, value): (&String, &Value)| Some((name.clone(), value.get("package")?.clone()));
    shared.into_iter().flatten().filter_map(renamed).collect()
}

/// Every dependency as its section and the true name of the package.
fn dependencies(manifest: &Table, renamed: &Table) -> Vec<(&'static str, String)> {
    let targets = manifest.get("target").and_then(Value::as_table).into_iter().flatten();
    let tables = targets.filter_map(|(_, table)| table.as_table()).chain([manifest]);
    let mut all = Vec::new();
    for table in tables {
        for section in ["dependencies", "build-dependencies", "dev-dependencies"] {
            for (name, value) in table.get(section).and_then(Value::as_table).into_iter().flatten() {
                let package = value.get("package").or_else(|| renamed.get(name)).and_then(Value::as_str);
                all.push((section, package.unwrap_or(name).to_owned()));
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::super::planted::Planted;
    use super::*;

    fn found_in(name: &str, dependencies: &str) -> Vec<String> {
        let manifest = format!("[package]\nname = \"{name}\"\n{dependencies}");
        let planted = Planted::empty().with("Cargo.toml", "[workspace]\n[workspace.dependencies]\nkho = { package = \"luo-kho\" }\ncore = { package = \"luo-core\" }\n");
        planted.with(&format!("crates/{name}/Cargo.toml"), manifest).findings(findings)
    }

    #[test]
    fn down_is_allowed() {
        assert_eq!(
            found_in("luo-core", "[dependencies]\nluo-kho.workspace = true\nindexmap = \"2\"\n"),
            [""; 0]
        );
        assert_eq!(
            found_in("luo-memfd", "[dependencies]\nkho.workspace = true\nluo-xarray = { path = \"x\" }\n"),
            [""; 0]
        );
    }

    #[test]
    fn up_is_a_finding() {
        let found = found_in("luo-kho", "[dependencies]\nluo-core = { workspace = true }\n");
        assert_eq!(
            found,
            ["crates/luo-kho/Cargo.toml: [dependencies] of luo-kho (layer 1) names luo-core (layer 2): \
              the highest it may name is layer 0"]
        );
    }

    #[test]
    fn siblings_do_not_know_each_other() {
        assert_eq!(found_in("luo-xarray", "[dependencies]\nluo-core.workspace = true\n").len(), 1);
        assert_eq!(found_in("luo-memfd", "[dependencies]\nluo-hugetlb.workspace = true\n").len(), 1);
    }

    #[test]
    fn no_section_and_no_other_name_hides_it() {
        assert_eq!(found_in("luo-kho", "[build-dependencies]\nluo-core.workspace = true\n").len(), 1);
        assert_eq!(
            found_in("luo-kho", "[target.'cfg(unix)'.dependencies]\nluo-core.workspace = true\n").len(),
            1
        );
        assert_eq!(
            found_in("luo-kho", "[dependencies]\nx = { package = \"luo-core\", path = \"p\" }\n").len(),
            1
        );
        assert_eq!(found_in("luo-kho", "[dependencies]\ncore.workspace = true\n").len(), 1);
        assert_eq!(found_in("luo-kho", "[dependencies.luo-core]\npath = \"p\"\n").len(), 1);
    }

    #[test]
    fn tests_may_look_sideways_and_up_to_the_handlers() {
        for package in ["luo-memfd", "luo-core"] {
            assert_eq!(found_in(package, "[dev-dependencies]\nluo-hugetlb.workspace = true\n"), [""; 0]);
        }
        assert_eq!(found_in("luo-memfd", "[dev-dependencies]\nluo-tests.workspace = true\n").len(), 1);
    }

    #[test]
    fn who_is_in_no_layer_is_a_finding() {
        let found = found_in("luo-vfio", "");
        assert_eq!(found.len(), 1);
        assert!(found[0].contains("luo-vfio is in no layer"), "{found:?}");
    }

    #[test]
    fn a_folder_is_called_as_its_package() {
        let planted = Planted::empty().with("crates/kho/Cargo.toml", "[package]\nname = \"luo-kho\"\n");
        assert_eq!(
            planted.findings(findings),
            ["crates/kho/Cargo.toml: the package in crates/kho is called luo-kho"]
        );
    }
}
