//! What came out: for each law and each ground a **finding**.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use super::Law;

/// What became of one law on one ground.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It held in every case.
    Holds,
    /// It had no case.
    Skipped {
        /// Why not.
        why: String,
    },
    /// It did not hold in one case; the cases after it were not tried.
    Broken {
        /// What differed, and in which case.
        how: String,
    },
}

/// One law on one ground.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The law.
    pub law: Law,
    /// The ground's name.
    pub ground: String,
    /// How many cases were tried.
    pub cases: u64,
    /// What became of it.
    pub outcome: Outcome,
}

/// Every finding, ground by ground, in the order of [`Law::ALL`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    pub(super) findings: Vec<Finding>,
}

impl Report {
    /// Every finding.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// The laws that did not hold on some ground, each once, in the order of [`Law::ALL`].
    pub fn broken(&self) -> Vec<Law> {
        self.laws(|outcome| matches!(outcome, Outcome::Broken { .. }))
    }

    /// The laws that had no case on some ground.
    pub fn skipped(&self) -> Vec<Law> {
        self.laws(|outcome| matches!(outcome, Outcome::Skipped { .. }))
    }

    fn laws(&self, of: impl Fn(&Outcome) -> bool) -> Vec<Law> {
        let among = |law: &Law| self.findings.iter().any(|found| found.law == *law && of(&found.outcome));
        Law::ALL.iter().copied().filter(among).collect()
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { law, ground, cases, outcome } = self;
        match outcome {
            Outcome::Holds => write!(f, "holds    {law} ({ground}, {cases} cases)"),
            Outcome::Skipped { why } => write!(f, "SKIPPED  {law} ({ground}): {why}"),
            Outcome::Broken { how } => {
                write!(f, "BROKEN   {law} ({ground}, case {cases}): {how}\n         {}", law.statement())
            }
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.findings.iter().try_for_each(|finding| writeln!(f, "{finding}"))
    }
}
