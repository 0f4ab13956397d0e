//! Entries: the lines by which the tree gets to know a handler.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use super::Name;

/// Changes the text of one file; `None` if it is not as it is expected.
type Change = fn(&str, &Name) -> Option<String>;

/// All of them.
const ENTRIES: [(&str, Change); 7] = [
    ("Cargo.toml", |text, Name { kebab, .. }| {
        among(text, &format!("luo-{kebab} = {{ path = \"crates/luo-{kebab}\", default-features = false }}"))
    }),
    ("xtask/src/tidy/layers.rs", |text, Name { kebab, .. }| {
        let (before, rest) = text.split_once("    (HANDLERS, &[")?;
        let (handlers, after) = rest.split_once("])")?;
        let handlers = handlers.trim_end().trim_end_matches(',');
        Some(format!("{before}    (HANDLERS, &[{handlers}, \"luo-{kebab}\"]){after}"))
    }),
    ("README.md", |text, Name { kebab, .. }| {
        let row = format!(
            "| [`luo-{kebab}`](crates/luo-{kebab}/README.md) | {kebab} files: their state in the payload |"
        );
        before(text, "| [`luo-vmm`]", &row)
    }),
    ("ARCHITECTURE.md", |text, Name { kebab, .. }| {
        let line = text.lines().find(|line| line.starts_with(" 3  luo-"))?;
        let last = line.rfind("luo-")?;
        let end = last + line.get(last..)?.find(' ')?;
        let (handlers, rest) = line.split_at_checked(end)?;
        Some(text.replacen(line, &format!("{handlers}   luo-{kebab}{rest}"), 1))
    }),
    ("tests/Cargo.toml", |text, Name { kebab, .. }| {
        among(text, &format!("luo-{kebab} = {{ workspace = true, features = [\"std\"] }}"))
    }),
    ("tests/src/lib.rs", |text, Name { snake, .. }| {
        before(text, "pub mod memfd;", &format!("pub mod {snake};"))
    }),
    ("tests/matrix/main.rs", |text, Name { kebab, snake, .. }| {
        let row =
            format!("    matrix.simulated(\"{kebab}\", MANY, luo_tests::{snake}::SimFixture::default);");
        before(text, "    matrix.simulated(\"memfd\"", &row)
    }),
];

/// The changed files, from the root.
///
/// # Errors
///
/// A file is missing, or is not as it is expected; nothing is written here.
pub(super) fn all(root: &Path, name: &Name) -> Result<Vec<(String, Vec<u8>)>> {
    let entry = |(path, change): &(&str, Change)| {
        let text = fs::read_to_string(root.join(path)).with_context(|| format!("cannot read {path}"))?;
        let text =
            change(&text, name).with_context(|| format!("there is no place for an entry in {path}"))?;
        Ok(((*path).to_owned(), text.into_bytes()))
    };
    ENTRIES.iter().map(entry).collect()
}

/// Adds a line among those that begin with `luo-`, in their order.
fn among(text: &str, line: &str) -> Option<String> {
    let ours = || text.lines().filter(|line| line.starts_with("luo-"));
    if let Some(next) = ours().find(|other| *other > line) {
        return before(text, next, line);
    }
    let last = ours().next_back()?;
    Some(text.replacen(last, &format!("{last}\n{line}"), 1))
}

/// Adds a line before the first one that begins like this.
fn before(text: &str, beginning: &str, line: &str) -> Option<String> {
    let next = text.lines().find(|other| other.starts_with(beginning))?;
    Some(text.replacen(next, &format!("{line}\n{next}"), 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace;

    /// In the tree as it is now, not in one that was made for this test.
    #[test]
    fn every_entry_finds_its_place_and_adds_one_line() {
        let name = Name::new("no-such").unwrap();
        for (path, text) in all(workspace::root(), &name).unwrap() {
            let old = fs::read_to_string(workspace::root().join(&path)).unwrap();
            let text = String::from_utf8(text).unwrap();
            let new: Vec<_> =
                text.lines().filter(|line| line.contains("no-such") || line.contains("no_such")).collect();
            assert_eq!(new.len(), 1, "{path}: {new:?}");
            assert!(text.lines().count() - old.lines().count() <= 1, "{path}");
            assert!(text.len() > old.len(), "{path}");
        }
    }

    #[test]
    fn a_picture_keeps_what_stands_beside_it() {
        let (_, draw) = ENTRIES.iter().find(|(path, _)| *path == "ARCHITECTURE.md").unwrap();
        let text = " 3  luo-memfd   luo-hugetlb          one file type each\n 2  luo-core   luo-xarray   life cycle\n";
        assert_eq!(
            draw(text, &Name::new("echo2").unwrap()).unwrap(),
            " 3  luo-memfd   luo-hugetlb   luo-echo2          one file type each\n 2  luo-core   luo-xarray   life cycle\n"
        );
    }

    #[test]
    fn where_a_file_is_not_as_expected_nothing_is_guessed() {
        assert_eq!(before("a\nb\n", "c", "x"), None);
        assert_eq!(among("[dependencies]\n", "luo-x = 1"), None);
        assert_eq!(
            among("luo-a = 1\nluo-z = 1\nz = 1\n", "luo-b = 1").unwrap(),
            "luo-a = 1\nluo-b = 1\nluo-z = 1\nz = 1\n"
        );
        assert_eq!(among("luo-a = 1\nz = 1\n", "luo-b = 1").unwrap(), "luo-a = 1\nluo-b = 1\nz = 1\n");
    }
}
