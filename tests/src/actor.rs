//! Programs in processes of their own, and how a test speaks with them.
//!
//! An [`Actor`] is a `process-actor` that was started here: it is told what to do and answers each order with one line.
//! When the guardian brings the old program back, it answers in another process; the test notices by what it says.
#![expect(clippy::unwrap_used, clippy::missing_errors_doc, reason = "what goes wrong in a test panics")]

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{
    Pid, PidfdFlags, Signal, WaitOptions, pidfd_open, pidfd_send_signal, set_child_subreaper, waitpid,
};

/// Longer than anything takes that does not hang.
const PATIENCE: Duration = Duration::from_mins(1);

/// A program that takes orders.
#[derive(Debug)]
pub struct Actor {
    child: Child,
    orders: Option<ChildStdin>,
    answers: Receiver<String>,
    /// Reads answers until nobody holds the other end.
    reader: Option<JoinHandle<()>>,
    /// Processes that answered in its place.
    others: Vec<Pid>,
}

/// What `state` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// Its process.
    pub pid: i32,
    /// Open descriptors.
    pub open: u64,
    /// Those above standard error that exec would not close.
    pub crossing: u64,
    /// Blocked signals.
    pub blocked: String,
    /// Ignored signals.
    pub ignored: String,
    /// Blocks of 512 bytes that its arena takes.
    pub blocks: u64,
}

/// A folder that goes with the test.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// An empty folder with the name of the test in it.
    pub fn new(test: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("luo-{test}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    /// A path in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _gone_already = std::fs::remove_dir_all(&self.0);
    }
}

impl Actor {
    /// Starts one. `program` is the binary of the actor, `env!("CARGO_BIN_EXE_process-actor")` in a test.
    pub fn start(program: impl AsRef<Path>) -> Self {
        Self::start_by(Command::new(program.as_ref()))
    }

    /// Starts one as another user, which only root may do.
    pub fn start_as(program: impl AsRef<Path>, user: u32) -> Self {
        let mut command = Command::new(program.as_ref());
        command.uid(user).gid(user);
        Self::start_by(command)
    }

    /// Starts one with this variable in its environment.
    pub fn start_with(program: impl AsRef<Path>, name: &str, value: impl AsRef<OsStr>) -> Self {
        let mut command = Command::new(program.as_ref());
        command.env(name, value);
        Self::start_by(command)
    }

    fn start_by(mut command: Command) -> Self {
        // Whoever loses its parent becomes a child of this process, which ends it when the test is over.
        set_child_subreaper(Some(rustix::process::getpid())).unwrap();
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (orders, out) = (child.stdin.take(), child.stdout.take().unwrap());
        let (sender, answers) = channel();
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(out).lines() {
                let Ok(line) = line else { break };
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Self { child, orders, answers, reader: Some(reader), others: Vec::new() }
    }

    /// The process that was started.
    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Gives an order and does not wait for the answer.
    pub fn order(&mut self, order: &str) {
        let orders = self.orders.as_mut().unwrap();
        let _dead = orders.write_all(format!("{order}\n").as_bytes());
    }

    /// The next answer.
    pub fn hear(&mut self) -> Result<String, String> {
        match self.answers.recv_timeout(PATIENCE) {
            Ok(line) => match line.split_once(' ') {
                Some(("ok", text)) => Ok(text.to_owned()),
                Some(("error", text)) => Err(text.to_owned()),
                _ => panic!("what does `{line}` mean?"),
            },
            Err(RecvTimeoutError::Timeout) => panic!("{:?} hangs", self.child),
            Err(RecvTimeoutError::Disconnected) => {
                panic!("{:?} is gone, and nobody answers for it", self.child)
            }
        }
    }

    /// Gives an order, and waits for the answer.
    pub fn ask(&mut self, order: &str) -> Result<String, String> {
        self.order(order);
        self.hear()
    }

    /// Gives orders that are carried out; the last answer.
    #[track_caller]
    pub fn tell(&mut self, orders: &[&str]) -> String {
        let mut last = String::new();
        for order in orders {
            last = self.ask(order).unwrap_or_else(|error| panic!("`{order}`: {error}"));
        }
        last
    }

    /// What it says about itself. From now on the process that answered is ended with the test.
    pub fn state(&mut self) -> State {
        let text = self.tell(&["state"]);
        let field = |name: &str| {
            let mut fields = text.split_whitespace().filter_map(|field| field.split_once('='));
            fields.find(|(key, _)| *key == name).unwrap().1.to_owned()
        };
        let number = |name: &str| field(name).parse().unwrap();
        let pid: i32 = field("pid").parse().unwrap();
        if pid != self.pid().as_raw_nonzero().get() {
            self.others.extend(Pid::from_raw(pid));
        }
        State {
            pid,
            open: number("open"),
            crossing: number("crossing"),
            blocked: field("blocked"),
            ignored: field("ignored"),
            blocks: number("blocks"),
        }
    }

    /// Kills the process that was started, and waits until it is gone.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Whether nobody answers any more: the last process with the other end of the pipe is gone.
    pub fn is_silent(&mut self) -> bool {
        self.orders = None;
        matches!(self.answers.recv_timeout(PATIENCE), Err(RecvTimeoutError::Disconnected))
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        self.orders = None;
        let _dead_already = self.child.kill();
        let _reaped_already = self.child.wait();
        for other in self.others.drain(..) {
            // It is a child of this process by now, so that its number cannot have been given to anybody else.
            if let Ok(pidfd) = pidfd_open(other, PidfdFlags::empty()) {
                let _dead_already = pidfd_send_signal(pidfd, Signal::KILL);
                let _not_ours = waitpid(Some(other), WaitOptions::empty());
            }
        }
        // It holds the pipe. A guardian that noticed the death of its program lets go soon, and not at once.
        let _panicked = self.reader.take().map(JoinHandle::join);
    }
}

/// Kills a process that an actor started.
pub fn kill(pid: i32) {
    let pidfd = pidfd_open(Pid::from_raw(pid).unwrap(), PidfdFlags::empty()).unwrap();
    pidfd_send_signal(&pidfd, Signal::KILL).unwrap();
    await_death(pid);
}

/// Waits until a process is gone, or waits to be reaped.
pub fn await_death(pid: i32) {
    let begun = Instant::now();
    while !is_dead(pid) {
        assert!(begun.elapsed() < PATIENCE, "{pid} does not die");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Whether a process is gone, or waits to be reaped.
pub fn is_dead(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(") ").map(|(_, rest)| rest.chars().next());
    matches!(state, None | Some(Some('Z' | 'X')))
}
