//! The outcomes for machines, in the `JUnit` form.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use anyhow::{Context as _, Result};
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use super::outcome::{Outcome, Verdict};

pub(super) fn write(outcomes: &[Outcome], path: &Path) -> Result<()> {
    let file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
    report(outcomes).serialize(file).context("the report cannot be written")
}

fn report(outcomes: &[Outcome]) -> Report {
    let mut suites: BTreeMap<&str, TestSuite> = BTreeMap::new();
    for outcome in outcomes {
        let suite = suites.entry(&outcome.suite).or_insert_with(|| TestSuite::new(outcome.suite.as_str()));
        suite.add_test_case(case(outcome));
    }
    let mut report = Report::new("luo");
    report.add_test_suites(suites.into_values());
    report
}

fn case(outcome: &Outcome) -> TestCase {
    let status = match &outcome.verdict {
        Verdict::Passed => TestCaseStatus::success(),
        Verdict::Skipped(reason) => {
            let mut status = TestCaseStatus::skipped();
            status.set_message(reason.as_str());
            status
        }
        Verdict::Failed(reasons) => {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
            status.set_message(reasons.join("; "));
            status
        }
    };
    let name = if outcome.name.is_empty() { &outcome.suite } else { &outcome.name };
    let mut case = TestCase::new(name.as_str(), status);
    case.set_classname(outcome.suite.as_str()).set_time(outcome.took).set_system_out(outcome.output.as_str());
    case
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::time::Duration;

    #[test]
    fn each_verdict_has_its_element() {
        let outcome = |name: &str, verdict| Outcome {
            suite: "luo-kho".to_owned(),
            name: name.to_owned(),
            verdict,
            took: Duration::from_millis(1500),
            output: "1 < 2\n".to_owned(),
            kept: None,
        };
        let xml = report(&[
            outcome("a", Verdict::Passed),
            outcome("b", Verdict::Failed(vec!["exit code 101".to_owned()])),
            outcome("c", Verdict::Skipped("no /dev/kvm".to_owned())),
        ])
        .to_string()
        .unwrap();
        assert!(xml.contains(r#"tests="3""#) && xml.contains(r#"failures="1""#), "{xml}");
        assert!(
            xml.contains("exit code 101") && xml.contains("no /dev/kvm") && xml.contains("1 &lt; 2"),
            "{xml}"
        );
    }
}
