//! How long each case took the last time. Whoever took longest starts first, so that no processor idles at the end.

use core::time::Duration;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::list::Case;
use super::outcome::{Outcome, Verdict};

/// In cargo's target folder.
const FILE: &str = "luo-test-times.json";

/// Seconds, by full name.
#[derive(Debug, Default, PartialEq)]
pub(super) struct History(BTreeMap<String, f64>);

fn file(target: &Path) -> PathBuf {
    target.join(FILE)
}

impl History {
    /// What is known; nothing, if there is no such file or it cannot be read.
    pub(super) fn read(target: &Path) -> Self {
        let text = fs::read(file(target)).unwrap_or_default();
        Self(serde_json::from_slice(&text).unwrap_or_default())
    }

    /// Longest first. Who is not known starts before all, because nobody knows; of those first who may take longest,
    /// then in the order in which they came.
    pub(super) fn sort(&self, cases: &mut [Case]) {
        let took = |case: &Case| self.0.get(&case.full_name()).copied().unwrap_or(f64::INFINITY);
        cases.sort_by(|a, b| {
            took(b).total_cmp(&took(a)).then_with(|| b.needs.deadline.cmp(&a.needs.deadline))
        });
    }

    /// Takes note of what ended well.
    pub(super) fn note(&mut self, outcomes: &[Outcome]) {
        let mut sums: BTreeMap<String, Duration> = BTreeMap::new();
        for outcome in outcomes.iter().filter(|outcome| outcome.verdict == Verdict::Passed) {
            *sums.entry(outcome.full_name()).or_default() += outcome.took;
        }
        self.0.extend(sums.into_iter().map(|(name, took)| (name, took.as_secs_f64())));
    }

    pub(super) fn write(&self, target: &Path) -> Result<()> {
        fs::write(file(target), serde_json::to_vec_pretty(&self.0)?)
            .context("cannot keep the times of the tests")
    }
}

#[cfg(test)]
mod tests {
    use super::super::list::Work;
    use super::*;

    #[test]
    fn the_longest_starts_first_and_who_is_new_before_all() {
        let case = |name: &str| Case {
            suite: "s".to_owned(),
            name: name.to_owned(),
            needs: super::super::needs::Needs::default(),
            work: Work::Program { path: PathBuf::new(), arguments: Vec::new(), folder: PathBuf::new() },
        };
        let outcome = |name: &str, seconds| Outcome {
            suite: "s".to_owned(),
            name: name.to_owned(),
            verdict: Verdict::Passed,
            took: Duration::from_secs(seconds),
            output: String::new(),
            kept: None,
        };
        let folder = tempfile::tempdir().unwrap();
        let mut history = History::read(folder.path());
        history.note(&[outcome("short", 1), outcome("long", 9), outcome("middle", 3)]);
        history.write(folder.path()).unwrap();
        let mut cases = ["short", "new", "slow", "middle", "long"].map(case).to_vec();
        cases[2].needs.deadline = Some(Duration::from_mins(10));
        History::read(folder.path()).sort(&mut cases);
        assert_eq!(
            cases.iter().map(|case| case.name.as_str()).collect::<Vec<_>>(),
            ["slow", "new", "long", "middle", "short"]
        );
    }
}
