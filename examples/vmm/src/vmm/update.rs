//! An update, as the program sees it that has the guest: it prepares, stops the guest, hands over, and leaves; or it
//! goes on as if nothing had been.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};
use clap::ValueEnum as _;
use luo_core::{Manifest, PhaseError, Stuck, WritePolicy};
use luo_kho::Owned;
use luo_kho::carrier::Carrier;
use luo_kho::process::{Exec, LineError, ProcessKho, Request, Socket, WayBack};
use std::os::fd::{AsFd as _, BorrowedFd};

use super::sabotage::{Sabotage, allow_descriptors, few_descriptors};
use super::saboteur::Saboteur;
use super::succeed::terms;
use super::{Next, Vmm, audit, parts};
use crate::cli::{self, Limits, Run, Update};
use crate::control::{self, Reply};
use crate::folder::Folder;
use crate::machine::Saved;
use crate::told;
use crate::trace::Mark;

/// For the successor to call, from when it was started.
const CALL: Duration = Duration::from_secs(20);
/// Between two looks whether it is still alive.
const LOOK: Duration = Duration::from_millis(50);
/// Between the preparation and the pause: two time slices of the scheduler. Where the guest shares a processor with
/// whoever prepared, it is due for some time; without it the last wait of the preparation would be a part of the pause.
const BREATH: Duration = Duration::from_millis(6);

/// Why the old program was started again, for whoever asked for the update.
pub(super) fn came_back(back: &WayBack) -> String {
    match back {
        WayBack::Refused { reason } => format!("the new program refused: {reason}"),
        WayBack::Died => "the new program died before it committed".to_owned(),
        WayBack::Late => "the new program did not commit in time".to_owned(),
        other => format!("the old program came back: {other:?}"),
    }
}

/// For tests: writes down a hash of guest memory. The guest has stopped.
pub(super) fn note_hash(folder: &Folder, saved: &Saved, moment: &str) {
    let Some(machine) = &saved.machine else { return };
    let line = format!("{} {moment} {}\n", std::process::id(), audit::hashes(machine));
    let file = OpenOptions::new().create(true).append(true).open(folder.hashes());
    if let Err(error) = file.and_then(|mut file| file.write_all(line.as_bytes())) {
        eprintln!("luo-vmm: the hash cannot be noted: {error}");
    }
}

/// The arguments with which a program goes on with this guest.
fn arguments(run: &Run) -> Vec<String> {
    let mut arguments = vec![
        "run".to_owned(),
        format!("--dir={}", run.dir.display()),
        format!("--memory={}", run.shape.memory),
        format!("--vcpus={}", run.shape.vcpus),
        format!("--vmm-version={}", run.vmm_version),
    ];
    let mut named = |option: &str, value: Option<clap::builder::PossibleValue>| {
        arguments.extend(value.map(|value| format!("--{option}={}", value.get_name())));
    };
    named("backing", run.shape.backing.to_possible_value());
    named("retrieve", run.shape.retrieve.to_possible_value());
    named("guest", run.shape.guest.and_then(|kind| kind.to_possible_value()));
    named("sabotage", run.sabotage.and_then(|sabotage| sabotage.to_possible_value()));
    let Limits { blackout_ms, warm_up_ms } = run.limits;
    arguments.extend(blackout_ms.map(|ms| format!("--blackout-ms={ms}")));
    arguments.extend(warm_up_ms.map(|ms| format!("--warm-up-ms={ms}")));
    arguments.extend(run.succeed.map(|process| format!("--succeed={process}")));
    arguments.extend(run.hash.then(|| "--hash".to_owned()));
    arguments
}

/// How an attempt to hand over ended.
enum Crossing {
    /// Another program has the guest.
    Left,
    /// This one still has it, and it may run.
    Stayed { owned: Owned, error: Box<PhaseError> },
    /// The guest is elsewhere, or nobody can say where it is.
    Lost(anyhow::Error),
}

/// A program that was started to succeed, and is to be got rid of if it does not.
struct Candidate(Option<Child>);

impl Drop for Candidate {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            let _exited_already = child.kill();
            let _never = child.wait();
        }
    }
}

impl Vmm {
    /// Does an update. Whoever asked is answered by the program that has the guest afterwards.
    pub(super) fn update(&mut self, update: &Update, caller: Request) -> Result<Next> {
        self.trace.begin();
        let limit = few_descriptors(update.sabotage_near);
        let attempt = match (&self.unfit, update.carrier) {
            (Some(why), _) => Err(anyhow!("the last update was not settled: {why}")),
            (None, cli::Carrier::Exec) => self.by_exec(update, &caller),
            (None, cli::Carrier::Socket) => self.by_socket(update, &caller),
        };
        if let Some(limit) = limit {
            allow_descriptors(limit);
        }
        match attempt {
            Ok(()) => return Ok(Next::Depart),
            Err(error) if self.owned.is_none() => return Err(error),
            Err(error) => {
                self.trace.mark(Mark::Failed);
                control::answer(caller, &self.about(Reply::error(told(&error))));
            }
        }
        Ok(Next::GoOn)
    }

    /// What the successor is to be.
    fn successor(&self, update: &Update) -> Result<(PathBuf, Run)> {
        let program = update.program.clone();
        let program = program.map_or_else(std::env::current_exe, Ok).context("this program has no path")?;
        let kind = self.saved.lock().machine.as_ref().map(crate::machine::Machine::kind);
        let mut run = self.run.clone();
        run.dir = self.folder.path().to_path_buf();
        run.shape.guest = kind;
        run.vmm_version = update.vmm_version;
        run.sabotage = update.sabotage;
        run.limits = update.limits;
        run.hash = update.hash;
        run.succeed = (update.carrier == cli::Carrier::Socket).then(std::process::id);
        Ok((program, run))
    }

    /// What crosses beside the guest, by name.
    fn goods<'a>(&'a self, caller: &'a Request) -> Result<[(&'static str, BorrowedFd<'a>); 4]> {
        let trace = self.trace.file().context("the trace has no file")?;
        Ok([
            (parts::CONTROL, self.control.as_fd()),
            (parts::CALLER, caller.as_fd()),
            (parts::TRACE, trace.as_fd()),
            (parts::SERIAL, self.serial.as_fd()),
        ])
    }

    fn by_exec(&mut self, update: &Update, caller: &Request) -> Result<()> {
        let (program, run) = self.successor(update)?;
        let back = Run { vmm_version: self.run.vmm_version, sabotage: None, succeed: None, ..run.clone() };
        let mut exec =
            Exec::new(program).with_arguments(arguments(&run)).with_arguments_back(arguments(&back));
        if let Some(ms) = update.limits.blackout_ms {
            exec = exec.with_blackout(Duration::from_millis(ms));
        }
        for (name, file) in self.goods(caller)? {
            exec.carry(name, file)?;
        }
        // Nobody can ask the program what it reads: it is not there yet.
        self.luo.luo_mut().set_policy(if update.newest_only {
            WritePolicy::newest()
        } else {
            WritePolicy::every()
        });
        self.hand_over(&mut Saboteur::new(exec, update.sabotage_near), update)
    }

    fn by_socket(&mut self, update: &Update, caller: &Request) -> Result<()> {
        let (program, run) = self.successor(update)?;
        let mut terms = terms(update.limits);
        terms.call = LOOK;
        let mut socket = Socket::bind(self.folder.handover(std::process::id()))?.with_terms(terms);
        for (name, file) in self.goods(caller)? {
            socket.carry(name, file)?;
        }
        let mut candidate = start(&program, &run)?;
        let manifest = await_call(&mut socket, &mut candidate)?;
        let policy = if update.newest_only {
            WritePolicy::newest()
        } else {
            WritePolicy::newest().for_successor(manifest)
        };
        self.luo.luo_mut().set_policy(policy);
        let attempt = self.hand_over(&mut Saboteur::new(socket, update.sabotage_near), update);
        // Who has the guest is nobody's child any more; and a test wants to see who comes late.
        if attempt.is_ok() || self.owned.is_none() || update.sabotage == Some(Sabotage::CommitLate) {
            candidate.0 = None;
        }
        attempt
    }

    /// Prepares, freezes, hands over. If it fails, the guest runs here again; unless the right to run it is gone.
    fn hand_over(&mut self, carrier: &mut dyn Carrier<ProcessKho>, update: &Update) -> Result<()> {
        let owned = self.owned.take().ok_or_else(|| anyhow!("the guest is not ours"))?;
        match self.cross(carrier, owned, update) {
            Crossing::Left => Ok(()),
            Crossing::Stayed { owned, error } => {
                self.resume(owned)?;
                Err(error.into())
            }
            Crossing::Lost(error) => Err(error),
        }
    }

    fn cross(&mut self, carrier: &mut dyn Carrier<ProcessKho>, owned: Owned, update: &Update) -> Crossing {
        let prepared = match self.luo.luo_mut().prepare(carrier) {
            Ok(prepared) => prepared,
            Err(error) => return Crossing::Stayed { owned, error },
        };
        self.trace.mark(Mark::Prepared);
        thread::sleep(BREATH);
        let frozen = match prepared.freeze(owned) {
            Ok(frozen) => frozen,
            Err(Stuck { kept: (_prepared, owned), error }) => return Crossing::Stayed { owned, error },
        };
        self.trace.mark(Mark::Frozen);
        if update.hash {
            note_hash(&self.folder, &self.saved.lock(), "frozen");
        }
        let Stuck { kept: frozen, error } = match frozen.hand_over() {
            Ok(_departed) => return Crossing::Left,
            Err(stuck) => stuck,
        };
        if update.hash {
            note_hash(&self.folder, &self.saved.lock(), "taken back");
        }
        match frozen.cancel() {
            Ok(owned) => Crossing::Stayed { owned, error },
            Err(gone) => Crossing::Lost(anyhow!(gone.error).context(error)),
        }
    }
}

fn start(program: &Path, run: &Run) -> Result<Candidate> {
    let mut command = Command::new(program);
    command.args(arguments(run)).stdin(Stdio::null());
    let child = command.spawn().with_context(|| format!("{} cannot be started", program.display()))?;
    Ok(Candidate(Some(child)))
}

/// Waits until the successor has called, and no longer than it lives.
fn await_call(socket: &mut Socket, candidate: &mut Candidate) -> Result<Manifest> {
    let since = Instant::now();
    loop {
        match socket.await_successor() {
            Ok(manifest) => return Ok(Manifest::from_bytes(manifest)?),
            Err(LineError::Deadline { .. }) if since.elapsed() < CALL => {}
            Err(error) => return Err(error.into()),
        }
        let child = candidate.0.as_mut().ok_or_else(|| anyhow!("nobody was started"))?;
        if let Some(status) = child.try_wait()? {
            bail!("the successor went away before it called: {status}");
        }
    }
}
