//! The benchmark of the blackout: how long a guest stands still while its VMM is replaced. Nothing here is a test: it
//! measures, and says what it found.
//!
//! - A **subject** is a VMM with a guest of one vCPU, kept on one processor with all that belongs to it: [`Subject`].
//! - An **observer** on another processor watches the guest's counter: [`observer`].
//! - The **floor** is what the kernel takes for itself, measured between the updates: [`floor`].
//!
//! Each update follows a stretch of the same length without one, and is followed by one measurement of the floor. All
//! of it goes before others of the host, if that is allowed.

mod floor;
mod observer;
mod table;

use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use clap::Args;

use crate::cli::{Carrier, Question, Shape, parse_size};
use crate::control::Reply;
use crate::machine::{Backing, Kind, Retrieve, available};
use crate::subject::Subject;
use crate::trace::{Mark, Remembered};

pub(crate) use floor::{Floor, run as run_floor};

use floor::{Near, creation};
use observer::{Counter, Observer, go_first, pin};

/// Where the VMM and its guest are executed, and where the observer.
const VMM_ON: usize = 0;
const OBSERVER_ON: usize = 1;
/// The observer watches so long after an update.
const TAIL: Duration = Duration::from_millis(200);
/// For a guest that has just booted: until it is at its usual rate.
const SETTLE: Duration = Duration::from_secs(2);
/// Bytes that a guest takes beside its memory, in round numbers.
const BESIDE: u64 = 512 << 20;

/// `luo-vmm bench`.
#[derive(Debug, Args)]
pub(crate) struct Bench {
    /// Updates for each size of memory and each way across.
    #[arg(long, value_name = "N", default_value_t = 200)]
    updates: u64,
    /// Sizes of the guest's memory.
    #[arg(long, value_name = "SIZE,..", default_value = "1G,4G,8G", value_delimiter = ',', value_parser = parse_size)]
    memory: Vec<u64>,
    /// Ways across.
    #[arg(long, value_delimiter = ',', default_values = ["socket", "exec"])]
    carrier: Vec<Carrier>,
    /// What guest memory is made of: one after the other, to compare them in one run.
    #[arg(long, value_name = "SORT,..", value_delimiter = ',', default_values = ["memfd"])]
    backing: Vec<Backing>,
    /// What each new program makes of the guest_memfds that it gets.
    #[arg(long, value_name = "WAY", default_value = "map-old")]
    retrieve: Retrieve,
}

/// What was measured of one way across, at one size of memory. Times are in nanoseconds.
struct Measured {
    carrier: Carrier,
    backing: Backing,
    /// Whether guest memory is copied in each pause.
    copied: bool,
    /// Bytes of guest memory.
    memory: u64,
    blackouts: Vec<u64>,
    floors: Vec<u64>,
    /// The stall in which the blackout was, as the observer saw it.
    pauses: Vec<u64>,
    longest: Vec<u64>,
    quiet: Vec<u64>,
    back: Vec<u64>,
    prepared: Vec<u64>,
    /// The guest's rate during the preparation, in percent.
    percent: Vec<u64>,
    /// The parts of the blackout.
    phases: [(&'static str, Vec<u64>); 5],
}

/// The parts of the blackout: what they are, and where they begin. Each ends where the next begins.
const PHASES: [(&str, Mark, Mark); 5] = [
    ("  - stopped to frozen", Mark::Stopped, Mark::Frozen),
    ("  - frozen to adopted", Mark::Frozen, Mark::Adopted),
    ("  - adopted to restored", Mark::Adopted, Mark::Restored),
    ("  - restored to committed", Mark::Restored, Mark::Committed),
    ("  - committed to entered", Mark::Committed, Mark::Entered),
];

impl Measured {
    fn new(carrier: Carrier, backing: Backing, memory: u64) -> Self {
        Self {
            carrier,
            backing,
            copied: false,
            memory,
            blackouts: Vec::new(),
            floors: Vec::new(),
            pauses: Vec::new(),
            longest: Vec::new(),
            quiet: Vec::new(),
            back: Vec::new(),
            prepared: Vec::new(),
            percent: Vec::new(),
            phases: PHASES.map(|(name, ..)| (name, Vec::new())),
        }
    }

    fn note_marks(&mut self, marks: &Remembered) {
        self.blackouts.extend(marks.blackout());
        self.prepared.extend(marks.between(Mark::Asked, Mark::Prepared));
        for ((_, values), (_, from, to)) in self.phases.iter_mut().zip(PHASES) {
            values.extend(marks.between(from, to));
        }
    }
}

/// Measures, and prints tables. Says why where it cannot.
///
/// # Errors
///
/// What went wrong with a guest or an update; that something takes long is no error.
pub(crate) fn run(bench: &Bench) -> Result<ExitCode> {
    if let Err(why) = available() {
        println!("SKIPPED: {why}");
        return Ok(ExitCode::SUCCESS);
    }
    if thread::available_parallelism()?.get() < 2 {
        println!("SKIPPED: the observer needs a processor of its own");
        return Ok(ExitCode::SUCCESS);
    }
    pin(VMM_ON).context("the VMM cannot be kept on one processor")?;
    go_first();
    let mut near = Near::start()?;
    let mut all = Vec::new();
    for &memory in &bench.memory {
        if free().is_some_and(|free| free < memory + BESIDE) {
            println!(
                "SKIPPED: {} MiB of guest memory, because the host has not so much free\n",
                memory >> 20
            );
            continue;
        }
        let ways =
            bench.backing.iter().flat_map(|backing| bench.carrier.iter().map(move |way| (*backing, *way)));
        for (backing, carrier) in ways {
            println!("## {carrier:?}, {backing:?}, {} MiB, {} updates\n", memory >> 20, bench.updates);
            let _loan = match backing.borrow(memory) {
                Ok(loan) => loan,
                Err(why) => {
                    println!("SKIPPED: {why}\n");
                    continue;
                }
            };
            let mut measured = Measured::new(carrier, backing, memory);
            measured.copied = !backing.arrives_as_it_is(bench.retrieve);
            measured.measure((bench.updates, bench.retrieve), &mut near)?;
            println!("{}", table::draw(&measured));
            all.push(measured);
        }
    }
    print!("{}", table::close(&all));
    Ok(ExitCode::SUCCESS)
}

/// Bytes that the host can give; `None` if it does not say.
fn free() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? << 10)
}

impl Measured {
    /// Updates a guest again and again.
    fn measure(&mut self, (updates, retrieve): (u64, Retrieve), near: &mut Near) -> Result<()> {
        let (carrier, memory) = (self.carrier, self.memory);
        let guest = Some(Kind::Kvm);
        let shape = Shape { memory, vcpus: 1, guest, backing: self.backing, retrieve };
        let mut subject = Subject::start("luo-vmm-bench-", shape, Kind::Kvm)?;
        let counter = Counter::of(subject.pid())?;
        thread::sleep(SETTLE);
        // The length of a stretch is that of an update: the first one is for this, and for caches.
        let mut length = TAIL;
        for nth in 0..=updates {
            let observer = Observer::start(&counter, OBSERVER_ON);
            thread::sleep(length);
            let quiet = observer.stop()?;
            let observer = Observer::start(&counter, OBSERVER_ON);
            let since = Instant::now();
            let reply = subject.update(carrier, &[])?;
            if let Some(error) = reply.get("error") {
                bail!("the update failed: {error}");
            }
            thread::sleep(TAIL);
            length = since.elapsed();
            let marks = subject.marks(nth).context("the trace has forgotten the update")?;
            let seen = observer.stop()?;
            let floor = match carrier {
                Carrier::Socket => near.cross()?,
                Carrier::Exec => creation(memory)?,
            };
            if nth == 0 {
                continue;
            }
            let usual = quiet.usual_rate();
            let at = |mark| marks.at(mark).context("a mark is missing");
            let (asked, stopped, entered) = (at(Mark::Asked)?, at(Mark::Stopped)?, at(Mark::Entered)?);
            self.note_marks(&marks);
            self.floors.push(floor);
            self.pauses.extend(seen.stall_at(stopped.midpoint(entered)));
            self.longest.push(seen.longest());
            self.quiet.push(quiet.longest());
            self.back.extend(seen.back(entered, usual));
            self.percent.extend(seen.percent_between(asked, stopped, usual));
        }
        sound(&subject.ask(Question::Stop)?)
    }
}

/// Guest memory was what its counter says, when it was looked at last.
fn sound(last: &Reply) -> Result<()> {
    if last.get("ok") != Some("true") {
        let said = last.get("error").or_else(|| last.get("problems")).unwrap_or("it did not say why");
        bail!("the guest is not as it has to be: {said}");
    }
    Ok(())
}
