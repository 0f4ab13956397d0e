//! A suite of tests that do what no test may, so that the runner can be tried: each is named after its **misdeed**.
//!
//! It speaks as every suite does, by `libtest-mimic`. In the folder that `MISBEHAVING_FOLDER` names, tests that must
//! not run side by side leave a mark while they run.

use core::time::Duration;
use std::fs::{self, File};
use std::mem;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;

use libtest_mimic::{Arguments, Failed, Trial};
use rustix::fs::{FallocateFlags, MemfdFlags, fallocate, ftruncate, memfd_create};

/// Bytes of a huge page.
const HUGE: u64 = 2 << 20;

fn main() {
    let arguments = Arguments::from_args();
    libtest_mimic::run(&arguments, trials()).exit();
}

fn trials() -> Vec<Trial> {
    let mut trials = vec![
        Trial::test("behaves", || Ok(())),
        Trial::test("skips", || {
            println!("SKIPPED: skips: the moon is not full");
            Ok(())
        }),
        Trial::test("fails", || Err("one and one is three".into())),
        Trial::test("hangs_alone", || {
            println!("about to hang");
            loop {
                thread::park();
            }
        })
        .with_kind("deadline=1s"),
        Trial::test("crashes", || std::process::abort()),
        Trial::test("leaks_a_descriptor", || {
            mem::forget(File::open("/dev/null")?);
            Ok(())
        }),
        Trial::test("leaks_a_memfd", || {
            mem::forget(memfd_create("lost", MemfdFlags::CLOEXEC)?);
            Ok(())
        }),
        Trial::test("leaks_a_huge_page", leak_a_huge_page).with_kind("huge-2M=1"),
        Trial::test("leaves_a_child", || {
            let _forgotten = Command::new("sleep").arg("86391").stdout(Stdio::null()).spawn()?;
            Ok(())
        }),
        Trial::test("leaves_a_grandchild", || {
            // In a session of its own, and its parent is gone: nothing but a subreaper finds it.
            Command::new("setsid").args(["--fork", "sleep", "86392"]).stdout(Stdio::null()).status()?;
            Ok(())
        }),
        Trial::test("hangs_with_a_child", || {
            let mut child = Command::new("sleep").arg("86393").spawn()?;
            child.wait()?;
            Ok(())
        })
        .with_kind("deadline=1s"),
        Trial::test("uses_its_scratch", use_scratch),
        Trial::test("tells_its_seed", || {
            Err(std::env::var("PROPTEST_RNG_SEED").unwrap_or_else(|_| "no seed".to_owned()).into())
        }),
        Trial::test("needs_the_impossible", || Ok(())).with_kind("memory=1000000G"),
    ];
    // More than half of what the runner shares out: two of them never fit side by side.
    let large = format!("memory={}M", free_mib() / 2);
    for number in 1..=3 {
        trials.push(Trial::test(format!("large/{number}"), run_alone).with_kind(&large));
    }
    trials.extend(
        (1..=20).map(|number| Trial::test(format!("small/{number}"), || Ok(())).with_kind("memory=1M")),
    );
    trials
}

fn leak_a_huge_page() -> Result<(), Failed> {
    let file = memfd_create("huge", MemfdFlags::CLOEXEC | MemfdFlags::HUGETLB | MemfdFlags::HUGE_2MB)?;
    ftruncate(&file, HUGE)?;
    fallocate(&file, FallocateFlags::empty(), 0, HUGE)?;
    mem::forget(file);
    Ok(())
}

fn use_scratch() -> Result<(), Failed> {
    let folder = std::env::temp_dir();
    if fs::read_dir(&folder)?.next().is_some() {
        return Err("somebody else was here before".into());
    }
    fs::write(folder.join("mine"), "what I leave behind")?;
    Err(format!("my scratch is {}", folder.display()).into())
}

fn run_alone() -> Result<(), Failed> {
    let folder = std::env::var_os("MISBEHAVING_FOLDER").map(PathBuf::from).ok_or("no folder for marks")?;
    let mark = folder.join("large");
    File::create_new(&mark).map_err(|error| format!("another large one runs: {error}"))?;
    thread::sleep(Duration::from_millis(100));
    fs::remove_file(&mark)?;
    fs::write(folder.join(format!("was-here-{}", std::process::id())), "")?;
    Ok(())
}

fn free_mib() -> u64 {
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let free = memory.lines().find_map(|line| line.strip_prefix("MemAvailable:")).unwrap_or_default();
    free.trim().trim_end_matches(" kB").parse().unwrap_or(1 << 20) >> 10
}
