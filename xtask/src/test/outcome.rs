//! How a case ended: its **outcome**, with its **verdict**, what it said, and how long it took.

use core::time::Duration;
use std::path::PathBuf;

use crate::tally::{Skip, Tally, skips_in};

/// How a case ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Passed,
    /// Each reason in one line.
    Failed(Vec<String>),
    /// Why.
    Skipped(String),
}

/// One case that is over.
#[derive(Clone, Debug)]
pub(super) struct Outcome {
    pub(super) suite: String,
    pub(super) name: String,
    pub(super) verdict: Verdict,
    pub(super) took: Duration,
    pub(super) output: String,
    /// What it left behind, if that is kept.
    pub(super) kept: Option<PathBuf>,
}

impl Verdict {
    /// By the findings about a test and what it said: a test that cannot run here says so and ends well.
    pub(super) fn of(findings: Vec<String>, output: &str) -> Self {
        if !findings.is_empty() {
            return Self::Failed(findings);
        }
        let reasons: Vec<_> = skips_in(output).into_iter().map(|skip| skip.reason).collect();
        if reasons.is_empty() { Self::Passed } else { Self::Skipped(reasons.join("; ")) }
    }

    /// Where nothing may be skipped, a skip is a failure.
    pub(super) fn strict(self) -> Self {
        match self {
            Self::Skipped(reason) => Self::Failed(vec![format!("skipped: {reason}")]),
            other => other,
        }
    }
}

impl Outcome {
    /// Of what was not run by a supervisor: it took no time and said nothing.
    pub(super) const fn unrun(suite: String, name: String, verdict: Verdict) -> Self {
        Self { suite, name, verdict, took: Duration::ZERO, output: String::new(), kept: None }
    }

    pub(super) fn full_name(&self) -> String {
        if self.name.is_empty() { self.suite.clone() } else { format!("{} {}", self.suite, self.name) }
    }

    /// Of a task, which runs many tests at once: one outcome for each that failed or was skipped, and as many nameless
    /// ones as passed.
    pub(super) fn of_task(suite: &str, tally: Tally, took: Duration, output: &str) -> Vec<Self> {
        let Tally { passed, failed, skipped } = tally;
        let passed = (0..passed).map(|_| (String::new(), Verdict::Passed));
        let failed =
            failed.into_iter().map(|name| (name, Verdict::Failed(vec!["see its output".to_owned()])));
        let skipped = skipped.into_iter().map(|Skip { name, reason }| (name, Verdict::Skipped(reason)));
        let mut took = took;
        let outcome = |(name, verdict): (String, Verdict)| Self {
            suite: suite.to_owned(),
            name: if name == suite { String::new() } else { name },
            output: if matches!(verdict, Verdict::Failed(_)) { output.to_owned() } else { String::new() },
            verdict,
            // Nobody knows the time of each: the first has all of it.
            took: core::mem::take(&mut took),
            kept: None,
        };
        passed.chain(failed).chain(skipped).map(outcome).collect()
    }
}

/// What is told of outcomes in the closing line.
pub(super) fn tally(outcomes: &[Outcome]) -> Tally {
    let mut tally = Tally::default();
    for outcome in outcomes {
        match &outcome.verdict {
            Verdict::Passed => tally.passed += 1,
            Verdict::Failed(_) => tally.failed.push(outcome.full_name()),
            Verdict::Skipped(reason) => {
                tally.skipped.push(Skip { name: outcome.full_name(), reason: reason.clone() });
            }
        }
    }
    tally
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_that_speaks_of_a_skip_is_a_failure() {
        let said = "SKIPPED: t: no /dev/kvm\n";
        assert_eq!(Verdict::of(Vec::new(), said), Verdict::Skipped("no /dev/kvm".to_owned()));
        assert_eq!(
            Verdict::of(vec!["exit code 1".to_owned()], said),
            Verdict::Failed(vec!["exit code 1".into()])
        );
        assert_eq!(Verdict::of(Vec::new(), "fine\n"), Verdict::Passed);
    }

    #[test]
    fn where_nothing_may_be_skipped_a_skip_fails_with_its_reason() {
        let strict = Verdict::Skipped("no huge pages".to_owned()).strict();
        assert_eq!(strict, Verdict::Failed(vec!["skipped: no huge pages".to_owned()]));
        assert_eq!(Verdict::Passed.strict(), Verdict::Passed);
    }

    #[test]
    fn a_task_counts_for_all_its_tests() {
        let counted = Tally { passed: 2, failed: vec!["a (line 3)".into()], skipped: Vec::new() };
        let outcomes = Outcome::of_task("doc tests", counted, Duration::from_secs(9), "why");
        assert_eq!(tally(&outcomes).to_string(), "2 passed, 1 failed, 0 skipped");
        assert_eq!(tally(&outcomes).failed, ["doc tests a (line 3)"]);
        assert_eq!(outcomes.iter().map(|outcome| outcome.took).sum::<Duration>(), Duration::from_secs(9));
    }
}
