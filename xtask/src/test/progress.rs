//! What is seen while tests run: on a terminal one line that moves, elsewhere a line now and then. A failure is told at
//! once.

use core::time::Duration;
use std::io::{self, IsTerminal as _};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::outcome::{Outcome, Verdict};

/// How often a line is written where there is no terminal.
const PERIOD: Duration = Duration::from_secs(15);

#[derive(Debug)]
pub(super) struct Progress {
    bar: ProgressBar,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    started: usize,
    running: Vec<String>,
    failed: usize,
    skipped: usize,
    /// When the next line is due, where there is no terminal.
    next: Option<Instant>,
}

impl Progress {
    pub(super) fn new(cases: usize) -> Self {
        let terminal = io::stderr().is_terminal();
        let target = if terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(cases as u64), target);
        if let Ok(style) = ProgressStyle::with_template("{elapsed:>4} [{bar:30}] {pos}/{len} {wide_msg}") {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.enable_steady_tick(Duration::from_millis(250));
        let next = (!terminal).then(|| Instant::now() + PERIOD);
        let state = State { started: 0, running: Vec::new(), failed: 0, skipped: 0, next };
        Self { bar, state: Mutex::new(state) }
    }

    /// Its number, from 1.
    pub(super) fn starts(&self, name: &str) -> usize {
        let mut state = self.lock();
        state.started += 1;
        state.running.push(name.to_owned());
        self.show(&state);
        state.started
    }

    pub(super) fn ends(&self, name: &str, outcomes: &[Outcome]) {
        let mut state = self.lock();
        if let Some(place) = state.running.iter().position(|running| running == name) {
            state.running.remove(place);
        }
        for outcome in outcomes {
            match &outcome.verdict {
                Verdict::Passed => {}
                Verdict::Skipped(_) => state.skipped += 1,
                Verdict::Failed(reasons) => {
                    state.failed += 1;
                    let line = format!("FAIL {}: {}", outcome.full_name(), reasons.join("; "));
                    if state.next.is_some() { println!("{line}") } else { self.bar.println(line) }
                }
            }
        }
        self.bar.inc(1);
        self.show(&state);
    }

    /// Some time has passed.
    pub(super) fn tick(&self) {
        let mut state = self.lock();
        if state.next.is_some_and(|next| Instant::now() >= next) {
            state.next = Some(Instant::now() + PERIOD);
            let (done, all) = (self.bar.position(), self.bar.length().unwrap_or_default());
            println!("{done}/{all}, {}", state.words());
        }
    }

    pub(super) fn end(&self) {
        self.bar.finish_and_clear();
    }

    fn show(&self, state: &State) {
        self.bar.set_message(state.words());
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn words(&self) -> String {
        format!("{} failed, {} skipped; running: {}", self.failed, self.skipped, self.running.join(", "))
    }
}
