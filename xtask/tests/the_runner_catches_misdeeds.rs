//! Promise: whatever a test does that it must not, the runner ends it, goes on, and names it. The suite `misbehaving`
//! does all of that on purpose.
#![expect(clippy::unwrap_used, reason = "what goes wrong in a test panics")]

use std::path::Path;
use std::process::{Command, Stdio};

/// What a run said, and whether its exit code was 0.
struct Ran {
    said: String,
    well: bool,
}

/// Runs tests of the suite with these options.
fn test(options: &[&str]) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    command.args(["test", "--executable", env!("CARGO_BIN_EXE_misbehaving")]).args(options);
    let output = command.stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap() + &String::from_utf8_lossy(&output.stderr);
    Ran { said, well: output.status.success() }
}

/// Runs one test, which has to fail for this reason.
#[track_caller]
fn fails(name: &str, reason: &str) {
    let Ran { said, well } = test(&["--filter", &format!("misbehaving {name}")]);
    assert!(!well, "{said}");
    assert!(said.contains(&format!("--- misbehaving {name} in ")), "{said}");
    assert!(said.contains(&format!("=> {reason}")), "{said}");
    assert!(said.contains(&format!("failed: misbehaving {name}\n")), "{said}");
    assert!(said.trim_end().ends_with("0 passed, 1 failed, 0 skipped"), "{said}");
}

/// Whether a process runs whose command line is this.
fn runs(command_line: &str) -> bool {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let lines = processes.filter_map(|process| std::fs::read(process.path().join("cmdline")).ok());
    lines.into_iter().any(|line| String::from_utf8_lossy(&line).replace('\0', " ").trim() == command_line)
}

#[test]
fn whoever_behaves_passes() {
    let Ran { said, well } = test(&["--filter", "misbehaving behaves"]);
    assert!(well && said.ends_with("1 passed, 0 failed, 0 skipped\n"), "{said}");
}

#[test]
fn a_failure_is_told_with_its_last_words() {
    fails("fails", "exit code 101");
    assert!(test(&["--filter", "misbehaving fails"]).said.contains("one and one is three"));
}

#[test]
fn a_hang_is_ended_at_its_deadline() {
    fails("hangs_alone", "hung: it was killed after 1000 ms");
    assert!(test(&["--filter", "hangs_alone"]).said.contains("about to hang"));
}

#[test]
fn a_crash_is_told_by_its_signal() {
    fails("crashes", "crashed: SIGABRT");
}

#[test]
fn a_descriptor_that_stays_open_is_named() {
    if test(&["--filter", "misbehaving behaves"]).said.contains("descriptors were not counted") {
        println!("SKIPPED: a_descriptor_that_stays_open_is_named: ptrace is forbidden here");
        return;
    }
    fails("leaks_a_descriptor", "leaked descriptor 3: /dev/null");
    fails("leaks_a_memfd", "leaked descriptor 3: /memfd:lost (deleted)");
}

#[test]
fn a_huge_page_that_stays_taken_is_named() {
    let Ran { said, well } = test(&["--filter", "leaks_a_huge_page"]);
    let unseen = "descriptors were not counted";
    for why in ["skipped: misbehaving leaks_a_huge_page: ", unseen] {
        if said.contains(why) {
            println!(
                "SKIPPED: a_huge_page_that_stays_taken_is_named: no huge page can be reserved here, or traced"
            );
            return;
        }
    }
    assert!(!well && said.contains("=> leaked descriptor 3: /memfd:huge (deleted)"), "{said}");
}

#[test]
fn a_child_that_is_left_running_is_named_and_ended() {
    fails("leaves_a_child", "left a child running: ");
    fails("leaves_a_grandchild", "left a child running: ");
    assert!(!runs("sleep 86391") && !runs("sleep 86392"));
}

#[test]
fn who_waits_for_a_test_that_hangs_is_ended_with_it() {
    fails("hangs_with_a_child", "hung: it was killed after 1000 ms");
    assert!(!runs("sleep 86393"));
}

/// The large ones need more than half of the memory, the small ones nearly nothing. Nobody runs with what another has,
/// and nobody waits for ever.
#[test]
fn nobody_starves() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    command.args(["test", "--jobs", "4", "--filter", "small/", "--filter", "large/"]);
    command.args(["--executable", env!("CARGO_BIN_EXE_misbehaving")]);
    let output = command.env("MISBEHAVING_FOLDER", folder.path()).stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.ends_with("23 passed, 0 failed, 0 skipped\n"), "{said}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 3, "each of the large ones was there");
}

#[test]
fn what_cannot_be_had_is_a_skip_with_its_reason_or_a_failure_if_one_wants() {
    let Ran { said, well } = test(&["--filter", "impossible", "--filter", "skips"]);
    assert!(well && said.ends_with("0 passed, 0 failed, 2 skipped\n"), "{said}");
    assert!(said.contains("skipped: misbehaving skips: the moon is not full\n"), "{said}");
    assert!(
        said.contains("skipped: misbehaving needs_the_impossible: needs 1000000 GiB of memory, there are ")
    );
    let Ran { said, well } = test(&["--filter", "skips", "--no-skip"]);
    assert!(!well && said.contains("=> skipped: the moon is not full"), "{said}");
}

#[test]
fn each_run_of_a_case_has_a_scratch_of_its_own_which_is_kept_if_one_wants() {
    let Ran { said, .. } = test(&["--filter", "uses_its_scratch", "--repeat", "3"]);
    assert!(said.ends_with("0 passed, 3 failed, 0 skipped\n"), "{said}");
    let folders = |said: &str| {
        let lines = said.lines().filter_map(|line| line.split_once("my scratch is "));
        let mut folders: Vec<_> = lines.map(|(_, folder)| folder.trim_end_matches('"').to_owned()).collect();
        folders.sort();
        folders.dedup();
        folders
    };
    let gone = folders(&said);
    assert_eq!(gone.len(), 3, "{said}");
    assert!(gone.iter().all(|folder| !Path::new(folder).exists()));
    let Ran { said, .. } = test(&["--filter", "uses_its_scratch", "--keep"]);
    let kept = &folders(&said)[0];
    assert!(Path::new(kept).join("mine").exists(), "{said}");
    let run = said.lines().find_map(|line| line.strip_prefix("kept: ")).unwrap();
    assert!(kept.starts_with(run), "{kept}");
    std::fs::remove_dir_all(run).unwrap();
}

#[test]
fn a_seed_reaches_the_tests_and_a_report_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let report = folder.path().join("report.xml");
    let Ran { said, .. } =
        test(&["--filter", "tells_its_seed", "--seed", "42", "--junit", &report.display().to_string()]);
    assert!(said.contains("42"), "{said}");
    let report = std::fs::read_to_string(report).unwrap();
    assert!(report.contains("tells_its_seed") && report.contains("failures=\"1\""), "{report}");
}

#[test]
fn a_list_says_what_is_needed_and_runs_nothing() {
    let Ran { said, well } = test(&["--list", "--filter", "leaks_a_huge", "--filter", "hangs"]);
    assert!(well, "{said}");
    let expected = "misbehaving hangs_alone [deadline=1s]\nmisbehaving leaks_a_huge_page [huge-2M=1]\n\
                    misbehaving hangs_with_a_child [deadline=1s]\n";
    assert_eq!(said, expected);
    let Ran { said, .. } = test(&["--list", "--filter", "leaks_a", "--without", "huge"]);
    assert_eq!(said, "misbehaving leaks_a_descriptor\nmisbehaving leaks_a_memfd\n");
}
