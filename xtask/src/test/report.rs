//! What is told when all is over: a table with a row for each suite, failures with their last words, and what took
//! longest.

use core::fmt::Write as _;
use core::time::Duration;
use std::collections::BTreeMap;

use super::outcome::{Outcome, Verdict};
use crate::tally::Took;

/// How many lines of the output of a failure are told.
const LAST_LINES: usize = 60;
/// How many of the slowest are told.
const SLOWEST: usize = 10;

/// One row.
#[derive(Debug, Default)]
struct Row {
    passed: usize,
    failed: usize,
    skipped: usize,
    took: Duration,
}

/// All of it, without the closing line.
pub(super) fn text(outcomes: &[Outcome]) -> String {
    let mut text = String::new();
    table(outcomes, &mut text);
    failures(outcomes, &mut text);
    slowest(outcomes, &mut text);
    text
}

fn table(outcomes: &[Outcome], text: &mut String) {
    let mut rows: BTreeMap<&str, Row> = BTreeMap::new();
    for outcome in outcomes {
        let row = rows.entry(&outcome.suite).or_default();
        match outcome.verdict {
            Verdict::Passed => row.passed += 1,
            Verdict::Failed(_) => row.failed += 1,
            Verdict::Skipped(_) => row.skipped += 1,
        }
        row.took += outcome.took;
    }
    let width = rows.keys().map(|suite| suite.len()).max().unwrap_or(0).max("suite".len());
    let mut line = |suite: &str, cells: [&str; 4]| {
        let [passed, failed, skipped, took] = cells;
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{suite:<width$} {passed:>7} {failed:>7} {skipped:>8} {took:>8}");
    };
    line("suite", ["passed", "failed", "skipped", "time"]);
    for (suite, Row { passed, failed, skipped, took }) in rows {
        let [passed, failed, skipped] = [passed, failed, skipped].map(|count| match count {
            0 => "-".to_owned(),
            count => count.to_string(),
        });
        line(suite, [&passed, &failed, &skipped, &Took(took).to_string()]);
    }
}

fn failures(outcomes: &[Outcome], text: &mut String) {
    for outcome in outcomes {
        let Verdict::Failed(reasons) = &outcome.verdict else { continue };
        let _ = writeln!(text, "\n--- {} in {}", outcome.full_name(), Took(outcome.took));
        let lines: Vec<_> = outcome.output.trim_end().lines().collect();
        let left_out = lines.len().saturating_sub(LAST_LINES);
        if left_out > 0 {
            let _ = writeln!(text, "({left_out} lines before)");
        }
        for line in lines.iter().skip(left_out) {
            let _ = writeln!(text, "{line}");
        }
        for reason in reasons {
            let _ = writeln!(text, "=> {reason}");
        }
        if let Some(kept) = &outcome.kept {
            let _ = writeln!(text, "=> its folder: {}", kept.display());
        }
    }
}

fn slowest(outcomes: &[Outcome], text: &mut String) {
    let mut sorted: Vec<_> = outcomes.iter().collect();
    sorted.sort_by_key(|outcome| core::cmp::Reverse(outcome.took));
    text.push_str("\nslowest:\n");
    for outcome in sorted.into_iter().take(SLOWEST) {
        let _ = writeln!(text, "{:>8} {}", Took(outcome.took).to_string(), outcome.full_name());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(suite: &str, name: &str, verdict: Verdict, seconds: u64, output: &str) -> Outcome {
        let (suite, name, output) = (suite.to_owned(), name.to_owned(), output.to_owned());
        Outcome { suite, name, verdict, took: Duration::from_secs(seconds), output, kept: None }
    }

    #[test]
    fn a_row_for_each_suite_the_last_words_and_the_slowest() {
        let words: String =
            (0..100).flat_map(|number| ["line ".to_owned(), number.to_string(), "\n".to_owned()]).collect();
        let text = text(&[
            outcome("luo-kho", "a", Verdict::Passed, 1, ""),
            outcome("luo-kho", "b", Verdict::Failed(vec!["exit code 101".to_owned()]), 2, &words),
            outcome("luo-core", "c", Verdict::Skipped("no /dev/kvm".to_owned()), 3, ""),
        ]);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(
            lines[0].split_whitespace().collect::<Vec<_>>(),
            ["suite", "passed", "failed", "skipped", "time"]
        );
        assert_eq!(lines[1].split_whitespace().collect::<Vec<_>>(), ["luo-core", "-", "-", "1", "3.0s"]);
        assert_eq!(lines[2].split_whitespace().collect::<Vec<_>>(), ["luo-kho", "1", "1", "-", "3.0s"]);
        assert!(text.contains("--- luo-kho b in 2.0s\n(40 lines before)\nline 40\n"), "{text}");
        assert!(text.contains("line 99\n=> exit code 101\n"), "{text}");
        assert!(text.find("3.0s luo-core c") < text.find("2.0s luo-kho b"), "{text}");
    }
}
