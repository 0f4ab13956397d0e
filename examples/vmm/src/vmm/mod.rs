//! The VMM: a program that runs one guest, answers requests, and is replaced while the guest goes on.
//!
//! - It **begins** with fresh memory ([`begin`]), or **takes over** what another program hands over ([`succeed`]).
//! - It **serves** until it is told to stop, or another program has taken over ([`update`]).

mod audit;
mod begin;
mod parts;
mod sabotage;
mod saboteur;
mod succeed;
mod update;

use std::fs::File;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use clap::Parser as _;
use luo_core::{Luo, Updated};
use luo_kho::process::{Control, ProcessKho, Request};
use luo_kho::{Kho as _, Owned};
use parking_lot::Mutex;

use crate::cli::{Cli, Command, Question, Run};
use crate::control::{self, Reply};
use crate::folder::Folder;
use crate::machine::Saved;
use crate::trace::Trace;

pub(crate) use sabotage::Sabotage;

/// Between two looks whether somebody asks, at most.
const WAIT: Duration = Duration::from_hours(1);
/// Before the next look, if looking failed.
const DEAF: Duration = Duration::from_millis(100);

/// A program that has the guest.
struct Vmm {
    luo: Keeper,
    /// Why it can take part in no further update.
    unfit: Option<String>,
    /// The right to run the guest; `None` only while an update has it.
    owned: Option<Owned>,
    saved: Arc<Mutex<Saved>>,
    trace: Arc<Trace>,
    serial: File,
    control: Control,
    folder: Folder,
    run: Run,
}

/// The orchestrator, where it is after an update.
enum Keeper {
    Luo(Box<Luo<ProcessKho>>),
    /// It could not let go of what carried the last update.
    Updated(Box<Updated<ProcessKho>>),
}

impl Keeper {
    const fn luo(&self) -> &Luo<ProcessKho> {
        match self {
            Self::Luo(luo) => luo,
            Self::Updated(updated) => updated.luo(),
        }
    }

    fn luo_mut(&mut self) -> &mut Luo<ProcessKho> {
        match self {
            Self::Luo(luo) => luo,
            Self::Updated(updated) => updated.luo_mut(),
        }
    }
}

/// Whether to go on serving.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    GoOn,
    /// The guest has stopped for good.
    Leave,
    /// Another program has it.
    Depart,
}

/// `luo-vmm run`: begins, or takes over, and serves.
///
/// # Errors
///
/// What kept it from having the guest, or from going on with it.
pub(crate) fn run(run: Run) -> Result<()> {
    if let Some(arrival) = luo_kho::process::arrive()? {
        let folder = Folder::known(&run.dir);
        return succeed::by_exec(arrival, run, folder)?.serve();
    }
    let folder = Folder::open(&run.dir).context("the folder cannot be used")?;
    let vmm = if let Some(predecessor) = run.succeed {
        succeed::by_socket(run, folder, predecessor)?
    } else {
        begin::begin(run, folder)?
    };
    vmm.serve()
}

impl Vmm {
    fn serve(mut self) -> Result<()> {
        loop {
            let request = self.control.next(WAIT).unwrap_or_else(|error| {
                // Too many descriptors, or too little memory: no reason for the guest to stop.
                eprintln!("luo-vmm: nobody can be heard for now: {error}");
                thread::sleep(DEAF);
                None
            });
            match request.map_or(Ok(Next::GoOn), |request| self.answer(request))? {
                Next::GoOn => {}
                Next::Leave => return Ok(()),
                Next::Depart => {
                    // The socket's file is the successor's now.
                    self.control.into_listener().keep();
                    return Ok(());
                }
            }
        }
    }

    /// Does what is asked for. An error is one after which the guest cannot go on here.
    fn answer(&mut self, request: Request) -> Result<Next> {
        // A request is a command line.
        let words = ["luo-vmm".to_owned()].into_iter().chain(control::words(&request).unwrap_or_default());
        let reply = match Cli::try_parse_from(words).map(|cli| cli.command) {
            Ok(Command::Update(update)) => return self.update(&update, request),
            Ok(Command::Ask(ask)) => match ask.what {
                Question::Stop => {
                    let reply = self.stop()?;
                    control::answer(request, &reply);
                    return Ok(Next::Leave);
                }
                Question::Status => self.status(),
                Question::Verify => self.while_stopped(audit::verify)?,
                Question::Hash => self.while_stopped(audit::hash)?,
            },
            Ok(Command::Demo(_) | Command::Run(_) | Command::Bench(_) | Command::Floor(_)) => {
                Reply::error("that is nothing to ask of a VMM")
            }
            Err(error) => Reply::error(error.render()),
        };
        control::answer(request, &reply);
        Ok(Next::GoOn)
    }

    /// Lets the guest run again, where it was before something came to nothing.
    fn resume(&mut self, owned: Owned) -> Result<()> {
        let mut saved = self.saved.lock();
        let machine = saved.machine.as_mut().ok_or_else(|| anyhow!("there is no machine"))?;
        if !machine.is_running() {
            machine.run(&owned)?;
        }
        self.owned = Some(owned);
        Ok(())
    }

    /// Stops the guest, looks, and lets it run again.
    fn while_stopped(&mut self, look: impl FnOnce(&Saved) -> Reply) -> Result<Reply> {
        let owned = self.owned.take().ok_or_else(|| anyhow!("the guest is not ours"))?;
        let stopped = {
            let mut saved = self.saved.lock();
            let machine = saved.machine.as_mut().ok_or_else(|| anyhow!("there is no machine"))?;
            machine.stop()
        };
        let reply = match stopped {
            Ok(_) => look(&self.saved.lock()),
            Err(error) => Reply::error(error),
        };
        self.resume(owned)?;
        Ok(reply)
    }

    fn status(&self) -> Reply {
        let status = audit::status(&self.saved.lock());
        self.about(status)
    }

    /// Adds who answers.
    fn about(&self, reply: Reply) -> Reply {
        let reply = reply
            .with("pid", std::process::id())
            .with("vmm_version", self.run.vmm_version)
            .with("generation", self.luo.luo().memory().generation())
            .with("updates", self.trace.begun());
        let census = self.luo.luo().memory().census().map(|frames| frames.get().to_string());
        let reply = reply.with("frames_free_used_own", census.join(" "));
        match &self.unfit {
            Some(why) => reply.with("unfit", why),
            None => reply,
        }
    }

    /// Stops the guest for good.
    fn stop(&mut self) -> Result<Reply> {
        let reply = self.while_stopped(audit::verify)?;
        let mut saved = self.saved.lock();
        if let Some(mut machine) = saved.machine.take() {
            machine.stop()?;
        }
        Ok(reply.with("pid", std::process::id()))
    }
}
