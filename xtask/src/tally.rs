//! What came of it all: a **tally** counts what passed, what failed and what was skipped, and ends in the closing
//! line `N passed, N failed, N skipped`.
//!
//! A test that cannot run on this machine says so in a line of its own:
//! `SKIPPED: <name of the test>: <reason>`. It ends as if it had passed; here it counts as skipped.

use core::fmt;
use core::time::Duration;
use std::process::ExitCode;

const MARK: &str = "SKIPPED: ";

/// Something that could not run here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Skip {
    /// Its name.
    pub(crate) name: String,
    /// Why not.
    pub(crate) reason: String,
}

/// Counts of what was run.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: usize,
    /// The names of what failed.
    pub(crate) failed: Vec<String>,
    pub(crate) skipped: Vec<Skip>,
}

/// Says `1.2s`, or `3m 04s`.
pub(crate) struct Took(pub(crate) Duration);

/// The lines in which a test, or a program, says that it could not run; each once.
pub(crate) fn skips_in(output: &str) -> Vec<Skip> {
    let mut skips = Vec::new();
    for line in output.lines() {
        // With the captures of a test harness switched off, its own words may stand before the mark.
        let Some((_, said)) = line.split_once(MARK) else { continue };
        let (name, reason) = said.split_once(": ").unwrap_or((said, "no reason given"));
        let skip = Skip { name: name.trim().to_owned(), reason: reason.trim().to_owned() };
        if !skips.contains(&skip) {
            skips.push(skip);
        }
    }
    skips
}

impl Tally {
    /// One thing that cannot be done here; also says so.
    pub(crate) fn skipped(name: &str, reason: &str) -> Self {
        println!("SKIPPED: {name}: {reason}");
        let skip = Skip { name: name.to_owned(), reason: reason.to_owned() };
        Self { skipped: vec![skip], ..Self::default() }
    }

    /// Counts one thing by how it ended and by what it said. What is skipped in parts counts as skipped.
    pub(crate) fn count(&mut self, name: &str, passed: bool, output: &str) {
        if !passed {
            return self.failed.push(name.to_owned());
        }
        let skips = skips_in(output);
        if skips.is_empty() {
            self.passed += 1;
            return;
        }
        let reasons: Vec<_> = skips.into_iter().map(|skip| skip.reason).collect();
        self.skipped.push(Skip { name: name.to_owned(), reason: reasons.join("; ") });
    }

    /// Adds what was counted elsewhere.
    pub(crate) fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed.extend(other.failed);
        self.skipped.extend(other.skipped);
    }

    /// Prints what was skipped, what failed, and the closing line; nothing may be printed after it.
    pub(crate) fn close(&self) -> ExitCode {
        println!();
        for Skip { name, reason } in &self.skipped {
            println!("skipped: {name}: {reason}");
        }
        for name in &self.failed {
            println!("failed: {name}");
        }
        println!("{self}");
        if self.failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed.len(), self.skipped.len())
    }
}

impl fmt::Display for Took {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        if seconds < 60 {
            write!(f, "{:.1}s", self.0.as_secs_f64())
        } else {
            write!(f, "{}m {:02}s", seconds / 60, seconds % 60)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closing_line_is_exact() {
        let mut tally = Tally::default();
        tally.count("a", true, "fine\n");
        tally.count("b", false, "SKIPPED: b: a failure is a failure\n");
        tally.count("c", true, "SKIPPED: c: needs /dev/kvm\nSKIPPED: c: needs /dev/kvm\n");
        assert_eq!(tally.to_string(), "1 passed, 1 failed, 1 skipped");
        assert_eq!(tally.failed, ["b"]);
    }

    #[test]
    fn a_reason_may_hold_colons_and_a_name_may_be_a_path() {
        let skips = skips_in("test exec::moves ... SKIPPED: exec::moves: open /dev/kvm: errno 2\n");
        let expected = Skip { name: "exec::moves".into(), reason: "open /dev/kvm: errno 2".into() };
        assert_eq!(skips, [expected]);
    }

    #[test]
    fn a_test_that_skips_in_parts_is_skipped_with_all_its_reasons() {
        let mut tally = Tally::default();
        tally.count("t", true, "SKIPPED: t: no huge pages\nran the rest\nSKIPPED: t: one NUMA node\n");
        assert_eq!(tally.skipped, [Skip { name: "t".into(), reason: "no huge pages; one NUMA node".into() }]);
        assert_eq!(tally.passed, 0);
    }

    #[test]
    fn times_are_short() {
        assert_eq!(Took(Duration::from_millis(1240)).to_string(), "1.2s");
        assert_eq!(Took(Duration::from_secs(184)).to_string(), "3m 04s");
    }
}
