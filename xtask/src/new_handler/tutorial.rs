//! The tutorial, `docs/new-handler.md`: its steps, applied to what the template writes, make the files of
//! `examples/eventfd`.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};

use super::steps::{Step, steps};
use super::{Name, template};
use crate::workspace;

fn page() -> String {
    fs::read_to_string(workspace::root().join("docs/new-handler.md")).unwrap()
}

/// Where a file of the tutorial lies in the example, and its text there. `None` for what every handler shares.
fn in_example(path: &str, text: &str) -> Option<(String, String)> {
    let place = match path {
        "tests/src/eventfd.rs" => "tests/laws/simulated.rs".to_owned(),
        "tests/src/eventfd_real.rs" => "tests/laws/real.rs".to_owned(),
        "tests/tests/eventfd_laws.rs" => "tests/laws/main.rs".to_owned(),
        "crates/luo-eventfd/Cargo.toml" => return None,
        path => path.strip_prefix("crates/luo-eventfd/")?.to_owned(),
    };
    let text = text.replace("../../../tests/golden/", "../golden/");
    let text = text.replace("luo_tests::eventfd_real::", "real::");
    let text = text.replace(
        "use luo_tests::eventfd::",
        "mod simulated;\n#[cfg(target_os = \"linux\")]\nmod real;\n\nuse simulated::",
    );
    // Nobody outside sees the fixtures of the example.
    let text = if place.starts_with("tests/") { text.replace("\npub ", "\npub(crate) ") } else { text };
    let text = if place == "README.md" { text } else { formatted(&text) };
    Some((place, text))
}

/// Where lines break depends on the length of a name.
fn formatted(text: &str) -> String {
    let mut rustfmt = Command::new("rustfmt");
    rustfmt.args(["--edition", "2024", "--config-path"]).arg(workspace::root().join("rustfmt.toml"));
    let mut rustfmt = rustfmt.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    rustfmt.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = rustfmt.wait_with_output().unwrap();
    assert!(output.status.success(), "{text}");
    String::from_utf8(output.stdout).unwrap()
}

/// With `LUO_EXAMPLE_OUT` set the example is written anew.
#[test]
fn the_example_is_what_the_tutorial_builds() {
    let files = template::files(&Name::new("eventfd").unwrap());
    let mut files: BTreeMap<_, _> =
        files.into_iter().filter_map(|(path, bytes)| Some((path, String::from_utf8(bytes).ok()?))).collect();
    for step in steps(&page()) {
        match step {
            Step::Run(_) => {}
            Step::File(path, text) => drop(files.insert(path, text)),
            Step::Replace(path, old, new) => {
                let Some(text) = files.get_mut(&path) else { continue };
                assert_eq!(text.matches(&old).count(), 1, "{path}: {old}");
                *text = text.replace(&old, &new);
            }
        }
    }
    let mut compared = 0;
    for (path, text) in &files {
        let Some((place, text)) = in_example(path, text) else { continue };
        let example = workspace::root().join("examples/eventfd").join(&place);
        if std::env::var_os("LUO_EXAMPLE_OUT").is_some() {
            fs::create_dir_all(example.parent().unwrap()).unwrap();
            fs::write(&example, &text).unwrap();
        }
        let found = fs::read_to_string(&example).unwrap_or_default();
        assert!(found == text, "examples/eventfd/{place} is not what the tutorial builds:\n{text}");
        compared += 1;
    }
    assert_eq!(compared, 18, "crate and laws");
}

#[test]
fn a_page_is_read_as_steps() {
    let page = "# A\n\n```sh\nrun\n```\n**`a.rs`**\n\n```rust\nfn a() {}\n```\nIn **`b`**, instead of\n```text\nx\n```\nwrite\n```text\ny\n```\n";
    let expected = [
        Step::Run("run\n".into()),
        Step::File("a.rs".into(), "fn a() {}\n".into()),
        Step::Replace("b".into(), "x\n".into(), "y\n".into()),
    ];
    assert_eq!(steps(page), expected);
}
