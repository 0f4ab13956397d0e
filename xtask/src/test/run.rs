//! Running cases: so many at a time, each program under a [supervisor](crate::supervise) and with a **scratch** folder
//! of its own, which it finds as `TMPDIR`.

use core::time::Duration;
use std::collections::VecDeque;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, Scope};
use std::time::Instant;

use anyhow::{Context as _, Result};

use super::huge::Reserve;
use super::list::{Case, Wanted, Work};
use super::needs::Needs;
use super::outcome::{Outcome, Verdict};
use super::progress::Progress;
use super::share::{Next, Stock};
use crate::program::has_ended_well;
use crate::supervise::{FOUND, OURSELVES, UNTRACED};
use crate::tally::Tally;
use crate::workspace::Workspace;

/// How long a case may take that does not say otherwise.
const DEADLINE: Duration = Duration::from_mins(3);
/// How often to look for what no test says: an interrupt, huge pages that another runner gave back.
const LOOK: Duration = Duration::from_millis(200);

/// How cases are run.
#[derive(Debug)]
pub(super) struct Way {
    pub(super) jobs: usize,
    /// Told to tests, for those that draw lots.
    pub(super) seed: Option<u64>,
    /// What a failed case leaves in its scratch folder is kept.
    pub(super) keep: bool,
    /// A skip is a failure.
    pub(super) no_skip: bool,
    pub(super) wanted: Wanted,
}

/// Everything of one run.
struct Run<'r> {
    way: &'r Way,
    workspace: &'r Workspace,
    scratch: PathBuf,
    progress: Progress,
}

/// The books of the thread that hands out work.
struct Books {
    waiting: VecDeque<Case>,
    running: usize,
    /// When nobody runs.
    full: Stock,
    /// Now.
    stock: Stock,
    reserve: Option<Reserve>,
    outcomes: Vec<Outcome>,
    /// Why descriptors are not counted here, if they are not.
    untraced: Option<String>,
}

/// A case that is over, and what it had.
struct Over {
    needs: Needs,
    outcomes: Vec<Outcome>,
    untraced: Option<String>,
}

/// Runs them all, the first ones first as far as they do not have to wait.
pub(super) fn all(workspace: &Workspace, cases: Vec<Case>, way: &Way) -> Result<Vec<Outcome>> {
    let folder = tempfile::Builder::new().prefix("luo-test-").tempdir().context("no scratch folder")?;
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&interrupted))?;
    }
    let run = Run { way, workspace, scratch: folder.path().to_owned(), progress: Progress::new(cases.len()) };
    let full = full_stock(way.jobs);
    let mut books = Books {
        waiting: cases.into(),
        running: 0,
        stock: full.clone(),
        full,
        reserve: None,
        outcomes: Vec::new(),
        untraced: None,
    };
    books.skip_the_hopeless();
    let (sender, receiver) = channel();
    thread::scope(|scope| {
        while !books.waiting.is_empty() || books.running > 0 {
            if interrupted.load(Ordering::Relaxed) {
                books.give_up();
            }
            run.start(&mut books, scope, &sender);
            run.wait(&mut books, &receiver);
        }
    });
    books.put_back_if_idle();
    run.progress.end();
    if let Some(why) = &books.untraced {
        println!("descriptors were not counted: {why}");
    }
    let mut outcomes = books.outcomes;
    if way.no_skip {
        for outcome in &mut outcomes {
            outcome.verdict = outcome.verdict.clone().strict();
        }
    }
    if outcomes.iter().any(|outcome| outcome.kept.is_some()) {
        println!("kept: {}", folder.keep().display());
    }
    Ok(outcomes)
}

/// What there is to share: guests for half of the jobs, three quarters of the free memory, huge pages if need be.
fn full_stock(jobs: usize) -> Stock {
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let free = memory.lines().find_map(|line| line.strip_prefix("MemAvailable:")).unwrap_or_default();
    let free_kib: u64 = free.trim().trim_end_matches(" kB").parse().unwrap_or(u64::MAX >> 12);
    Stock { kvm: (jobs as u64 / 2).max(1), memory: (free_kib << 10) / 4 * 3, pool: 1, huge: None }
}

/// The runner itself failed at this case, and has said how.
fn panicked(case: &Case) -> Outcome {
    let verdict = Verdict::Failed(vec!["the runner panicked".to_owned()]);
    Outcome::unrun(case.suite.clone(), case.name.clone(), verdict)
}

impl Run<'_> {
    /// Starts whatever can start now.
    fn start<'s>(&'s self, books: &mut Books, scope: &'s Scope<'s, '_>, over: &Sender<Over>) {
        while books.running < self.way.jobs {
            match books.stock.next(books.waiting.iter().map(|case| &case.needs)) {
                Next::Start(place) => {
                    let Some(case) = books.waiting.remove(place) else { return };
                    books.stock.take(&case.needs);
                    books.running += 1;
                    let (number, over) = (self.progress.starts(&case.full_name()), over.clone());
                    scope.spawn(move || {
                        let needs = case.needs.clone();
                        // Whoever waits for the end of this case must hear of it, whatever happens.
                        let one = catch_unwind(AssertUnwindSafe(|| self.one(number, &case)));
                        let (outcomes, untraced) = one.unwrap_or_else(|_| (vec![panicked(&case)], None));
                        self.progress.ends(&case.full_name(), &outcomes);
                        // The receiver lives until every case is over.
                        let _ = over.send(Over { needs, outcomes, untraced });
                    });
                }
                Next::Fetch(_) => {
                    if !books.fetch(self.way.jobs) {
                        return;
                    }
                }
                Next::Wait => return,
            }
        }
    }

    fn wait(&self, books: &mut Books, over: &Receiver<Over>) {
        match over.recv_timeout(LOOK) {
            Ok(Over { needs, outcomes, untraced }) => {
                books.running -= 1;
                books.stock.give_back(&needs);
                books.outcomes.extend(outcomes);
                books.untraced = books.untraced.take().or(untraced);
                books.put_back_if_idle();
            }
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => self.progress.tick(),
        }
    }

    /// Runs one case. Its outcomes, and why descriptors were not counted.
    fn one(&self, number: usize, case: &Case) -> (Vec<Outcome>, Option<String>) {
        let begun = Instant::now();
        let (suite, name) = (case.suite.clone(), case.name.clone());
        let outcome = |verdict, output, kept| Outcome {
            suite: suite.clone(),
            name: name.clone(),
            verdict,
            took: begun.elapsed(),
            output,
            kept,
        };
        if let Some(reason) = case.needs.missing() {
            return (vec![outcome(Verdict::Skipped(reason), String::new(), None)], None);
        }
        match &case.work {
            Work::Task(task) => {
                let (said, tally) = task(self.workspace, &self.way.wanted).unwrap_or_else(|error| {
                    (format!("{error:#}\n"), Tally { failed: vec![suite.clone()], ..Tally::default() })
                });
                (Outcome::of_task(&suite, tally, begun.elapsed(), &said), None)
            }
            Work::Program { path, arguments, folder } => {
                let scratch = self.scratch.join(number.to_string());
                let deadline = case.needs.deadline.unwrap_or(DEADLINE);
                let mut words = vec![path.clone().into_os_string()];
                words.extend(arguments.iter().map(Into::into));
                let supervised = self.supervised(&scratch, deadline, folder, &words);
                let output = fs::read(scratch.join(OUTPUT)).unwrap_or_default();
                let output = String::from_utf8_lossy(&output).into_owned();
                let (findings, untraced) =
                    supervised.unwrap_or_else(|error| (vec![format!("{error:#}")], None));
                let keep = self.way.keep && !findings.is_empty();
                if !keep {
                    // What cannot be removed goes with the whole folder, or stays for whoever looks.
                    let _ = fs::remove_dir_all(&scratch);
                }
                let verdict = Verdict::of(findings, &output);
                (vec![outcome(verdict, output, keep.then_some(scratch))], untraced)
            }
        }
    }

    /// The findings about one program, and why descriptors were not counted.
    fn supervised(
        &self,
        scratch: &Path,
        deadline: Duration,
        folder: &Path,
        words: &[std::ffi::OsString],
    ) -> Result<(Vec<String>, Option<String>)> {
        let tmp = scratch.join("tmp");
        fs::create_dir_all(&tmp).context("no scratch folder")?;
        let mut supervisor = Command::new(OURSELVES);
        supervisor.args(["supervise", "--deadline-ms", &deadline.as_millis().to_string(), "--output"]);
        supervisor.arg(scratch.join(OUTPUT)).arg("--").args(words).current_dir(folder);
        supervisor.env("TMPDIR", tmp).env("CARGO_MANIFEST_DIR", folder);
        supervisor.envs(self.way.seed.map(|seed| (SEED, seed.to_string())));
        let output = supervisor.stdin(Stdio::null()).output().context("the supervisor does not start")?;
        let said = String::from_utf8_lossy(&output.stdout);
        let (untraced, mut findings): (Vec<_>, Vec<_>) =
            said.lines().map(str::to_owned).partition(|line| line.starts_with(UNTRACED));
        if !has_ended_well(output.status, FOUND) || (output.status.success() != findings.is_empty()) {
            let why = String::from_utf8_lossy(&output.stderr);
            findings.push(format!("its supervisor failed: {}: {}", output.status, why.trim()));
        }
        let untraced = untraced.into_iter().next();
        Ok((findings, untraced.map(|line| line.trim_start_matches(UNTRACED).to_owned())))
    }
}

/// Where proptest looks for a seed.
const SEED: &str = "PROPTEST_RNG_SEED";

/// Where in a scratch folder the words of the case are.
const OUTPUT: &str = "output";

impl Books {
    /// Gets huge pages. `false` while another runner has its reserve.
    fn fetch(&mut self, jobs: usize) -> bool {
        let fetched = Reserve::fetch(self.waiting.iter().map(|case| &case.needs), jobs);
        let (reserve, huge) = match fetched {
            Ok(Some((reserve, huge))) => (Some(reserve), huge),
            Ok(None) => return false,
            Err(error) => {
                self.fail("huge pages", format!("{error:#}"));
                (None, std::collections::BTreeMap::new())
            }
        };
        self.reserve = reserve;
        self.stock.huge = Some(huge.clone());
        self.full.huge = Some(huge);
        self.skip_the_hopeless();
        true
    }

    /// Gives huge pages back as soon as nobody runs or waits who needs some.
    fn put_back_if_idle(&mut self) {
        let waits = self.waiting.iter().any(|case| !case.needs.huge.is_empty());
        if waits || self.stock.huge != self.full.huge {
            return;
        }
        (self.stock.huge, self.full.huge) = (None, None);
        for left in self.reserve.take().map(Reserve::put_back).unwrap_or_default() {
            self.fail("huge pages", left);
        }
    }

    /// Skips whoever could not start even if nobody else ran.
    fn skip_the_hopeless(&mut self) {
        let (hopeless, waiting): (Vec<_>, Vec<_>) = self
            .waiting
            .drain(..)
            .map(|case| (self.full.never(&case.needs), case))
            .partition(|(why, _)| why.is_some());
        self.waiting = waiting.into_iter().map(|(_, case)| case).collect();
        for (why, case) in hopeless {
            self.end(case.suite, case.name, Verdict::Skipped(why.unwrap_or_default()));
        }
    }

    /// Somebody interrupted the run: who has not begun does not.
    fn give_up(&mut self) {
        while let Some(case) = self.waiting.pop_front() {
            self.end(case.suite, case.name, Verdict::Failed(vec!["interrupted before it began".to_owned()]));
        }
    }

    /// Something about the run as a whole.
    fn fail(&mut self, what: &str, why: String) {
        self.end("the run".to_owned(), what.to_owned(), Verdict::Failed(vec![why]));
    }

    fn end(&mut self, suite: String, name: String, verdict: Verdict) {
        self.outcomes.push(Outcome::unrun(suite, name, verdict));
    }
}
