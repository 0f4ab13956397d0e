//! The guest of the demo: a program that is asked through its control socket, and got rid of in the end.

use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};
use clap::ValueEnum as _;
use rustix::process::{
    Pid, Signal, WaitOptions, getpid, kill_process, set_child_subreaper, test_kill_process, wait,
};
use tempfile::TempDir;

use super::timeline::name;
use crate::cli::{Carrier, Demo};
use crate::control::{Reply, ask};
use crate::folder::Folder;
use crate::machine::Kind;
use crate::trace::{Mark, Remembered, Trace};

/// For a guest to boot: the pattern is written over all of its memory.
const BOOT: Duration = Duration::from_mins(5);
/// For an answer: all of memory may have to be populated, or compared.
const ANSWER: Duration = Duration::from_mins(5);

/// For the thread of a vCPU to wake up.
const ENTRY: Duration = Duration::from_secs(10);

/// See the room's head.
pub(super) struct Guest {
    folder: Folder,
    trace: Trace,
    /// The program that has the guest.
    pid: Option<Pid>,
    // Removed when all else is gone.
    _home: TempDir,
}

impl Guest {
    /// Starts one, and waits until it runs.
    pub(super) fn start(demo: &Demo, kind: Kind) -> Result<Self> {
        // Successors are orphans when their predecessors leave: they become ours.
        set_child_subreaper(Some(getpid()))?;
        let home = tempfile::Builder::new().prefix("luo-vmm-").tempdir()?;
        let folder = Folder::open(home.path())?;
        let kind = kind.to_possible_value().ok_or_else(|| anyhow!("a guest without a name"))?;
        let backing = demo.shape.backing.to_possible_value();
        let backing = backing.ok_or_else(|| anyhow!("memory of no sort"))?;
        let retrieve =
            demo.shape.retrieve.to_possible_value().ok_or_else(|| anyhow!("a way without a name"))?;
        let mut child = Command::new(std::env::current_exe()?)
            .arg("run")
            .arg("--dir")
            .arg(folder.path())
            .args(["--memory", &demo.shape.memory.to_string()])
            .args(["--vcpus", &demo.shape.vcpus.to_string()])
            .args(["--guest", kind.get_name()])
            .args(["--backing", backing.get_name()])
            .args(["--retrieve", retrieve.get_name()])
            .stdin(Stdio::null())
            .spawn()?;
        let since = Instant::now();
        while ask(&folder.control(), &question("status", &folder), ANSWER).is_err() {
            if let Some(status) = child.try_wait()? {
                bail!("the guest's program went away: {status}");
            }
            if since.elapsed() > BOOT {
                bail!("the guest does not boot");
            }
            thread::sleep(Duration::from_millis(20));
        }
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let trace = Trace::open(&folder.trace())?;
        Ok(Self { folder, trace, pid, _home: home })
    }

    /// Asks for an update.
    pub(super) fn update(&mut self, carrier: Carrier, version: u16) -> Result<Reply> {
        let mut words = vec!["update".to_owned(), format!("--dir={}", self.folder.path().display())];
        words.push(format!("--carrier={}", name(carrier)));
        words.push(format!("--vmm-version={version}"));
        let reply = ask(&self.folder.control(), &words, ANSWER).context("nobody answers")?;
        let pid = reply.number("pid").and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
        self.pid = pid.or(self.pid);
        reap();
        Ok(reply)
    }

    /// Asks for a look at everything.
    pub(super) fn verify(&self) -> Result<Reply> {
        ask(&self.folder.control(), &question("verify", &self.folder), ANSWER).context("nobody answers")
    }

    /// Asks for a last look, and for the end.
    pub(super) fn stop(&mut self) -> Result<Reply> {
        let reply = ask(&self.folder.control(), &question("stop", &self.folder), ANSWER);
        reply.context("nobody answers")
    }

    /// When update `nth`, counted from 0, did what. Whoever asked for it is answered while the threads of the vCPUs are
    /// being woken: waits for the first.
    pub(super) fn marks(&self, nth: u64) -> Option<Remembered> {
        let since = Instant::now();
        loop {
            let marks = self.trace.remembered(nth)?;
            let over = marks.at(Mark::Entered).or(marks.at(Mark::Failed)).is_some();
            if over || since.elapsed() > ENTRY {
                return Some(marks);
            }
            thread::sleep(Duration::from_millis(1));
        }
    }
}

fn question(what: &str, folder: &Folder) -> [String; 3] {
    ["ask".to_owned(), format!("--dir={}", folder.path().display()), what.to_owned()]
}

/// Lets go of children that are gone.
fn reap() {
    while let Ok(Some(_)) = wait(WaitOptions::NOHANG) {}
}

impl Drop for Guest {
    fn drop(&mut self) {
        let Some(pid) = self.pid else { return };
        // A program that was asked to stop is about to leave; one that was not is not wanted any more.
        for attempt in 0..100 {
            reap();
            if test_kill_process(pid).is_err() {
                return;
            }
            if attempt == 50 {
                let _gone = kill_process(pid, Signal::KILL);
            }
            thread::sleep(Duration::from_millis(20));
        }
    }
}
