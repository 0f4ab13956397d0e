//! One test, and the process that watches over it.
//!
//! - The **supervisor** is a process for one test. Whoever the test starts and forgets becomes its child, so that
//!   nobody gets away; when the supervisor ends, nobody of the test is left.
//! - The **holder** is what becomes the test: it waits until it is traced, and only then starts the test's program.
//! - A **finding** is what is wrong with the way in which the test ended, in one line.
//!
//! The test's own process is traced for one moment only: when it has decided to exit and still has everything. What it
//! holds then it did not give back ([`census`]). Processes that it started are not traced.

mod census;
mod orphans;

use core::time::Duration;
use std::fs::OpenOptions;
use std::io::{self, Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};

use anyhow::{Context as _, Result};
use nix::errno::Errno;
use nix::sys::prctl;
use nix::sys::ptrace;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use census::Census;

/// This program, also where its file has been replaced by a newer build meanwhile.
pub(crate) const OURSELVES: &str = "/proc/self/exe";

/// The exit code of a supervisor that has findings.
pub(crate) const FOUND: u8 = 1;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// When the test hangs, in milliseconds
    #[arg(long, value_name = "N")]
    deadline_ms: u64,
    /// The file that gets what the test says
    #[arg(long, value_name = "FILE")]
    output: PathBuf,
    /// The test
    #[arg(last = true, required = true)]
    command: Vec<std::ffi::OsString>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Held {
    #[arg(last = true, required = true)]
    command: Vec<std::ffi::OsString>,
}

/// How the test's own process ended.
enum End {
    Exited(i32),
    Killed(Signal),
}

/// Runs the test. Each finding is a line on standard output; the exit code says whether there are any.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let findings = supervise(options)?;
    for finding in &findings {
        println!("{finding}");
    }
    Ok(if findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(FOUND) })
}

/// Becomes the test, as soon as somebody says so.
pub(crate) fn hold(held: &Held) -> Result<ExitCode> {
    // Whoever ends the supervisor ends the test.
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    io::stdin().read_exact(&mut [0]).context("the supervisor is gone")?;
    let error = command(&held.command)?.stdin(Stdio::null()).exec();
    Err(error).context("the test does not start")
}

fn command(words: &[std::ffi::OsString]) -> Result<Command> {
    let (program, arguments) = words.split_first().context("no program")?;
    let mut command = Command::new(program);
    command.args(arguments);
    Ok(command)
}

fn supervise(options: &Options) -> Result<Vec<String>> {
    prctl::set_child_subreaper(true)?;
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    let inherited = census::inherited()?;
    let mut held = start(options)?;
    let test = Pid::from_raw(i32::try_from(held.id())?);
    let traced = ptrace::seize(test, ptrace::Options::PTRACE_O_TRACEEXIT);
    held.stdin.take().context("it has an input")?.write_all(b"!").context("the holder is gone")?;
    let (watch, dog) = watchdog(test, Duration::from_millis(options.deadline_ms));
    let (end, census) = follow(test)?;
    drop(watch);
    let hung = dog.join().unwrap_or(false);
    let mut findings = Vec::new();
    match end {
        _ if hung => findings.push(format!("hung: it was killed after {} ms", options.deadline_ms)),
        End::Exited(0) => match (traced, census) {
            (Ok(()), Some(census)) => findings.extend(census.beyond(&inherited)),
            (Ok(()), None) => findings.push("its end was not seen, so nobody knows what it held".to_owned()),
            (Err(error), _) => println!("{UNTRACED}{error}"),
        },
        End::Exited(code) => findings.push(format!("exit code {code}")),
        End::Killed(signal) => findings.push(format!("crashed: {signal}")),
    }
    findings.extend(orphans::end_all()?);
    Ok(findings)
}

/// How the line begins that says why descriptors are not counted here.
pub(crate) const UNTRACED: &str = "descriptors are not counted: ";

fn start(options: &Options) -> Result<Child> {
    let output = OpenOptions::new().create(true).append(true).open(&options.output);
    let output = output.with_context(|| format!("cannot write {}", options.output.display()))?;
    let mut holder = Command::new(OURSELVES);
    holder.arg("hold").arg("--").args(&options.command);
    holder.stdin(Stdio::piped()).stdout(output.try_clone()?).stderr(output);
    // Of its own, so that what the test sends to its group does not reach us.
    holder.process_group(0).spawn().context("the holder does not start")
}

/// Kills the test at the deadline, unless the sender is dropped before. The thread says whether it did.
fn watchdog(test: Pid, deadline: Duration) -> (Sender<()>, JoinHandle<bool>) {
    let (watch, over) = channel::<()>();
    let dog = thread::spawn(move || {
        // Nobody has waited for the test yet, so that its number is still its own.
        over.recv_timeout(deadline) == Err(RecvTimeoutError::Timeout) && kill(test, Signal::SIGKILL).is_ok()
    });
    (watch, dog)
}

/// Waits for the end of the test. On the way it passes on the signals that the trace stops, looks at what the test
/// holds when it exits, and reaps whoever else ends.
fn follow(test: Pid) -> Result<(End, Option<Census>)> {
    let mut census = None;
    loop {
        let status = match waitpid(None, Some(WaitPidFlag::__WALL)) {
            Err(Errno::EINTR) => continue,
            status => status.context("cannot wait")?,
        };
        match status {
            WaitStatus::Exited(pid, code) if pid == test => return Ok((End::Exited(code), census)),
            WaitStatus::Signaled(pid, signal, _) if pid == test => return Ok((End::Killed(signal), census)),
            WaitStatus::PtraceEvent(pid, _, event) => {
                if pid == test && event == ptrace::Event::PTRACE_EVENT_EXIT as i32 {
                    census = Some(Census::take(pid)?);
                }
                let _killed_meanwhile = ptrace::cont(pid, None);
            }
            WaitStatus::Stopped(pid, signal) => {
                let _killed_meanwhile = ptrace::cont(pid, signal);
            }
            _ => {}
        }
    }
}
