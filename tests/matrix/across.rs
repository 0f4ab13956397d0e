//! Columns between two processes: a real exec, and a real socket.
//!
//! For an exec the trial starts this program as the **old** one; exec then puts the new one into the same process, and
//! its end is the verdict. By a socket the trial is the old program itself, and starts the new one.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use libtest_mimic::Failed;
use luo_core::conformance::Fixture;
use luo_kho::process::{self, DEFAULT_CAPACITY, Exec, ProcessKho, Socket, Terms};

use crate::scenario::{Scenario, Turn};
use crate::sides::{Outcome, far, near, said};

/// Names the trial in which a process plays a part.
const PART: &str = "MATRIX_PART";
/// Names the folder that both programs know.
const FOLDER: &str = "MATRIX_FOLDER";

/// A column.
pub(crate) struct Carrier<F> {
    pub(crate) name: &'static str,
    /// Whether one successor is enough for the turn that an update takes.
    pub(crate) plays: fn(Turn) -> bool,
    /// The trial, in the process that was asked for it.
    pub(crate) trial: fn(&str, &mut F, &Scenario, usize) -> Result<(), Failed>,
    /// The part that a process plays which a trial has started.
    pub(crate) part: fn(&mut F, &Scenario, usize) -> Result<(), Failed>,
}

/// All of them.
pub(crate) fn carriers<F: Fixture>() -> [Carrier<F>; 2] {
    [
        Carrier {
            name: "exec",
            plays: |turn| turn != Turn::Refused,
            trial: |name, _, _, _| ends_well(&mut start(name)?),
            part: exec,
        },
        Carrier {
            name: "socket",
            // Who has called is sent away when the update is taken back.
            plays: |turn| !matches!(turn, Turn::Refused | Turn::TakenBack),
            trial: socket,
            part: connect,
        },
    ]
}

/// The trial in which this process plays a part.
pub(crate) fn part() -> Option<String> {
    env::var(PART).ok()
}

/// A program that plays a part, and what goes when it is dropped.
struct Started {
    command: Command,
    folder: tempfile::TempDir,
}

fn start(name: &str) -> Result<Started, Failed> {
    let folder = tempfile::Builder::new().prefix("matrix-").tempdir()?;
    let mut command = Command::new(env::current_exe()?);
    command.env(PART, name).env(FOLDER, folder.path()).stdin(Stdio::null());
    Ok(Started { command, folder })
}

fn ends_well(started: &mut Started) -> Result<(), Failed> {
    let output = started.command.output()?;
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() { Ok(()) } else { Err(format!("{}: {words}", output.status).into()) }
}

fn folder() -> Outcome<PathBuf> {
    env::var_os(FOLDER).map(PathBuf::from).ok_or_else(|| "no folder".to_owned())
}

/// What the old program saw of its files: one a line, as a portrait has no line breaks.
fn write_down(folder: &Path, portraits: &[String]) -> Outcome<()> {
    fs::write(folder.join("portraits"), portraits.join("\n")).map_err(said)
}

fn written_down(folder: &Path) -> Outcome<Vec<String>> {
    let text = fs::read_to_string(folder.join("portraits")).map_err(said)?;
    Ok(text.lines().map(str::to_owned).collect())
}

fn memory() -> Outcome<ProcessKho> {
    ProcessKho::create(DEFAULT_CAPACITY).map_err(said)
}

/// The old program, or what exec made of it.
fn exec<F: Fixture>(fixture: &mut F, scenario: &Scenario, many: usize) -> Result<(), Failed> {
    let folder = folder()?;
    let Some(arrival) = process::arrive()? else {
        let near = near(fixture, memory()?, scenario, many)?;
        write_down(&folder, &near.portraits)?;
        let program = env::current_exe()?;
        let mut carrier = Exec::new(program);
        let departed = near.update(&mut carrier, scenario.turn);
        return Err(format!("exec came back: {:?}", departed.err()).into());
    };
    if let Some(way_back) = arrival.way_back() {
        return Err(format!("the old program had to come back: {way_back:?}").into());
    }
    let (memory, _answer) = arrival.adopt()?;
    Ok(far(fixture, memory, scenario, many, &written_down(&folder)?)?)
}

/// The old program.
fn socket<F: Fixture>(name: &str, fixture: &mut F, scenario: &Scenario, many: usize) -> Result<(), Failed> {
    let mut started = start(name)?;
    let path = started.folder.path().to_owned();
    let mut carrier = Socket::bind(path.join("socket"))?;
    let near = near(fixture, memory()?, scenario, many)?;
    write_down(&path, &near.portraits)?;
    let mut successor = started.command.stderr(Stdio::piped()).spawn()?;
    let departed = carrier
        .await_successor()
        .map_err(said)
        .map(drop)
        .and_then(|()| near.update(&mut carrier, scenario.turn));
    if departed.is_err() {
        // It may wait for an offer that will not come.
        let _ended_already = successor.kill();
    }
    let output = successor.wait_with_output()?;
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    let _departed = departed.map_err(|error| format!("{error}; the successor said: {words}"))?;
    if output.status.success() { Ok(()) } else { Err(format!("{}: {words}", output.status).into()) }
}

/// The new program.
fn connect<F: Fixture>(fixture: &mut F, scenario: &Scenario, many: usize) -> Result<(), Failed> {
    let folder = folder()?;
    let arrival = process::connect(folder.join("socket"), b"", Terms::default())?;
    let (memory, _answer) = arrival.adopt()?;
    Ok(far(fixture, memory, scenario, many, &written_down(&folder)?)?)
}
