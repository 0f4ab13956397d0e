//! Runs programs: **shown**, with their words going where ours go, or **captured**, with a deadline.

use core::fmt::Write as _;
use core::time::Duration;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};

/// How often a running program is looked at.
const LOOK: Duration = Duration::from_millis(5);

/// A program that has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// Whether its exit code was 0.
    pub(crate) well: bool,
    /// All it said, on both streams.
    pub(crate) output: String,
}

/// Runs `command` to its end. Its output is seen as it comes.
///
/// # Errors
///
/// It did not start, or its exit code is not 0.
pub(crate) fn shown(command: &mut Command) -> Result<()> {
    let line = line(command);
    let status = command.status().with_context(|| format!("`{line}` does not start"))?;
    ensure!(status.success(), "`{line}` failed: {status}");
    Ok(())
}

/// Runs `command` to its end, or kills it at the deadline. How it ended is the last line of the output unless its
/// exit code was 0.
///
/// # Errors
///
/// It did not start.
pub(crate) fn captured(mut command: Command, deadline: Duration) -> Result<Ended> {
    let line = line(&command);
    // A file, not a pipe: whoever the program leaves behind may go on writing without holding us.
    let mut said = tempfile::tempfile()?;
    command.stdin(Stdio::null()).stdout(said.try_clone()?).stderr(said.try_clone()?);
    let mut child = command.spawn().with_context(|| format!("`{line}` does not start"))?;
    let status = wait(&mut child, deadline)?;
    let mut bytes = Vec::new();
    said.seek(SeekFrom::Start(0))?;
    said.read_to_end(&mut bytes)?;
    let mut output = String::from_utf8_lossy(&bytes).into_owned();
    let how = match status {
        Some(status) if status.success() => return Ok(Ended { well: true, output }),
        Some(status) => status.to_string(),
        None => format!("killed after {} s", deadline.as_secs()),
    };
    writeln!(output, "\n`{line}`: {how}")?;
    Ok(Ended { well: false, output })
}

/// Waits; kills at the deadline and says `None`.
fn wait(child: &mut Child, deadline: Duration) -> Result<Option<ExitStatus>> {
    let until = Instant::now() + deadline;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= until {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        thread::sleep(LOOK);
    }
}

/// Whether a program ended by itself, with 0 or with the code `other`.
pub(crate) fn has_ended_well(status: ExitStatus, other: u8) -> bool {
    status.code().is_some_and(|code| code == 0 || code == i32::from(other))
}

/// Whether cargo has this subcommand installed.
pub(crate) fn has_subcommand(mut cargo: Command, name: &str) -> Result<bool> {
    cargo.args([name, "--version"]).stdout(Stdio::null()).stderr(Stdio::null());
    Ok(cargo.status().context("cargo does not start")?.success())
}

/// As one would type it, without the folder of the program.
fn line(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let mut line = program.file_name().unwrap_or(program.as_os_str()).to_string_lossy().into_owned();
    for argument in command.get_args() {
        line.push(' ');
        line.push_str(&argument.to_string_lossy());
    }
    line
}

/// Joins what failed into one error.
///
/// # Errors
///
/// One that names all of `failed`, if there are any.
pub(crate) fn none_failed(failed: &[String]) -> Result<()> {
    if !failed.is_empty() {
        bail!("{}", failed.join("; "));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn both_streams_are_captured() {
        let ended = captured(shell("echo one; echo two >&2"), Duration::from_mins(1)).unwrap();
        assert!(ended.well);
        assert_eq!(ended.output, "one\ntwo\n");
    }

    #[test]
    fn a_failure_keeps_its_words_and_says_how() {
        let ended = captured(shell("echo why; exit 3"), Duration::from_mins(1)).unwrap();
        assert!(!ended.well);
        assert!(
            ended.output.starts_with("why\n") && ended.output.contains("exit status: 3"),
            "{}",
            ended.output
        );
    }

    #[test]
    fn who_hangs_is_killed_and_what_was_said_is_kept() {
        let ended = captured(shell("echo stuck; exec sleep 600"), Duration::from_millis(300)).unwrap();
        assert!(!ended.well);
        assert!(
            ended.output.starts_with("stuck\n") && ended.output.contains("killed after"),
            "{}",
            ended.output
        );
    }

    #[test]
    fn who_leaves_a_child_behind_does_not_hold_us() {
        let ended = captured(shell("sleep 600 & echo $!"), Duration::from_mins(1)).unwrap();
        assert!(ended.well);
        let left_behind = nix::unistd::Pid::from_raw(ended.output.trim().parse().unwrap());
        nix::sys::signal::kill(left_behind, nix::sys::signal::Signal::SIGKILL).unwrap();
    }
}
