//! Promise: `cargo xtask new-handler` leaves the tree green, and `docs/new-handler.md` leads from there to a handler of
//! eventfds, as it is written. In a copy of the tree with a target folder of its own: in a shared one cargo would take
//! the copy's packages for ours.
#![expect(clippy::unwrap_used, reason = "what goes wrong in a test panics")]

#[path = "../src/new_handler/steps.rs"]
mod steps;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use steps::{Step, steps};

/// Nobody's handler.
const NAME: &str = "nothing";

/// Folders that tools write.
const NOT_OURS: [&str; 2] = ["target", ".git"];

/// A copy of this tree. It stays from run to run, so that only what changed is compiled again.
struct Copy {
    root: PathBuf,
    target: PathBuf,
}

fn ours() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// Makes `to` what `from` is. Files that are the same already are not touched.
fn mirror(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(to).unwrap() {
        let entry = entry.unwrap();
        if !from.join(entry.file_name()).exists() {
            let is_folder = entry.file_type().unwrap().is_dir();
            let removed =
                if is_folder { fs::remove_dir_all(entry.path()) } else { fs::remove_file(entry.path()) };
            removed.unwrap();
        }
    }
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (name, kind, place) = (entry.file_name(), entry.file_type().unwrap(), to.join(entry.file_name()));
        if kind.is_dir() && !NOT_OURS.iter().any(|folder| name == *folder) {
            mirror(&entry.path(), &place);
        } else if kind.is_file() {
            let bytes = fs::read(entry.path()).unwrap();
            if fs::read(&place).ok().as_ref() != Some(&bytes) {
                fs::write(&place, bytes).unwrap();
            }
        }
    }
}

impl Copy {
    fn new() -> Self {
        // Beside the executables of this build.
        // Beside the executables of this build.
        let target = Path::new(env!("CARGO_BIN_EXE_xtask")).ancestors().nth(2).unwrap().join("new-handler");
        let copy = Self { root: target.join("tree"), target: target.join("built") };
        mirror(ours(), &copy.root);
        copy
    }

    #[track_caller]
    fn run(&self, program: &str, arguments: &[&str]) {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(&self.root);
        // Nobody debugs it; and one compiler, because beside it other cases run.
        command.env("CARGO_TARGET_DIR", &self.target).env("CARGO_PROFILE_DEV_DEBUG", "0");
        command.env("CARGO_BUILD_JOBS", "1");
        let output = command.stdin(Stdio::null()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{program} {}:\n{said}", arguments.join(" "));
    }

    /// `cargo xtask` of the copy, with one task.
    #[track_caller]
    fn xtask(&self, task: &[&str]) {
        self.run("cargo", &[&["xtask"], task].concat());
    }

    /// What `cargo xtask test` runs of a handler, without building the whole copy.
    #[track_caller]
    fn test(&self, name: &str) {
        let (package, laws) = (format!("luo-{name}"), format!("{name}_laws"));
        self.run("cargo", &["test", "--quiet", "--package", &package]);
        let suites = ["test", "--quiet", "--package", "luo-tests", "--test", &laws, "--test", "matrix"];
        self.run("cargo", &[&suites[..], &["--", name]].concat());
    }

    #[track_caller]
    fn is_green(&self, name: &str) {
        self.run("cargo", &["fmt", "--all", "--check"]);
        self.xtask(&["tidy"]);
        self.test(name);
    }

    /// Puts a block of the tutorial where the line before it says, and takes what it replaces out.
    #[track_caller]
    fn edit(&self, path: &str, old: Option<&str>, new: &str) {
        let place = self.root.join(path);
        let text = match old {
            None => new.to_owned(),
            Some(old) => {
                let text = fs::read_to_string(&place).unwrap();
                assert_eq!(text.matches(old).count(), 1, "{path}: {old}");
                text.replace(old, new)
            }
        };
        fs::write(place, text).unwrap();
    }

    /// Does what a reader of the tutorial is told to do.
    fn follow(&self, page: &str) {
        for step in steps(page) {
            match step {
                Step::Run(lines) => lines.lines().for_each(|line| self.type_in(line)),
                Step::File(path, text) => self.edit(&path, None, &text),
                Step::Replace(path, old, new) => self.edit(&path, Some(&old), &new),
            }
        }
    }

    fn type_in(&self, line: &str) {
        match line.strip_prefix("cargo xtask ") {
            None => self.run("bash", &["-c", line]),
            Some(task) if task.starts_with("test ") => self.test("eventfd"),
            Some(task) => self.xtask(&task.split(' ').collect::<Vec<_>>()),
        }
    }
}

#[test]
fn an_echo_is_green_and_the_tutorial_makes_a_handler_of_it() {
    let copy = Copy::new();
    copy.xtask(&["new-handler", NAME]);
    for manifest in ["Cargo.toml", "tests/concurrency/Cargo.toml", "fuzz/Cargo.toml"] {
        copy.run("cargo", &["update", "--workspace", "--locked", "--manifest-path", manifest]);
    }
    copy.is_green(NAME);
    mirror(ours(), &copy.root);
    copy.follow(&fs::read_to_string(ours().join("docs/new-handler.md")).unwrap());
    copy.is_green("eventfd");
}
