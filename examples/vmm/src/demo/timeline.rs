//! The timeline in the terminal: one line for each update, its blackout drawn to scale.

use core::fmt::Write as _;

use super::phases::{BLACKOUT, ms, summary};
use super::{Row, Story};
use crate::cli::Carrier;
use crate::trace::Mark;

/// Columns of the longest blackout.
const WIDTH: u64 = 48;

/// What a way across is called.
pub(super) const fn name(carrier: Carrier) -> &'static str {
    match carrier {
        Carrier::Exec => "exec",
        Carrier::Socket => "socket",
    }
}

/// The whole story.
pub(super) fn draw(story: &Story, colours: bool) -> String {
    let mut text = String::new();
    let longest = story.rows.iter().filter_map(|row| row.marks.blackout()).max().unwrap_or(1);
    text.push_str("\n  #  way     VMM     prepare     blackout\n");
    for row in &story.rows {
        line(&mut text, row, longest, colours);
    }
    text.push('\n');
    for phase in BLACKOUT {
        let _ =
            writeln!(text, "  {}  {}", paint(&phase.letter.to_string(), phase.terminal, colours), phase.name);
    }
    text.push('\n');
    for (what, carrier) in [("socket", Some(Carrier::Socket)), ("exec", Some(Carrier::Exec)), ("all", None)] {
        if let Some(summary) = summary(&story.rows, carrier) {
            let [p50, p99, max] = [summary.p50, summary.p99, summary.max].map(ms);
            let _ =
                writeln!(text, "blackout, {what:6} ({:3}): p50 {p50}, p99 {p99}, max {max}", summary.count);
        }
    }
    let _ = writeln!(text, "\n{}", story.counted);
    for problem in &story.problems {
        let _ = writeln!(text, "at the end: {problem}");
    }
    let _ = writeln!(text, "{}", verdict(story));
    text
}

/// What it all comes to, in one sentence.
pub(super) fn verdict(story: &Story) -> String {
    let good = story.rows.iter().filter(|row| row.problems.is_empty()).count();
    let all = story.rows.len();
    if story.passed() {
        format!(
            "PASS: {all} updates; no byte, no interrupt and no line of output was lost or came twice, and time never went backwards"
        )
    } else {
        format!("FAIL: {good} of {all} updates were as they have to be")
    }
}

fn line(text: &mut String, row: &Row, longest: u64, colours: bool) {
    let time = |from, to| row.marks.between(from, to).map_or("-".to_owned(), ms);
    let _ = write!(
        text,
        "{:3}  {:6}  {} -> {}  {:>9}  {:>10}  ",
        row.number,
        name(row.carrier),
        row.from,
        row.to,
        time(Mark::Asked, Mark::Prepared),
        time(Mark::Stopped, Mark::Entered),
    );
    // Rounded at the ends of the phases, so that the line is as long as the blackout.
    let column = |mark| row.marks.between(Mark::Stopped, mark).map_or(0, |at| (at * WIDTH).div_ceil(longest));
    for phase in BLACKOUT {
        let columns = column(phase.to).saturating_sub(column(phase.from));
        let letters = phase.letter.to_string().repeat(usize::try_from(columns).unwrap_or(0));
        text.push_str(&paint(&letters, phase.terminal, colours));
    }
    text.push('\n');
    for problem in &row.problems {
        let _ = writeln!(text, "     {problem}");
    }
}

fn paint(text: &str, colour: u8, colours: bool) -> String {
    if colours && !text.is_empty() {
        format!("\x1b[48;5;{colour}m\x1b[38;5;231m{text}\x1b[0m")
    } else {
        text.to_owned()
    }
}
