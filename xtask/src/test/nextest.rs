//! The test functions, run by cargo-nextest. Who passed is read from its **`JUnit` file**, which also holds what
//! each test said, and so the lines of those that skipped themselves.

use core::num::NonZeroUsize;
use std::fs;
use std::io::ErrorKind;

use anyhow::{Context as _, Result};

use super::{EVERYTHING, Filter};
use crate::program;
use crate::tally::Tally;
use crate::workspace::Workspace;

/// Where `.config/nextest.toml` has it put, from the root.
const REPORT: &str = "target/nextest/default/junit.xml";

pub(super) fn run(workspace: &Workspace, filter: Filter<'_>, jobs: NonZeroUsize) -> Result<Tally> {
    let report = workspace.root.join(REPORT);
    match fs::remove_file(&report) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(error).context("an old report stays");
        }
        _ => {}
    }
    let mut cargo = workspace.cargo();
    cargo.args(["nextest", "run", "--no-tests", "pass"]).args(EVERYTHING);
    cargo.args(["--test-threads", &jobs.to_string(), "--build-jobs", &jobs.to_string()]);
    match filter {
        Filter::All => {}
        Filter::Name(part) => drop(cargo.arg(part)),
        Filter::Expression(expression) => drop(cargo.args(["-E", expression])),
    }
    let ran = program::shown(&mut cargo);
    let mut tally = match fs::read_to_string(&report) {
        Ok(xml) => read(&xml)?,
        Err(error) if error.kind() == ErrorKind::NotFound => Tally::default(),
        Err(error) => return Err(error).context("the report of nextest cannot be read"),
    };
    if let Err(error) = ran
        && tally.failed.is_empty()
    {
        tally.failed.push(format!("{error:#}"));
    }
    Ok(tally)
}

fn read(xml: &str) -> Result<Tally> {
    let document = roxmltree::Document::parse(xml).context("the report of nextest is not XML")?;
    let mut tally = Tally::default();
    for case in document.descendants().filter(|node| node.has_tag_name("testcase")) {
        let attribute = |name| case.attribute(name).unwrap_or_default();
        let name = format!("{} {}", attribute("classname"), attribute("name"));
        let failed = case.children().any(|node| node.has_tag_name("failure") || node.has_tag_name("error"));
        let said = case.children().filter(|n| n.has_tag_name("system-out") || n.has_tag_name("system-err"));
        let output: String = said.filter_map(|node| node.text()).collect::<Vec<_>>().join("\n");
        tally.count(&name, !failed, &output);
    }
    Ok(tally)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_tells_passed_failed_and_skipped() {
        let tally = read(
            r#"<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="nextest-run" tests="3" failures="1" errors="0">
  <testsuite name="luo-kho" tests="3" disabled="0" errors="0" failures="1">
    <testcase name="a::passes" classname="luo-kho" time="0.004"><system-out>test a ... ok</system-out></testcase>
    <testcase name="a::fails" classname="luo-kho" time="0.004">
      <failure type="test failure" message="1 &lt; 2">left: 1</failure><system-out>x</system-out>
    </testcase>
    <testcase name="a::skips" classname="luo-kho" time="0.004">
      <system-out>running 1 test
SKIPPED: a::skips: no /dev/kvm &amp; no cgroup
</system-out><system-err></system-err></testcase>
  </testsuite>
</testsuites>"#,
        )
        .unwrap();
        assert_eq!(tally.to_string(), "1 passed, 1 failed, 1 skipped");
        assert_eq!(tally.failed, ["luo-kho a::fails"]);
        assert_eq!(tally.skipped[0].reason, "no /dev/kvm & no cgroup");
    }

    #[test]
    fn half_a_report_is_an_error() {
        assert!(read("<testsuites><testsuite>").is_err());
    }
}
