//! Rule: a room can be read in one sitting. Files have at most [`FILE`] **lines of code**, files of tests
//! [`TEST_FILE`], functions [`FUNCTION`].
//!
//! A line of code is one with a token on it that is no doc comment: blank lines and comments cost nothing. Test
//! modules in a file do not count for the file; their functions are as short as any.

use std::collections::BTreeSet;

use proc_macro2::{Delimiter, Span, TokenStream, TokenTree};
use syn::spanned::Spanned as _;
use syn::visit::{self, Visit};
use syn::{Attribute, Block, ItemMod, Signature};

use super::Finding;
use super::tree::{Tree, module_files};

/// Lines of code in a file.
const FILE: usize = 350;
/// Lines of code in a file that holds nothing but tests.
const TEST_FILE: usize = 700;
/// Lines of code in a function, from its name to its closing brace.
const FUNCTION: usize = 70;

pub(super) fn findings(tree: &Tree) -> Vec<Finding> {
    let test_files = files_for_tests(tree);
    let mut findings = Vec::new();
    for (source, rust) in tree.rust() {
        let mut measure = Measure { lines: BTreeSet::new(), tests: Vec::new(), long: Vec::new() };
        code_lines(rust.tokens.clone(), &mut measure.lines);
        measure.visit_file(&rust.file);
        for (line, name, length) in measure.long {
            let what = format!("fn {name} has {length} lines of code: a function has at most {FUNCTION}");
            findings.push(Finding::at(&source.path, line, what));
        }
        let is_test = |line: &&usize| measure.tests.iter().any(|(first, last)| (first..=last).contains(line));
        let length = measure.lines.iter().filter(|line| !is_test(line)).count();
        let limit =
            if test_files.contains(&source.path) || in_tests(&source.path) { TEST_FILE } else { FILE };
        if length > limit {
            let what = format!("{length} lines of code: such a file has at most {limit}");
            findings.push(Finding::of_file(&source.path, what));
        }
    }
    findings
}

fn in_tests(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.contains("/tests/") || path.starts_with("tests/")
}

/// Files behind a `#[cfg(test)] mod name;`.
fn files_for_tests(tree: &Tree) -> BTreeSet<String> {
    let mut files = BTreeSet::new();
    for (source, rust) in tree.rust() {
        for item in &rust.file.items {
            if let syn::Item::Mod(module) = item
                && for_tests(&module.attrs)
            {
                files.extend(module_files(&source.path, &module.ident.to_string()));
            }
        }
    }
    files
}

fn for_tests(attributes: &[Attribute]) -> bool {
    let is_test = |attribute: &Attribute| {
        let syn::Meta::List(list) = &attribute.meta else { return false };
        let condition = list.tokens.to_string().replace(' ', "");
        list.path.is_ident("cfg") && (condition == "test" || condition.starts_with("all(test,"))
    };
    attributes.iter().any(is_test)
}

/// Adds the lines that hold a token, doc comments left out.
fn code_lines(tokens: TokenStream, lines: &mut BTreeSet<usize>) {
    let mut tokens = tokens.into_iter().peekable();
    while let Some(token) = tokens.next() {
        let start = token.span().start();
        // A doc comment comes as `#[doc = "..."]` or `#![doc = "..."]`, every token of it at the place of the comment.
        if matches!(&token, TokenTree::Punct(mark) if mark.as_char() == '#') {
            let same = |next: &TokenTree| next.span().start() == start;
            let _bang = tokens.next_if(|next| matches!(next, TokenTree::Punct(_)) && same(next));
            if tokens.next_if(|next| matches!(next, TokenTree::Group(_)) && same(next)).is_some() {
                continue;
            }
        }
        match token {
            TokenTree::Group(group) => {
                if group.delimiter() != Delimiter::None {
                    lines.extend([group.span_open().start().line, group.span_close().start().line]);
                }
                code_lines(group.stream(), lines);
            }
            other => lines.extend(extent(other.span())),
        }
    }
}

fn extent(span: Span) -> core::ops::RangeInclusive<usize> {
    span.start().line..=span.end().line
}

/// Walks over one file.
struct Measure {
    lines: BTreeSet<usize>,
    /// First and last lines of test modules.
    tests: Vec<(usize, usize)>,
    /// Functions above the limit: where, which, how long.
    long: Vec<(usize, String, usize)>,
}

impl Measure {
    fn function(&mut self, signature: &Signature, block: &Block) {
        let (first, last) = (signature.span().start().line, block.span().end().line);
        let length = self.lines.range(first..=last).count();
        if length > FUNCTION {
            self.long.push((first, signature.ident.to_string(), length));
        }
    }
}

impl<'a> Visit<'a> for Measure {
    fn visit_item_mod(&mut self, module: &'a ItemMod) {
        if module.content.is_some() && for_tests(&module.attrs) {
            self.tests.push(extent(module.span()).into_inner());
        }
        visit::visit_item_mod(self, module);
    }

    fn visit_item_fn(&mut self, function: &'a syn::ItemFn) {
        self.function(&function.sig, &function.block);
        visit::visit_item_fn(self, function);
    }

    fn visit_impl_item_fn(&mut self, function: &'a syn::ImplItemFn) {
        self.function(&function.sig, &function.block);
        visit::visit_impl_item_fn(self, function);
    }

    fn visit_trait_item_fn(&mut self, function: &'a syn::TraitItemFn) {
        if let Some(block) = &function.default {
            self.function(&function.sig, block);
        }
        visit::visit_trait_item_fn(self, function);
    }
}

#[cfg(test)]
mod tests {
    use super::super::planted::Planted;
    use super::*;

    const HEAD: &str = "//! A room.\n\n/* not\ncode */\n// either\n";

    fn constants(count: usize) -> String {
        "/// Documented.\nconst C: u8 = 0; // said\n\n".repeat(count)
    }

    fn function(lines: usize) -> String {
        format!("fn f() {{\n{}}}\n", "    let _ = 1;\n    // why\n".repeat(lines - 2))
    }

    #[test]
    fn a_file_at_the_limit_is_fine_and_one_line_more_is_not() {
        let file = |count| Planted::empty().with("c/src/a.rs", HEAD.to_owned() + &constants(count));
        assert_eq!(file(FILE).findings(findings), [""; 0]);
        assert_eq!(
            file(FILE + 1).findings(findings),
            ["c/src/a.rs: 351 lines of code: such a file has at most 350"]
        );
    }

    #[test]
    fn test_modules_do_not_count_for_the_file() {
        let text = format!("{}#[cfg(test)]\nmod tests {{\n{}}}\n", constants(FILE), constants(300));
        assert_eq!(Planted::empty().with("c/src/a.rs", text).findings(findings), [""; 0]);
        let text = format!("{}mod open {{\n{}}}\n", constants(FILE), constants(300));
        assert_eq!(Planted::empty().with("c/src/a.rs", text).findings(findings).len(), 1);
    }

    #[test]
    fn a_string_over_many_lines_is_code() {
        let text = format!("const TEXT: &str = \"\n{}\";\n", "word\n".repeat(FILE));
        assert_eq!(Planted::empty().with("c/src/a.rs", text).findings(findings).len(), 1);
    }

    #[test]
    fn files_of_tests_may_be_longer_but_not_endless() {
        for path in ["c/src/a/tests.rs", "c/tests/promise.rs", "c/src/laws.rs"] {
            let planted = |count| {
                Planted::empty()
                    .with("c/src/lib.rs", "#[cfg(test)]\nmod laws;\n")
                    .with(path, constants(count))
            };
            assert_eq!(planted(TEST_FILE).findings(findings), [""; 0]);
            assert_eq!(planted(TEST_FILE + 1).findings(findings).len(), 1, "{path}");
        }
    }

    #[test]
    fn a_function_at_the_limit_is_fine_and_one_line_more_is_not() {
        assert_eq!(Planted::empty().with("c/src/a.rs", function(FUNCTION)).findings(findings), [""; 0]);
        let found = Planted::empty().with("c/src/a.rs", function(FUNCTION + 1)).findings(findings);
        assert_eq!(found, ["c/src/a.rs:1: fn f has 71 lines of code: a function has at most 70"]);
    }

    #[test]
    fn methods_are_functions_too_and_so_are_those_of_tests() {
        let long = function(FUNCTION + 1);
        for (before, after) in
            [("impl T {\n", "}\n"), ("trait T {\n", "}\n"), ("#[cfg(test)]\nmod tests {\n", "}\n")]
        {
            let text = format!("{before}{long}{after}");
            assert_eq!(Planted::empty().with("c/src/a.rs", text).findings(findings).len(), 1, "{before}");
        }
    }
}
