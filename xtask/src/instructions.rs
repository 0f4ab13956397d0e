//! `cargo xtask bench instructions`: the gate on what the serialized array costs.
//!
//! A **count** is the instructions that one benchmark takes under callgrind, the same on every run of the same
//! program. The **baseline** is the list of counts in the repository, one line for each: name and number.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use toml::Table;

use crate::tally::Tally;
use crate::workspace::Workspace;

/// Where the baseline lies.
const BASELINE: &str = "benches/data/instructions.txt";
/// A count may be higher than its baseline by so many parts of a hundred: what another minor compiler changes.
const TOLERANCE: u64 = 2;
/// The harness, and what it needs beside itself.
const HARNESS: &str = "gungraun";
const RUNNER: &str = "gungraun-runner";
/// What it is called in the tally.
pub(crate) const NAME: &str = "instructions";

type Counts = BTreeMap<String, u64>;

pub(crate) fn run(bless: bool) -> Result<ExitCode> {
    let workspace = Workspace::load()?;
    if !bless {
        return Ok(counted(&workspace)?.close());
    }
    if let Some(why) = missing(&workspace)? {
        bail!("{why}");
    }
    let mut text = String::new();
    for (name, count) in counts(&workspace)? {
        writeln!(text, "{name} {count}")?;
    }
    fs::write(workspace.root.join(BASELINE), &text).with_context(|| format!("writing {BASELINE}"))?;
    println!("{} counts written to {BASELINE}", text.lines().count());
    Ok(ExitCode::SUCCESS)
}

/// Compares each count with the baseline.
///
/// # Errors
///
/// The counts, or the baseline, cannot be had.
pub(crate) fn counted(workspace: &Workspace) -> Result<Tally> {
    if let Some(why) = missing(workspace)? {
        return Ok(Tally::skipped(NAME, &why));
    }
    let text = fs::read_to_string(workspace.root.join(BASELINE));
    let text = text.with_context(|| format!("reading {BASELINE}"))?;
    let found = counts(workspace)?;
    let complaints = compare(&baseline(&text)?, &found);
    for complaint in &complaints {
        println!("{complaint}");
    }
    println!("{} counts, {} beyond the baseline", found.len(), complaints.len());
    let failed = if complaints.is_empty() { Vec::new() } else { vec![NAME.to_owned()] };
    Ok(Tally { passed: usize::from(failed.is_empty()), failed, ..Tally::default() })
}

/// What this machine lacks to count as the baseline was counted.
fn missing(workspace: &Workspace) -> Result<Option<String>> {
    let version = |program: &str| {
        let output = Command::new(program).arg("--version").stdin(Stdio::null()).output();
        output.ok().filter(|output| output.status.success()).map(|output| output.stdout)
    };
    if version("valgrind").is_none() {
        return Ok(Some("there is no valgrind".to_owned()));
    }
    let wanted = locked(workspace)?;
    let Some(found) = version(RUNNER) else {
        return Ok(Some(format!("there is no {RUNNER}: `cargo install {RUNNER}@{wanted}`")));
    };
    let found = String::from_utf8_lossy(&found).trim().to_owned();
    if !found.ends_with(&format!(" {wanted}")) {
        return Ok(Some(format!("{found} is here, {wanted} is wanted: `cargo install {RUNNER}@{wanted}`")));
    }
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        return Ok(None);
    }
    Ok(Some("the baseline is that of a processor with AVX2".to_owned()))
}

/// The version of the harness, which its runner has to share.
fn locked(workspace: &Workspace) -> Result<String> {
    let text = fs::read_to_string(workspace.root.join("Cargo.lock")).context("reading Cargo.lock")?;
    let lock: Table = text.parse().context("Cargo.lock is not TOML")?;
    let packages = lock.get("package").and_then(|packages| packages.as_array());
    let named = |package: &&toml::Value| package.get("name").and_then(|name| name.as_str()) == Some(HARNESS);
    let package = packages.and_then(|packages| packages.iter().find(named));
    let version = package.and_then(|package| package.get("version")?.as_str());
    Ok(version.with_context(|| format!("Cargo.lock does not lock {HARNESS}"))?.to_owned())
}

fn counts(workspace: &Workspace) -> Result<Counts> {
    let mut cargo = workspace.cargo();
    cargo.args(["bench", "--quiet", "--package", "luo-benches", "--bench", "instructions", "--"]);
    cargo.args(["--output-format=json"]).stderr(Stdio::inherit());
    let output = cargo.output().context("cargo bench does not start")?;
    ensure!(output.status.success(), "cargo bench failed");
    let text = String::from_utf8(output.stdout).context("the harness's answer is not text")?;
    text.lines().filter(|line| line.starts_with('{')).map(count).collect()
}

/// The name and the count of one benchmark, from the harness's summary of it.
fn count(line: &str) -> Result<(String, u64)> {
    let summary: Value = serde_json::from_str(line).context("a summary is not JSON")?;
    let text =
        |key| summary.get(key).and_then(Value::as_str).with_context(|| format!("a summary without {key}"));
    let name = format!("{}.{}", text("function_name")?, text("id")?);
    let part = summary.pointer("/profiles/0/data/parts/0/metrics/Ir/values/new");
    let count = part.and_then(Value::as_u64).with_context(|| format!("no count of {name}"))?;
    Ok((name, count))
}

fn baseline(text: &str) -> Result<Counts> {
    let line = |line: &str| {
        let (name, count) = line.split_once(' ').with_context(|| format!("not a count: {line}"))?;
        Ok((name.to_owned(), count.parse().with_context(|| format!("not a count: {line}"))?))
    };
    text.lines().map(line).collect()
}

/// What is not as the baseline says. Fewer instructions are no complaint.
fn compare(baseline: &Counts, found: &Counts) -> Vec<String> {
    let mut complaints = Vec::new();
    for (name, before) in baseline {
        match found.get(name) {
            Some(now) if *now <= before + before * TOLERANCE / 100 => {}
            Some(now) => complaints.push(format!("{name}: {now} instructions, {before} in the baseline")),
            None => complaints.push(format!("{name}: in the baseline, but not measured")),
        }
    }
    let new = found.keys().filter(|name| !baseline.contains_key(*name));
    complaints.extend(new.map(|name| format!("{name}: not in the baseline")));
    complaints
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_beyond_the_tolerance_is_a_complaint_and_less_is_none() {
        let before = baseline("build.real 1000\nverify.real 500\n").unwrap();
        let found =
            |build, verify| Counts::from([("build.real".into(), build), ("verify.real".into(), verify)]);
        assert!(compare(&before, &found(1020, 10)).is_empty());
        assert_eq!(
            compare(&before, &found(1021, 500)),
            ["build.real: 1021 instructions, 1000 in the baseline"]
        );
        assert_eq!(compare(&before, &Counts::new()).len(), 2);
        assert_eq!(compare(&Counts::new(), &before).len(), 2);
    }

    #[test]
    fn a_summary_of_the_harness_is_understood() {
        let line = r#"{"function_name":"build","id":"real","profiles":[{"data":{"parts":[{"metrics":{"Ir":{"values":{"new":7}}}}]}}]}"#;
        assert_eq!(count(line).unwrap(), ("build.real".to_owned(), 7));
        assert!(count("{}").is_err());
    }
}
