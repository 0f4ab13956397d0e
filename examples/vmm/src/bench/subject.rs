//! The subject: a VMM of its own program with a guest, which is asked for updates.

use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};
use clap::ValueEnum as _;
use rustix::process::{
    Pid, Signal, WaitOptions, getpid, kill_process, set_child_subreaper, test_kill_process, wait,
};
use tempfile::TempDir;

use super::observer::Counter;
use crate::cli::Carrier;
use crate::control::{Reply, ask};
use crate::folder::Folder;
use crate::machine::{Backing, Retrieve};
use crate::trace::{Remembered, Trace};

/// For a guest to boot, and for an answer: all of memory may have to be written or compared.
const PATIENCE: Duration = Duration::from_mins(5);

/// See the room's head.
pub(super) struct Subject {
    folder: Folder,
    trace: Trace,
    /// The program that has the guest.
    pid: Pid,
    counter: Counter,
    // Removed when all else is gone.
    _home: TempDir,
}

impl Subject {
    /// Starts one with a vCPU and so many bytes of memory, all of it written.
    pub(super) fn start(memory: u64, backing: Backing, retrieve: Retrieve) -> Result<Self> {
        // Successors are orphans when their predecessors leave: they become ours.
        set_child_subreaper(Some(getpid()))?;
        let home = tempfile::Builder::new().prefix("luo-vmm-bench-").tempdir()?;
        let folder = Folder::open(home.path())?;
        let backing = backing.to_possible_value().ok_or_else(|| anyhow!("memory of no sort"))?;
        let retrieve = retrieve.to_possible_value().ok_or_else(|| anyhow!("a way without a name"))?;
        let mut child = Command::new(std::env::current_exe()?)
            .args(["run", "--vcpus=1", "--guest=kvm"])
            .arg(format!("--dir={}", folder.path().display()))
            .arg(format!("--memory={memory}"))
            .arg(format!("--backing={}", backing.get_name()))
            .arg(format!("--retrieve={}", retrieve.get_name()))
            .stdin(Stdio::null())
            .spawn()?;
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).context("no such process")?;
        let up = await_boot(&mut child, &folder)
            .and_then(|()| Ok((Trace::open(&folder.trace())?, Counter::of(child.id())?)));
        match up {
            Ok((trace, counter)) => Ok(Self { folder, trace, pid, counter, _home: home }),
            Err(error) => {
                leave(pid);
                Err(error)
            }
        }
    }

    pub(super) const fn counter(&self) -> &Counter {
        &self.counter
    }

    /// Asks for an update.
    pub(super) fn update(&mut self, carrier: Carrier) -> Result<()> {
        let way = carrier.to_possible_value().ok_or_else(|| anyhow!("a carrier without a name"))?;
        let reply = self.ask(&["update".to_owned(), format!("--carrier={}", way.get_name())])?;
        if let Some(pid) = reply.number("pid").and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?)) {
            self.pid = pid;
        }
        if let Some(error) = reply.get("error") {
            bail!("the update failed: {error}");
        }
        while let Ok(Some(_)) = wait(WaitOptions::NOHANG) {}
        Ok(())
    }

    /// When the last update did what. Its answer may come before the guest is entered: they share a processor.
    pub(super) fn marks(&self) -> Result<Remembered> {
        let last = self.trace.begun().checked_sub(1);
        last.and_then(|nth| self.trace.remembered(nth)).context("the trace has forgotten the update")
    }

    /// Stops the guest, whose memory has to be what its counter says.
    pub(super) fn stop(self) -> Result<()> {
        let reply = self.ask(&["ask".to_owned(), "stop".to_owned()])?;
        if reply.get("ok") != Some("true") {
            let said = reply.get("error").or_else(|| reply.get("problems")).unwrap_or("it did not say why");
            bail!("the guest is not as it has to be: {said}");
        }
        Ok(())
    }

    fn ask(&self, words: &[String]) -> Result<Reply> {
        let mut words = words.to_vec();
        words.insert(1, format!("--dir={}", self.folder.path().display()));
        ask(&self.folder.control(), &words, PATIENCE).context("nobody answers")
    }
}

fn await_boot(child: &mut Child, folder: &Folder) -> Result<()> {
    let since = Instant::now();
    let question = ["ask".to_owned(), format!("--dir={}", folder.path().display()), "status".to_owned()];
    while ask(&folder.control(), &question, PATIENCE).is_err() {
        if let Some(status) = child.try_wait()? {
            bail!("the guest's program went away: {status}");
        }
        if since.elapsed() > PATIENCE {
            bail!("the guest does not boot");
        }
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// Waits until a program has left; one that does not is made to.
fn leave(pid: Pid) {
    for attempt in 0..150 {
        while let Ok(Some(_)) = wait(WaitOptions::NOHANG) {}
        if test_kill_process(pid).is_err() {
            return;
        }
        if attempt == 100 {
            let _gone = kill_process(pid, Signal::KILL);
        }
        thread::sleep(Duration::from_millis(20));
    }
}

impl Drop for Subject {
    fn drop(&mut self) {
        leave(self.pid);
    }
}
