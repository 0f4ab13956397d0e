//! The timeline as a picture: one file, with nothing to be loaded from elsewhere.

use core::fmt::Write as _;

use super::phases::{BLACKOUT, ms, summary};
use super::timeline::{name, verdict};
use super::{Row, Story};
use crate::cli::Carrier;
use crate::trace::Mark;

/// Pixels: where bars begin, how long the longest is, from bar to bar, and how high one is.
const LEFT: u64 = 190;
const WIDTH: u64 = 560;
const PITCH: u64 = 22;
const HEIGHT: u64 = 14;
/// Lines of the scale, about.
const TICKS: u64 = 6;

const STYLE: &str = "
:root { color-scheme: light dark; --ink: #1f2328; --faint: #8b949e; --rule: #d0d7de; --paper: #ffffff; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6edf3; --faint: #8b949e; --rule: #30363d; --paper: #0d1117; }
}
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 60rem;
  margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.3rem; }
svg { width: 100%; height: auto; }
svg text { font: 12px system-ui, sans-serif; fill: var(--ink); }
svg text.faint { fill: var(--faint); }
svg line { stroke: var(--rule); }
td, th { padding: 0.1rem 1.2rem 0.1rem 0; text-align: right; font-variant-numeric: tabular-nums; }
td:first-child, th:first-child { text-align: left; }
.key { display: inline-block; width: 0.9em; height: 0.9em; margin-right: 0.4em; vertical-align: -0.1em; }
.verdict { font-weight: 600; }
";

/// The whole story, as HTML.
pub(super) fn draw(story: &Story) -> String {
    let mut page = String::new();
    let _ = write!(
        page,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>luo-vmm: {} updates</title>\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<style>{STYLE}</style>\n</head>\n<body>\n\
         <h1>{}</h1>\n<p class=\"verdict\">{}</p>\n<p>{}</p>\n",
        story.rows.len(),
        escape(&story.title),
        escape(&verdict(story)),
        escape(&story.counted),
    );
    picture(&mut page, story);
    page.push_str("<p>");
    for phase in BLACKOUT {
        let _ = write!(
            page,
            "<span class=\"key\" style=\"background:{}\"></span>{}<br>",
            phase.picture,
            escape(phase.name)
        );
    }
    page.push_str("</p>\n");
    table(&mut page, story);
    let of_rows =
        story.rows.iter().flat_map(|row| row.problems.iter().map(move |problem| (row.number, problem)));
    for (number, problem) in of_rows {
        let _ = writeln!(page, "<p>Update {number}: {}</p>", escape(problem));
    }
    for problem in &story.problems {
        let _ = writeln!(page, "<p>At the end: {}</p>", escape(problem));
    }
    page.push_str("</body>\n</html>\n");
    page
}

fn picture(page: &mut String, story: &Story) {
    let longest = story.rows.iter().filter_map(|row| row.marks.blackout()).max().unwrap_or(1).max(1);
    let rows = story.rows.len() as u64;
    let (width, height) = (LEFT + WIDTH + 90, 40 + rows * PITCH);
    let _ = writeln!(
        page,
        "<svg viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"blackout of each update, by phase\">"
    );
    let tick = tick(longest);
    for at in (0..=longest).step_by(usize::try_from(tick).unwrap_or(usize::MAX)) {
        let x = LEFT + at * WIDTH / longest;
        let _ = writeln!(page, "<line x1=\"{x}\" x2=\"{x}\" y1=\"22\" y2=\"{height}\"/>");
        let _ = writeln!(
            page,
            "<text class=\"faint\" x=\"{x}\" y=\"14\" text-anchor=\"middle\">{}</text>",
            ms(at)
        );
    }
    for (nth, row) in (0..).zip(&story.rows) {
        bar(page, row, 28 + nth * PITCH, longest);
    }
    page.push_str("</svg>\n");
}

/// A round number of nanoseconds, so that there are a handful of lines.
fn tick(longest: u64) -> u64 {
    let decade = 10u64.pow((longest / TICKS).max(1).ilog10());
    [1, 2, 5, 10]
        .map(|times| times * decade)
        .into_iter()
        .find(|tick| longest / tick <= TICKS)
        .unwrap_or(longest)
}

fn bar(page: &mut String, row: &Row, y: u64, longest: u64) {
    let text = y + HEIGHT - 3;
    let prepare = row.marks.between(Mark::Asked, Mark::Prepared).map_or(String::new(), ms);
    let _ = writeln!(
        page,
        "<text x=\"0\" y=\"{text}\">{}. {} {} \u{2192} {}</text>\
         <text class=\"faint\" x=\"{}\" y=\"{text}\" text-anchor=\"end\">{prepare}</text>",
        row.number,
        name(row.carrier),
        row.from,
        row.to,
        LEFT - 10,
    );
    let x = |mark| row.marks.between(Mark::Stopped, mark).map(|at| (at * WIDTH / longest, at));
    for phase in BLACKOUT {
        let (Some((from, start)), Some((to, end))) = (x(phase.from), x(phase.to)) else { continue };
        let _ = writeln!(
            page,
            "<rect x=\"{}\" y=\"{y}\" width=\"{}\" height=\"{HEIGHT}\" fill=\"{}\"><title>{}: {}</title></rect>",
            LEFT + from,
            to.saturating_sub(from),
            phase.picture,
            escape(phase.name),
            ms(end.saturating_sub(start)),
        );
    }
    let (end, blackout) = match (x(Mark::Entered), row.marks.blackout()) {
        (Some((end, _)), Some(blackout)) => (end, ms(blackout)),
        _ => (0, "came to nothing".to_owned()),
    };
    let _ = writeln!(page, "<text x=\"{}\" y=\"{text}\">{blackout}</text>", LEFT + end + 6);
}

fn table(page: &mut String, story: &Story) {
    page.push_str(
        "<table>\n<tr><th>blackout</th><th>updates</th><th>p50</th><th>p99</th><th>max</th></tr>\n",
    );
    for (what, carrier) in [("socket", Some(Carrier::Socket)), ("exec", Some(Carrier::Exec)), ("all", None)] {
        if let Some(summary) = summary(&story.rows, carrier) {
            let [p50, p99, max] = [summary.p50, summary.p99, summary.max].map(ms);
            let count = summary.count;
            let _ = writeln!(
                page,
                "<tr><td>{what}</td><td>{count}</td><td>{p50}</td><td>{p99}</td><td>{max}</td></tr>"
            );
        }
    }
    page.push_str(
        "</table>\n<p>Beside each update, faint: how long its preparation took, while the guest ran.</p>\n",
    );
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::Trace;

    fn story(problems: Vec<String>) -> Story {
        let folder = tempfile::tempdir().unwrap();
        let trace = Trace::create(&folder.path().join("trace")).unwrap();
        trace.begin();
        for (at, mark) in (1u64..).zip([
            Mark::Prepared,
            Mark::Stopped,
            Mark::Frozen,
            Mark::Adopted,
            Mark::Restored,
            Mark::Committed,
            Mark::Entered,
        ]) {
            trace.mark_at(mark, at * at * 100_000);
        }
        let marks = trace.remembered(0).unwrap();
        let row = Row { number: 1, carrier: Carrier::Socket, from: 2, to: 1, marks, problems };
        Story { title: "A <guest>".to_owned(), rows: vec![row], problems: vec![], counted: String::new() }
    }

    #[test]
    fn the_picture_is_whole_and_loads_nothing() {
        let page = draw(&story(vec![]));
        for needed in ["A &lt;guest&gt;", "PASS", "4.500 ms", "</svg>", "</html>"] {
            assert!(page.contains(needed), "{needed} is not in {page}");
        }
        assert_eq!(page.matches("<rect").count(), BLACKOUT.len());
        for foreign in ["http", "src=", "url(", "@import"] {
            assert!(!page.contains(foreign), "{foreign}");
        }
    }

    #[test]
    fn what_went_wrong_is_said_in_both() {
        let story = story(vec!["a word & more".to_owned()]);
        assert!(draw(&story).contains("FAIL") && draw(&story).contains("Update 1: a word &amp; more"));
        let text = super::super::timeline::draw(&story, false);
        assert!(text.contains("FAIL: 0 of 1") && text.contains("a word & more"), "{text}");
    }

    #[test]
    fn the_line_is_as_long_as_its_blackout() {
        let text = super::super::timeline::draw(&story(vec![]), false);
        let line = text.lines().find(|line| line.contains("socket  2")).unwrap();
        let letters: String =
            line.chars().skip_while(|c| *c != 'm').skip(2).filter(|c| "scre".contains(*c)).collect();
        assert_eq!(letters.len(), 48, "{line}");
        assert!(letters.starts_with('s') && letters.ends_with('e'), "{line}");
    }
}
