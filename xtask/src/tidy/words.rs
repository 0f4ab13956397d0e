//! Rule: the text is finished and belongs to no machine. No notes to oneself, nothing left undone, no test or doc test
//! that is ignored, no folder of somebody's machine, no space at the end of a line, no prose that is too wide for a
//! screen; `ARCHITECTURE.md` stays short.

use proc_macro2::{TokenStream, TokenTree};

use super::Finding;
use super::tree::{Source, Tree};

/// Lines that fit into one sitting.
const ARCHITECTURE_LINES: usize = 200;

/// Words that say "later". In halves, so that this file may name them.
const NOTES: [&str; 2] = [concat!("FIX", "ME"), concat!("TO", "DO")];

/// Where the folders of one machine begin; in halves too.
const FOLDERS: [&str; 3] = [concat!("/ho", "me/"), concat!("/ro", "ot/"), concat!("/wo", "rk/")];

/// Characters of a line of prose. Tables, quoted code, and words that are longer do not count.
const PROSE_WIDTH: usize = 120;

/// Macros that promise code.
const UNDONE: [&str; 2] = ["todo", "unimplemented"];

pub(super) fn findings(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in tree.sources.iter().filter(|source| is_written(source)) {
        findings.extend(too_wide(source).map(|line| Finding::at(&source.path, line, "prose wider than 120")));
        for (line, text) in source.lines() {
            findings.extend(in_line(text).map(|what| Finding::at(&source.path, line, what)));
            if holds_doc_tests(source) && ignores_doc_test(text) {
                findings.push(Finding::at(&source.path, line, "a doc test that is ignored proves nothing"));
            }
        }
    }
    for (source, rust) in tree.rust() {
        let mut found = Vec::new();
        in_tokens(rust.tokens.clone(), &mut found);
        findings.extend(found.into_iter().map(|(line, what)| Finding::at(&source.path, line, what)));
    }
    if let Some(architecture) = tree.get("ARCHITECTURE.md") {
        let lines = architecture.text().unwrap_or_default().lines().count();
        if lines > ARCHITECTURE_LINES {
            let what = format!("{lines} lines: it has at most {ARCHITECTURE_LINES}");
            findings.push(Finding::of_file(&architecture.path, what));
        }
    }
    findings
}

/// The lines of comments and of pages that are too wide.
fn too_wide(source: &Source) -> impl Iterator<Item = usize> {
    let is_page = source.has_extension("md");
    let mut in_code = false;
    source.lines().filter_map(move |(line, text)| {
        let comment = text.trim_start();
        let prose =
            if is_page { Some(text) } else { comment.strip_prefix("//").or(comment.strip_prefix("# ")) };
        let prose = prose?.trim_start_matches(['/', '!', ' ']);
        if prose.starts_with("```") {
            in_code = !in_code;
        }
        if !is_page && !comment.starts_with("//") && !comment.starts_with('#') {
            in_code = false;
        }
        let free = in_code || prose.starts_with(['|', '#']) || !prose.contains(' ');
        (!free && text.chars().count() > PROSE_WIDTH).then_some(line)
    })
}

/// Whether people write this file.
fn is_written(source: &Source) -> bool {
    let extension = ["rs", "md", "toml", "sh", "yml", "yaml"].iter().any(|known| source.has_extension(known));
    extension || source.path.starts_with(".ci/")
}

/// Whether rustdoc tests the examples in it: code, and the READMEs that are crate docs.
fn holds_doc_tests(source: &Source) -> bool {
    source.has_extension("rs") || source.path.starts_with("crates/")
}

fn ignores_doc_test(line: &str) -> bool {
    let fence = line.trim_start_matches(['/', '!', ' ']).strip_prefix("```");
    fence.is_some_and(|tags| tags.split(',').any(|tag| tag.trim() == "ignore"))
}

/// What is wrong with one line.
fn in_line(line: &str) -> impl Iterator<Item = String> {
    let trailing = line.ends_with([' ', '\t', '\r']).then(|| "white space at the end of the line".to_owned());
    let note = NOTES
        .iter()
        .find(|note| has_word(line, note))
        .map(|note| format!("{note}: finish it, or open an issue"));
    let folder = FOLDERS.iter().find(|folder| begins_path(line, folder));
    let folder = folder.map(|folder| format!("{folder} is a folder of somebody's machine"));
    [trailing, note, folder].into_iter().flatten()
}

fn has_word(line: &str, word: &str) -> bool {
    line.split(|c: char| !c.is_alphanumeric() && c != '_').any(|found| found == word)
}

/// Whether `folder` stands in `line` as the beginning of a path, not inside one.
fn begins_path(line: &str, folder: &str) -> bool {
    let inside = |c: char| c.is_alphanumeric() || "._-/}~".contains(c);
    line.match_indices(folder).any(|(at, _)| !line.get(..at).is_some_and(|before| before.ends_with(inside)))
}

/// Finds macros that promise code, and tests that are ignored.
fn in_tokens(tokens: TokenStream, found: &mut Vec<(usize, String)>) {
    let tokens: Vec<_> = tokens.into_iter().collect();
    for pair in tokens.windows(2) {
        match pair {
            [TokenTree::Ident(name), TokenTree::Punct(bang)]
                if bang.as_char() == '!' && UNDONE.iter().any(|undone| name == undone) =>
            {
                found.push((name.span().start().line, format!("`{name}!` is not done")));
            }
            [TokenTree::Punct(mark), TokenTree::Group(group)]
                if mark.as_char() == '#' && ignores(group.stream()) =>
            {
                let what = "an ignored test: say `SKIPPED: <test>: <reason>` where it cannot run";
                found.push((group.span_open().start().line, what.to_owned()));
            }
            _ => {}
        }
    }
    for token in tokens {
        if let TokenTree::Group(group) = token {
            in_tokens(group.stream(), found);
        }
    }
}

/// Whether the inside of an attribute is `ignore`, or `cfg_attr(..., ignore)`.
fn ignores(attribute: TokenStream) -> bool {
    let mut tokens = attribute.into_iter();
    match (tokens.next(), tokens.next()) {
        (Some(TokenTree::Ident(name)), _) if name == "ignore" => true,
        (Some(TokenTree::Ident(name)), Some(TokenTree::Group(group))) if name == "cfg_attr" => group
            .stream()
            .into_iter()
            .any(|token| matches!(token, TokenTree::Ident(word) if word == "ignore")),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::planted::Planted;
    use super::*;

    fn found(path: &str, text: &str) -> Vec<String> {
        Planted::empty().with(path, text).findings(findings)
    }

    #[test]
    fn notes_to_oneself_are_findings_in_whole_words() {
        for note in NOTES {
            assert_eq!(found("a.md", &format!("one\n{note}: two\n")).len(), 1, "{note}");
            assert_eq!(found("a.rs", &format!("// {note}(me)\n")).len(), 1, "{note}");
            assert_eq!(found("a.md", &format!("x{note}, {note}_y\n")), [""; 0]);
        }
        assert_eq!(found("data.bin", NOTES[0]), [""; 0]);
    }

    #[test]
    fn prose_that_is_too_wide_is_a_finding() {
        let wide = "a word ".repeat(18);
        let wide = wide.trim_end();
        for (path, text) in [("a.md", format!("{wide}\n")), ("a.rs", format!("/// {wide}\nstruct A;\n"))] {
            assert_eq!(found(path, &text), [format!("{path}:1: prose wider than 120")]);
        }
        for free in [format!("| {wide} |\n"), format!("```text\n{wide}\n```\n"), "x".repeat(130) + "\n"] {
            assert_eq!(found("a.md", &free), [""; 0]);
        }
        assert_eq!(found("a.rs", &format!("const A: &str = \"{wide}\";\n")), [""; 0]);
    }

    #[test]
    fn folders_of_a_machine_are_findings() {
        for folder in FOLDERS {
            assert_eq!(found("docs/a.md", &format!("see {folder}x\n")).len(), 1, "{folder}");
            assert_eq!(found("a.rs", &format!("const A: &str = \"{folder}x\";\n")).len(), 1, "{folder}");
            let (theirs, ours) =
                (format!("cd {folder}x\n"), format!("cd \"$TARGET{folder}\" && cd ..{folder}\n"));
            assert_eq!(found(".ci/run", &theirs).len(), 1, "{folder}");
            assert_eq!(found(".ci/run", &ours), [""; 0]);
            assert_eq!(found("a.md", &format!("https://example.org{folder}x\n")), [""; 0]);
        }
    }

    #[test]
    fn what_is_undone_is_a_finding_and_to_speak_of_it_is_not() {
        assert_eq!(found("a.rs", "fn f() {\n    todo!()\n}\n"), ["a.rs:2: `todo!` is not done"]);
        assert_eq!(found("a.rs", "fn f() { g(unimplemented!(\"x\")) }\n").len(), 1);
        assert_eq!(found("a.rs", "//! No `todo!` here.\nconst A: &str = \"todo!()\";\n"), [""; 0]);
    }

    #[test]
    fn what_is_ignored_is_a_finding() {
        for text in [
            "#[test]\n#[ignore]\nfn t() {}\n",
            "mod m {\n#[ignore = \"slow\"]\nfn t() {}\n}\n",
            "const A: u8 = 0;\n#[cfg_attr(miri, ignore)]\nfn t() {}\n",
            "const A: u8 = 0;\n/// ```rust,ignore\n/// ```\nfn t() {}\n",
        ] {
            let found = found("a.rs", text);
            assert_eq!(found.len(), 1, "{text}");
            assert!(found[0].starts_with("a.rs:2:"), "{found:?}");
        }
        assert_eq!(found("crates/a/README.md", "```ignore\n```\n").len(), 1);
        assert_eq!(found("README.md", "```rust,ignore\n```\n"), [""; 0]);
        assert_eq!(found("a.rs", "/// ```compile_fail\n/// ```\nfn ignore() {}\n"), [""; 0]);
    }

    #[test]
    fn white_space_at_the_end_is_a_finding() {
        assert_eq!(found("a.md", "one \ntwo\n"), ["a.md:1: white space at the end of the line"]);
        assert_eq!(found("a.toml", "a = 1\t\n").len(), 1);
        assert_eq!(found("a.md", "one\n\ntwo\n"), [""; 0]);
    }

    #[test]
    fn the_architecture_fits_into_one_sitting() {
        assert_eq!(found("ARCHITECTURE.md", &"line\n".repeat(200)), [""; 0]);
        assert_eq!(
            found("ARCHITECTURE.md", &"line\n".repeat(201)),
            ["ARCHITECTURE.md: 201 lines: it has at most 200"]
        );
        assert_eq!(found("docs/flow.md", &"line\n".repeat(201)), [""; 0]);
    }
}
