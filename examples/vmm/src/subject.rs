//! The **subject** of the demo and of the benchmark: a guest whose VMM is a program of its own. It is asked through its
//! control socket, as anybody could, and gone when it is dropped, whether it booted or not.

use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};
use clap::ValueEnum;
use rustix::process::{
    Pid, Signal, WaitOptions, getpid, kill_process, set_child_subreaper, test_kill_process, wait, waitpid,
};
use tempfile::TempDir;

use crate::cli::{Carrier, Question, Shape};
use crate::control::{Reply, ask};
use crate::folder::Folder;
use crate::machine::Kind;
use crate::trace::{Mark, Remembered, Trace};

/// For a guest to boot, and for an answer: all of memory may have to be written or compared.
const PATIENCE: Duration = Duration::from_mins(5);
/// For the thread of a vCPU to wake up.
const ENTRY: Duration = Duration::from_secs(10);
/// Between two looks at a program that is to boot, or to leave; and after how many it is killed, and given up.
const GLANCE: Duration = Duration::from_millis(20);
const KILL_AFTER: u32 = 50;
const GIVE_UP_AFTER: u32 = 150;

/// See the room's head.
pub(crate) struct Subject {
    folder: Folder,
    trace: Trace,
    program: Program,
    // Removed when all else is gone.
    _home: TempDir,
}

/// The program that has the guest. It leaves, or is killed, before this is dropped.
struct Program(Pid);

impl Subject {
    /// Starts one in a folder whose name begins so, and waits until its guest runs.
    ///
    /// # Errors
    ///
    /// What kept it from running. No program is left then.
    pub(crate) fn start(name: &str, shape: Shape, kind: Kind) -> Result<Self> {
        // Successors are orphans when their predecessors leave: they become ours.
        set_child_subreaper(Some(getpid()))?;
        let home = tempfile::Builder::new().prefix(name).tempdir()?;
        let folder = Folder::open(home.path())?;
        let mut child = Command::new(std::env::current_exe()?)
            .arg("run")
            .arg(format!("--dir={}", folder.path().display()))
            .arg(format!("--memory={}", shape.memory))
            .arg(format!("--vcpus={}", shape.vcpus))
            .arg(format!("--guest={}", word(&kind)?))
            .arg(format!("--backing={}", word(&shape.backing)?))
            .arg(format!("--retrieve={}", word(&shape.retrieve)?))
            .stdin(Stdio::null())
            .spawn()?;
        let program = Program::of(&child)?;
        await_boot(&mut child, &folder)?;
        let trace = Trace::open(&folder.trace())?;
        Ok(Self { folder, trace, program, _home: home })
    }

    /// The number of the program that has the guest.
    pub(crate) const fn pid(&self) -> u32 {
        self.program.0.as_raw_nonzero().get().unsigned_abs()
    }

    /// Asks for an update. What is answered may be that it failed.
    pub(crate) fn update(&mut self, carrier: Carrier, options: &[String]) -> Result<Reply> {
        let words = ["update".to_owned(), dir(&self.folder), format!("--carrier={}", word(&carrier)?)];
        let words = [&words, options].concat();
        let reply = ask(&self.folder.control(), &words, PATIENCE).context("nobody answers")?;
        if let Some(pid) = reply.number("pid").and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?)) {
            self.program.0 = pid;
        }
        while let Ok(Some(_)) = wait(WaitOptions::NOHANG) {}
        Ok(reply)
    }

    /// Asks something.
    pub(crate) fn ask(&self, what: Question) -> Result<Reply> {
        ask(&self.folder.control(), &question(what, &self.folder)?, PATIENCE).context("nobody answers")
    }

    /// When update `nth`, counted from 0, did what. Whoever asked for it is answered while the threads of the vCPUs are
    /// being woken: waits for the first.
    pub(crate) fn marks(&self, nth: u64) -> Option<Remembered> {
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

/// A choice as the command line has it.
fn word(choice: &impl ValueEnum) -> Result<String> {
    let value = choice.to_possible_value().ok_or_else(|| anyhow!("a choice without a name"))?;
    Ok(value.get_name().to_owned())
}

fn dir(folder: &Folder) -> String {
    format!("--dir={}", folder.path().display())
}

fn question(what: Question, folder: &Folder) -> Result<[String; 3]> {
    Ok(["ask".to_owned(), dir(folder), word(&what)?])
}

fn await_boot(child: &mut Child, folder: &Folder) -> Result<()> {
    let since = Instant::now();
    let question = question(Question::Status, folder)?;
    while ask(&folder.control(), &question, PATIENCE).is_err() {
        if let Some(status) = child.try_wait()? {
            bail!("the guest's program went away: {status}");
        }
        if since.elapsed() > PATIENCE {
            bail!("the guest does not boot");
        }
        thread::sleep(GLANCE);
    }
    Ok(())
}

impl Program {
    fn of(child: &Child) -> Result<Self> {
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        pid.map(Self).context("no such process")
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // One that was asked to stop is about to leave; one that was not is not wanted any more.
        for glance in 0..GIVE_UP_AFTER {
            let _not_ours_or_not_yet = waitpid(Some(self.0), WaitOptions::NOHANG);
            if test_kill_process(self.0).is_err() {
                return;
            }
            if glance == KILL_AFTER {
                let _gone = kill_process(self.0, Signal::KILL);
            }
            thread::sleep(GLANCE);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_is_given_up_does_not_go_on() {
        let mut child = Command::new("sleep").arg("600").spawn().unwrap();
        let program = Program::of(&child).unwrap();
        let pid = program.0;
        drop(program);
        assert!(test_kill_process(pid).is_err());
        assert!(child.wait().is_err(), "it was waited for");
    }
}
