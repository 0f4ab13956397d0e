//! **Orphans**: processes that a test started and that are still there when it is over. By then all of them are
//! children of the supervisor.

use core::time::Duration;
use std::fs;
use std::thread;
use std::time::Instant;

use anyhow::{Context as _, Result};
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

/// How long whoever was told to end may take. A program whose input was closed needs a moment on a busy machine.
const GRACE: Duration = Duration::from_secs(2);
/// How often they are looked at meanwhile.
const LOOK: Duration = Duration::from_millis(2);

/// Waits until all children have ended, and kills those that do not. A finding for each of these.
pub(super) fn end_all() -> Result<Vec<String>> {
    let until = Instant::now() + GRACE;
    while any_left(WaitPidFlag::WNOHANG)? {
        if Instant::now() >= until {
            return kill_all();
        }
        thread::sleep(LOOK);
    }
    Ok(Vec::new())
}

/// Reaps those who have ended. Whether some have not.
fn any_left(how: WaitPidFlag) -> Result<bool> {
    loop {
        match waitpid(None, Some(how | WaitPidFlag::__WALL)) {
            Err(Errno::ECHILD) => return Ok(false),
            Ok(WaitStatus::StillAlive) => return Ok(true),
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error).context("cannot wait for children"),
        }
    }
}

fn kill_all() -> Result<Vec<String>> {
    let mut findings = Vec::new();
    // Whose parent is killed becomes a child of ours, and is found by the next look.
    while any_left(WaitPidFlag::WNOHANG)? {
        for child in children()? {
            let finding = format!("left a child running: {child} {}", name(child));
            if !findings.contains(&finding) {
                findings.push(finding);
            }
            // It is ours and was not reaped, so that its number is still its own.
            kill(child, Signal::SIGKILL).with_context(|| format!("cannot kill {child}"))?;
        }
        thread::sleep(LOOK);
    }
    Ok(findings)
}

/// Our children that have not ended.
fn children() -> Result<Vec<Pid>> {
    let ours = Pid::this().to_string();
    let mut children = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { continue };
        // pid (name) state parent ...
        let Some((_, rest)) = stat.rsplit_once(") ") else { continue };
        let mut fields = rest.split_whitespace();
        let has_ended = matches!(fields.next(), Some("Z" | "X"));
        if !has_ended && fields.next() == Some(ours.as_str()) {
            children.push(Pid::from_raw(pid));
        }
    }
    Ok(children)
}

/// Its command line.
fn name(pid: Pid) -> String {
    let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&words).replace('\0', " ").trim().to_owned()
}
