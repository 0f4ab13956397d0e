//! Rule: unsafe code stands behind one **door** per package.
//!
//! - A door is a file, or a folder with its `mod.rs`, for which the lint is lifted:
//!   `#![expect(unsafe_code, reason = "...")]` at its top or `#[expect(...)]` on its `mod` line. In its head a comment
//!   `// UNSAFETY:` says why safe code could not do it.
//! - Behind it each unsafe block, impl, foreign block and attribute has a **proof** directly above: `// SAFETY:`.
//!
//! Whoever reviews unsafe code reads the doors and nothing else.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use syn::spanned::Spanned as _;
use syn::visit::{self, Visit};
use syn::{Attribute, Item};

use super::Finding;
use super::tree::{Rust, Source, Tree, module_files};

const REASON: &str = "// UNSAFETY:";
const PROOF: &str = "// SAFETY:";

pub(super) fn findings(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    let doors = doors(tree, &mut findings);
    for (source, rust) in tree.rust() {
        let behind = doors.iter().any(|door| is_behind(door, &source.path));
        for Unsafe { line, wants_proof } in uses(rust.tokens.clone()) {
            if !behind {
                findings.push(Finding::at(&source.path, line, "unsafe outside the package's door"));
            } else if wants_proof && !has_proof(source, line) {
                let what = format!("unsafe without a proof: no `{PROOF}` directly above");
                findings.push(Finding::at(&source.path, line, what));
            }
        }
    }
    findings
}

/// A file is behind a door if it is the door, or lies in the folder that is.
fn is_behind(door: &str, path: &str) -> bool {
    path == door || door.strip_suffix("mod.rs").is_some_and(|folder| path.starts_with(folder))
}

/// Finds the doors, and what is wrong with them.
fn doors(tree: &Tree, findings: &mut Vec<Finding>) -> BTreeSet<String> {
    let lifted = lifted(tree, findings);
    let mut doors = BTreeSet::new();
    let mut of_package = BTreeMap::new();
    for (source, rust) in tree.rust() {
        let path = source.path.as_str();
        match (lifted.contains(path), says_why(source, rust)) {
            (false, false) => continue,
            (true, false) => {
                let what = format!("unsafe_code is lifted, but no `{REASON}` in its head says why");
                findings.push(Finding::of_file(path, what));
            }
            (false, true) => {
                let what = "the reason for a door without one: unsafe_code is not lifted for this file";
                findings.push(Finding::of_file(path, what));
            }
            (true, true) => drop(doors.insert(path.to_owned())),
        }
        if path.ends_with("src/lib.rs") || path.ends_with("src/main.rs") {
            findings.push(Finding::of_file(
                path,
                "a whole package behind a door: give unsafe code a room of its own",
            ));
        }
        if let Some(first) = of_package.insert(tree.package_of(path), path) {
            findings.push(Finding::of_file(path, format!("a second door of the package, beside {first}")));
        }
    }
    doors
}

/// Files for which the lint is lifted. Lifting it for less than a file, or without a reason, is a finding.
fn lifted(tree: &Tree, findings: &mut Vec<Finding>) -> BTreeSet<String> {
    let mut files = BTreeSet::new();
    for (source, rust) in tree.rust() {
        let mut for_files = BTreeSet::new();
        let mut note = |attributes: &[Attribute], behind: &[String]| {
            for attribute in attributes.iter().filter(|attribute| lifts(attribute) && gives_reason(attribute))
            {
                for_files.insert(attribute.span().start().line);
                files.extend(behind.iter().cloned());
            }
        };
        note(&rust.file.attrs, core::slice::from_ref(&source.path));
        for item in &rust.file.items {
            if let Item::Mod(module) = item
                && module.content.is_none()
            {
                note(&module.attrs, &module_files(&source.path, &module.ident.to_string()));
            }
        }
        let mut all = Lifted(Vec::new());
        all.visit_file(&rust.file);
        for line in all.0.into_iter().filter(|line| !for_files.contains(line)) {
            let what = "unsafe_code is lifted, but not for a door: at the top of a file or on its `mod` line, with a reason";
            findings.push(Finding::at(&source.path, line, what));
        }
    }
    files
}

/// Where the lint is lifted in a file, by line.
struct Lifted(Vec<usize>);

impl<'a> Visit<'a> for Lifted {
    fn visit_attribute(&mut self, attribute: &'a Attribute) {
        if lifts(attribute) {
            self.0.push(attribute.span().start().line);
        }
        visit::visit_attribute(self, attribute);
    }
}

fn lifts(attribute: &Attribute) -> bool {
    let softens = ["expect", "allow", "warn", "cfg_attr"].iter().any(|name| attribute.path().is_ident(name));
    softens && names(attribute, "unsafe_code")
}

fn gives_reason(attribute: &Attribute) -> bool {
    !attribute.path().is_ident("cfg_attr") && names(attribute, "reason")
}

fn names(attribute: &Attribute, word: &str) -> bool {
    let syn::Meta::List(list) = &attribute.meta else { return false };
    contains(list.tokens.clone(), word)
}

fn contains(tokens: TokenStream, word: &str) -> bool {
    tokens.into_iter().any(|token| match token {
        TokenTree::Ident(ident) => ident == word,
        TokenTree::Group(group) => contains(group.stream(), word),
        _ => false,
    })
}

/// Whether the reason stands in the head: above the first item.
fn says_why(source: &Source, rust: &Rust) -> bool {
    let first = rust.file.items.first().map_or(usize::MAX, |item| item.span().start().line);
    source
        .lines()
        .take_while(|(line, _)| *line < first)
        .any(|(_, text)| text.trim_start().starts_with(REASON))
}

/// One `unsafe` in the code.
struct Unsafe {
    line: usize,
    /// It vouches for something; `unsafe fn` and `unsafe trait` only ask their users to.
    wants_proof: bool,
}

fn uses(tokens: TokenStream) -> Vec<Unsafe> {
    let mut uses = Vec::new();
    let mut tokens = tokens.into_iter().peekable();
    while let Some(token) = tokens.next() {
        match token {
            TokenTree::Group(group) => uses.extend(self::uses(group.stream())),
            TokenTree::Ident(ident) if ident == "unsafe" => {
                let rest: Vec<_> = tokens.clone().take(3).collect();
                uses.push(Unsafe { line: ident.span().start().line, wants_proof: vouches(&rest) });
            }
            _ => {}
        }
    }
    uses
}

/// Whether the words after `unsafe` make it a block, an impl, a foreign block or an attribute.
fn vouches(rest: &[TokenTree]) -> bool {
    let is_block =
        |token: &TokenTree| matches!(token, TokenTree::Group(g) if g.delimiter() == Delimiter::Brace);
    match rest {
        [TokenTree::Group(_), ..] => true,
        [TokenTree::Ident(word), rest @ ..] if word == "extern" => rest.iter().take(2).any(is_block),
        [TokenTree::Ident(word), ..] => word == "impl",
        _ => false,
    }
}

/// Whether the comment directly above the statement that holds `line` has a proof in it.
fn has_proof(source: &Source, line: usize) -> bool {
    let lines: Vec<_> = source.lines().take(line - 1).map(|(_, text)| text.trim()).collect();
    let mut above = lines.iter().rev();
    // The statement may have begun further up, and attributes may stand between.
    let goes_on =
        |text: &&str| text.starts_with("#[") || !text.is_empty() && !text.ends_with([';', '{', '}', ',']);
    let is_comment = |text: &&&str| text.starts_with("//");
    let comment = above.find(|text| is_comment(text) || !goes_on(text));
    let block = comment.into_iter().chain(above).take_while(is_comment);
    block.into_iter().any(|text| text.starts_with(PROOF))
}

#[cfg(test)]
mod tests {
    use super::super::planted::{LIB, Planted};
    use super::*;

    const DOOR: &str = "//! A room.\n// UNSAFETY: mmap is C.\n#![expect(unsafe_code, reason = \"mmap\")]\n\n";
    const PROVEN: &str = "fn f() {\n    // SAFETY: it is.\n    unsafe { g() }\n}\n";
    const UNPROVEN: &str = "fn f() {\n    unsafe { g() }\n}\n";

    fn planted(path: &str, text: &str) -> Planted {
        Planted::package("luo-kho")
            .with("crates/luo-kho/src/lib.rs", LIB)
            .with(&format!("crates/luo-kho/src/{path}"), text)
    }

    fn found(path: &str, text: &str) -> Vec<String> {
        planted(path, text).findings(findings)
    }

    #[test]
    fn unsafe_outside_a_door_is_a_finding() {
        assert_eq!(
            found("a.rs", &format!("//! A room.\n{PROVEN}")),
            ["crates/luo-kho/src/a.rs:4: unsafe outside the package's door"]
        );
        for text in [
            "unsafe impl Send for T {}",
            "unsafe fn f() {}",
            "impl T { unsafe fn f() {} }",
            "unsafe trait T {}",
            "unsafe extern \"C\" { fn f(); }",
            "#[unsafe(no_mangle)] fn f() {}",
            "macro_rules! m { () => { unsafe { f() } } }",
            "fn f() { g!(unsafe { h() }) }",
        ] {
            assert_eq!(
                found("a.rs", text),
                ["crates/luo-kho/src/a.rs:1: unsafe outside the package's door"],
                "{text}"
            );
        }
    }

    #[test]
    fn the_word_alone_is_not_the_deed() {
        assert_eq!(
            found("a.rs", "//! unsafe { }\n// unsafe impl\nconst A: &str = \"unsafe { }\";\n"),
            [""; 0]
        );
    }

    #[test]
    fn a_door_is_a_file_with_both_its_signs() {
        assert_eq!(found("door.rs", &format!("{DOOR}{PROVEN}")), [""; 0]);
        let unreasoned = format!("//! A room.\n#![expect(unsafe_code, reason = \"mmap\")]\n{PROVEN}");
        assert_eq!(found("door.rs", &unreasoned).len(), 2);
        let unlifted = format!("//! A room.\n// UNSAFETY: mmap is C.\n{PROVEN}");
        assert_eq!(found("door.rs", &unlifted).len(), 2);
        let late = format!(
            "//! A room.\n#![expect(unsafe_code, reason = \"mmap\")]\nuse a;\n// UNSAFETY: no.\n{PROVEN}"
        );
        assert_eq!(found("door.rs", &late).len(), 2);
    }

    #[test]
    fn the_lint_may_be_lifted_on_the_mod_line() {
        let door = format!("//! A room.\n// UNSAFETY: mmap is C.\n{PROVEN}");
        let lib = format!("{LIB}#[expect(unsafe_code, reason = \"mmap\")]\nmod door;\n");
        let planted = |path| planted(path, &door).with("crates/luo-kho/src/lib.rs", &lib);
        assert_eq!(planted("door.rs").findings(findings), [""; 0]);
        assert_eq!(planted("door/mod.rs").findings(findings), [""; 0]);
        assert_eq!(planted("window.rs").findings(findings).len(), 2);
    }

    #[test]
    fn a_folder_is_one_door() {
        let folder = planted("door/mod.rs", &format!("{DOOR}mod map;\n"));
        let folder = folder.with("crates/luo-kho/src/door/map.rs", format!("//! A room.\n{PROVEN}"));
        assert_eq!(folder.findings(findings), [""; 0]);
        let folder = folder.with("crates/luo-kho/src/doors.rs", format!("//! A room.\n{PROVEN}"));
        assert_eq!(folder.findings(findings).len(), 1);
    }

    #[test]
    fn a_package_has_one_door() {
        let two = planted("a.rs", DOOR).with("crates/luo-kho/src/b.rs", DOOR);
        let expected =
            "crates/luo-kho/src/b.rs: a second door of the package, beside crates/luo-kho/src/a.rs";
        assert_eq!(two.findings(findings), [expected]);
        let apart = planted("a.rs", DOOR)
            .with("crates/luo-xarray/Cargo.toml", "[package]\nname = \"luo-xarray\"\n")
            .with("crates/luo-xarray/src/b.rs", DOOR);
        assert_eq!(apart.findings(findings), [""; 0]);
    }

    #[test]
    fn a_door_is_not_the_whole_package_and_not_less_than_a_file() {
        assert_eq!(found("lib.rs", DOOR).len(), 1);
        assert_eq!(
            found("a.rs", "//! A.\n#[expect(unsafe_code, reason = \"here only\")]\nfn f() {}\n").len(),
            1
        );
        assert_eq!(
            found("a.rs", "//! A.\n#[allow(unsafe_code, reason = \"inline\")]\nmod a { fn f() {} }\n").len(),
            1
        );
        assert_eq!(
            found("a.rs", "//! A.\n#![cfg_attr(test, expect(unsafe_code, reason = \"t\"))]\n").len(),
            1
        );
        assert_eq!(
            found("a.rs", "//! A.\n// UNSAFETY: no reason on the lint.\n#![expect(unsafe_code)]\n").len(),
            2
        );
    }

    #[test]
    fn behind_the_door_everything_is_proven() {
        let unproven = found("door.rs", &format!("{DOOR}{UNPROVEN}"));
        let expected = "crates/luo-kho/src/door.rs:6: unsafe without a proof: no `// SAFETY:` directly above";
        assert_eq!(unproven, [expected]);
        for (text, expected) in [
            ("// SAFETY: it is.\n#[rustfmt::skip]\nunsafe impl Send for T {}\n", 0),
            ("unsafe impl Send for T {}\n", 1),
            ("// SAFETY: it is.\n// And more.\nlet x = g(\n    unsafe { h() }\n);\n", 0),
            ("// SAFETY: of something else.\nf();\nunsafe { h() }\n", 1),
            ("// SAFETY: not directly.\n\nunsafe { h() }\n", 1),
            ("// SAFETY: C says so.\nunsafe extern \"C\" { fn f(); }\n", 0),
            ("unsafe extern \"C\" { fn f(); }\n", 1),
            ("unsafe extern \"C\" fn f() {}\n", 0),
            ("/// # Safety\n///\n/// Asks.\nunsafe fn f() {}\n", 0),
            ("#[unsafe(no_mangle)]\nfn f() {}\n", 1),
        ] {
            let text = if text.contains("h()") { format!("fn f() {{\n{text}}}\n") } else { text.to_owned() };
            assert_eq!(found("door.rs", &format!("{DOOR}{text}")).len(), expected, "{text}");
        }
    }
}
