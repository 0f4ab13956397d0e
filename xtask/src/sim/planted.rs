//! The simulation is tested itself: a **defect** is an edit of the sources that makes them wrong in one place. All of
//! them are planted into one **copy** of the workspace, each behind a switch, so that they cost the sources nothing and
//! are built once; then the simulation runs with one after the other switched on, and has to find it.

use core::time::Duration;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use anyhow::{Context as _, Result, bail, ensure};
use toml::{Table, Value};

use crate::program;
use crate::workspace::Workspace;

/// The list.
const DEFECTS: &str = "tests/planted/defects.toml";
/// Folders that are no part of a workspace.
const NOT_COPIED: [&str; 2] = ["target", ".git"];
/// The package at the bottom, which has the switch.
const BOTTOM: &str = "crates/luo-kho/";
/// How the program is told which defect is planted, from 1.
const SWITCH: &str = "LUO_PLANTED";

/// Appended to the package at the bottom.
const ASK: &str = r#"
/// Whether the defect with this number is planted.
#[doc(hidden)]
pub fn planted(number: usize) -> bool {
    static WHICH: std::sync::OnceLock<usize> = std::sync::OnceLock::new();
    let which = || std::env::var("LUO_PLANTED").ok().and_then(|text| text.parse().ok()).unwrap_or(0);
    *WHICH.get_or_init(which) == number
}
"#;

#[derive(Debug)]
struct Defect {
    name: String,
    file: String,
    find: String,
    plant: String,
    /// Whether it is looked for by flipping every bit, and not by random updates.
    by_flips: bool,
}

/// How long the simulation took to find a defect, and how many updates.
type Found = Option<(f64, u64)>;

pub(super) fn run(workspace: &Workspace, patience: Duration) -> Result<ExitCode> {
    let defects = defects(&workspace.root)?;
    let copy = workspace.target.join("planted");
    plant(&workspace.root, &copy.join("tree"), &defects)?;
    let mut build = workspace.cargo();
    build.current_dir(copy.join("tree")).env("CARGO_TARGET_DIR", copy.join("target"));
    // Defects are not written to please anybody.
    build.env("RUSTFLAGS", "-Awarnings");
    build.args(["build", "--quiet", "--release", "--package", "luo-tests", "--bin", "sim"]);
    program::shown(&mut build)?;
    let sim = copy.join("target/release/sim");
    let without = search(&sim, 0, Duration::from_secs(5), false)?;
    ensure!(without.is_none(), "something is found where nothing is planted");

    let (next, found) = (AtomicUsize::new(0), Mutex::new(vec![None; defects.len()]));
    let work = || -> Result<()> {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            if at >= defects.len() {
                return Ok(());
            }
            let by_flips = defects.get(at).is_some_and(|defect| defect.by_flips);
            let outcome = search(&sim, at + 1, patience, by_flips)?;
            let mut found = found.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            if let Some(place) = found.get_mut(at) {
                *place = outcome;
            }
        }
    };
    let cores = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        let workers: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        workers
            .into_iter()
            .try_for_each(|worker| worker.join().unwrap_or_else(|_| bail!("a worker panicked")))
    })?;
    let found = found.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    Ok(report(&defects, &found, patience))
}

fn report(defects: &[Defect], found: &[Found], patience: Duration) -> ExitCode {
    for (defect, found) in defects.iter().zip(found) {
        match found {
            Some((seconds, updates)) => println!("{seconds:>9.3} s {updates:>9} updates  {}", defect.name),
            None => println!("not found in {} s          {}", patience.as_secs(), defect.name),
        }
    }
    let mut times: Vec<f64> = found.iter().flatten().map(|(seconds, _)| *seconds).collect();
    times.sort_by(f64::total_cmp);
    let median = times.get(times.len() / 2).copied().unwrap_or(f64::NAN);
    println!("{} of {} defects found, in {median:.3} s at the median", times.len(), defects.len());
    if times.len() == defects.len() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs the simulation with one defect; when it found something.
fn search(sim: &Path, number: usize, patience: Duration, by_flips: bool) -> Result<Found> {
    let mut command = Command::new(sim);
    command.env(SWITCH, number.to_string());
    if by_flips {
        command.arg("--hostile");
    }
    command.args(["--jobs", "1", "--updates", "1000000000", "--seconds", &patience.as_secs().to_string()]);
    let ended = program::captured(command, patience + Duration::from_mins(1))?;
    let line = ended.output.lines().find_map(|line| line.strip_prefix("found after "));
    let Some(line) = line else {
        ensure!(ended.well, "the simulation ended without a finding: {}", ended.output);
        return Ok(None);
    };
    let mut words = line.split_whitespace();
    let seconds = words.next().and_then(|word| word.parse().ok()).context("no time")?;
    let updates = words.nth(1).and_then(|word| word.parse().ok()).context("no updates")?;
    Ok(Some((seconds, updates)))
}

fn defects(root: &Path) -> Result<Vec<Defect>> {
    let text = fs::read_to_string(root.join(DEFECTS)).with_context(|| format!("cannot read {DEFECTS}"))?;
    let table: Table = text.parse().with_context(|| format!("{DEFECTS} is no TOML"))?;
    let list = table.get("defect").and_then(Value::as_array).context("there are no defects")?;
    let defect = |entry: &Value| {
        let field = |name| Some(entry.get(name)?.as_str()?.to_owned());
        let by_flips = entry.get("by").and_then(Value::as_str) == Some("flips");
        Some(Defect {
            by_flips,
            name: field("name")?,
            file: field("file")?,
            find: field("find")?,
            plant: field("plant")?,
        })
    };
    list.iter().map(|entry| defect(entry).context("a defect has name, file, find and plant")).collect()
}

/// The text of a file with its defects in it.
fn edited(path: &str, mut text: String, defects: &[Defect]) -> Result<String> {
    for (number, defect) in (1..).zip(defects).filter(|(_, defect)| defect.file == path) {
        let places = text.matches(&defect.find).count();
        ensure!(places == 1, "`{}`: its text stands {places} times in {path}, not once", defect.name);
        let package = if path.starts_with(BOTTOM) { "crate" } else { "luo_kho" };
        let plant = defect
            .plant
            .trim_start_matches('\n')
            .replace("PLANTED", &format!("{package}::planted({number})"));
        text = text.replace(&defect.find, &plant);
    }
    if path == format!("{BOTTOM}src/lib.rs") {
        text.push_str(ASK);
    }
    Ok(text)
}

/// Brings the copy up to date. Files that are as they should be are not touched, so that little is built anew.
fn plant(root: &Path, copy: &Path, defects: &[Defect]) -> Result<()> {
    let mut open = vec![PathBuf::new()];
    while let Some(path) = open.pop() {
        let from = root.join(&path);
        if from.is_dir() {
            for entry in fs::read_dir(&from)? {
                let name = entry?.file_name();
                if !NOT_COPIED.iter().any(|not| name == *not) {
                    open.push(path.join(name));
                }
            }
            continue;
        }
        let bytes = fs::read(&from).with_context(|| format!("cannot read {}", path.display()))?;
        let name = path.to_string_lossy();
        let bytes = match String::from_utf8(bytes) {
            Ok(text) => edited(&name, text, defects)?.into_bytes(),
            Err(error) => error.into_bytes(),
        };
        let to = copy.join(&path);
        if fs::read(&to).is_ok_and(|present| present == bytes) {
            continue;
        }
        fs::create_dir_all(to.parent().unwrap_or(copy))?;
        fs::write(&to, bytes).with_context(|| format!("cannot write {}", to.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever changes a line that a defect is planted in sees it here, and moves the defect.
    #[test]
    fn every_defect_has_its_place() {
        let root = crate::workspace::root();
        let defects = defects(root).unwrap();
        assert!(defects.len() >= 20);
        for defect in &defects {
            let text = fs::read_to_string(root.join(&defect.file)).unwrap();
            assert_ne!(edited(&defect.file, text.clone(), &defects).unwrap(), text);
            assert!(defect.plant.contains("PLANTED"), "`{}` cannot be switched on", defect.name);
        }
    }

    #[test]
    fn the_defects_of_the_kernel_are_among_them() {
        let defects = defects(crate::workspace::root()).unwrap();
        for number in 1..=11 {
            let named = |defect: &&Defect| defect.name.starts_with(&format!("R{number} "));
            assert_eq!(defects.iter().filter(named).count(), 1, "R{number}");
        }
    }
}
