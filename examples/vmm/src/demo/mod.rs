//! The demo: a guest runs, its VMM is replaced again and again, and after each time everything is verified.
//!
//! The guest runs in a program of its own; the demo only asks, as anybody could: see [`Subject`]. What each update did
//! is read from the trace, and drawn: [`timeline`] for the terminal, [`report`] as a picture.

mod judge;
mod phases;
mod report;
mod timeline;

use std::io::IsTerminal as _;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};
use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::{Carrier, Carriers, Demo, Question, Shape};
use crate::control::Reply;
use crate::guest::Layout;
use crate::machine::{Backing, Kind, Retrieve, available};
use crate::subject::Subject;
use crate::trace::Remembered;

use judge::Judge;

/// One update, as the demo saw it.
#[derive(Clone, Debug)]
struct Row {
    /// Counted from 1.
    number: u64,
    carrier: Carrier,
    /// Versions of the VMM.
    from: u64,
    to: u64,
    /// When it did what.
    marks: Remembered,
    /// What was wrong; none of it is what everybody wants.
    problems: Vec<String>,
}

/// All that is drawn.
#[derive(Debug)]
struct Story {
    /// What guest it was.
    title: String,
    rows: Vec<Row>,
    /// Problems that belong to no update.
    problems: Vec<String>,
    /// What was counted, at the end.
    counted: String,
}

impl Story {
    fn passed(&self) -> bool {
        self.problems.is_empty() && self.rows.iter().all(|row| row.problems.is_empty())
    }
}

/// `luo-vmm demo`.
///
/// # Errors
///
/// What kept it from coming to a verdict.
pub(crate) fn run(demo: &Demo) -> Result<ExitCode> {
    let layout = Layout::new(demo.shape.memory, demo.shape.vcpus)?;
    let kind = choose(demo.shape.guest);
    let title = title(kind, demo.shape, &layout);
    println!("{title}");
    // Given back when the guest is gone.
    let _loan = demo.shape.backing.borrow(layout.bytes())?;
    let bar = bar(demo.updates);
    bar.set_message("the guest boots");
    let mut guest = Subject::start("luo-vmm-", demo.shape, kind)?;
    let story = tell(demo, title, &mut guest, &bar);
    bar.finish_and_clear();
    let story = story?;
    let colours = std::io::stdout().is_terminal();
    print!("{}", timeline::draw(&story, colours));
    if let Some(path) = &demo.report {
        std::fs::write(path, report::draw(&story)).context("the report cannot be written")?;
        println!("the same as a picture: {}", path.display());
    }
    Ok(if story.passed() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What executes the guest; says so if it is not what was to be expected.
fn choose(asked: Option<Kind>) -> Kind {
    match (asked, available()) {
        (Some(kind), _) => kind,
        (None, Ok(())) => Kind::Kvm,
        (None, Err(why)) => {
            println!(
                "No virtual machine: {why}. Threads do the guest's steps instead, as with --guest thread."
            );
            Kind::Thread
        }
    }
}

fn title(kind: Kind, shape: Shape, layout: &Layout) -> String {
    let what = match kind {
        Kind::Kvm => "A KVM guest",
        Kind::Thread => "A guest of threads (NOT a virtual machine: its steps are done in Rust)",
    };
    let memory = match (shape.backing, shape.retrieve) {
        (Backing::Memfd, _) => "memfds",
        (Backing::Hugetlb, _) => "huge pages",
        (Backing::GuestMemfd, Retrieve::MapOld) => "guest_memfds",
        (Backing::GuestMemfd, Retrieve::CopyIntoNew) => "guest_memfds, copied in each update",
    };
    format!("{what} with {} vCPUs and {} MiB of memory in {memory}", layout.vcpus(), layout.bytes() >> 20)
}

fn bar(updates: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len}  {msg}");
    let bar = ProgressBar::new(updates);
    if let Ok(style) = style {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}

/// Which way update `nth` goes, and to which version of the VMM. Over four updates each way meets each version.
const fn turn(carriers: Carriers, nth: u64) -> (Carrier, u16) {
    let carrier = match carriers {
        Carriers::Socket => Carrier::Socket,
        Carriers::Both if nth / 2 % 2 == nth % 2 => Carrier::Socket,
        Carriers::Exec | Carriers::Both => Carrier::Exec,
    };
    (carrier, if nth.is_multiple_of(2) { 1 } else { 2 })
}

fn tell(demo: &Demo, title: String, guest: &mut Subject, bar: &ProgressBar) -> Result<Story> {
    let mut judge = Judge::new(demo.shape.vcpus);
    let mut story = Story { title, rows: Vec::new(), problems: Vec::new(), counted: String::new() };
    // The guest boots with version 2.
    let mut from = 2;
    for nth in 0..demo.updates {
        thread::sleep(Duration::from_millis(demo.interval));
        let (carrier, to) = turn(demo.carrier, nth);
        bar.set_message(format!("VMM version {from} -> {to} by {}", timeline::name(carrier)));
        let reply = guest.update(carrier, &[format!("--vmm-version={to}")])?;
        let marks = guest.marks(nth).context("the trace has forgotten the update")?;
        let mut problems = judge.update(&reply, carrier, nth + 1, to);
        if problems.is_empty() && marks.blackout().is_none() {
            problems.push("no vCPU was entered".to_owned());
        }
        let failed = !problems.is_empty();
        if !failed && !demo.verify_at_end {
            bar.set_message(format!("verifying update {}", nth + 1));
            problems.extend(judge.verify(&guest.ask(Question::Verify)?));
        }
        story.rows.push(Row { number: nth + 1, carrier, from, to: to.into(), marks, problems });
        if failed {
            break;
        }
        from = to.into();
        bar.inc(1);
    }
    thread::sleep(Duration::from_millis(demo.interval));
    bar.set_message("verifying");
    let last = guest.ask(Question::Stop)?;
    story.problems = judge.verify(&last);
    story.counted = format!(
        "{}; between two looks the guest's clock went on as the host's, to within {}",
        counted(&last, demo.shape.vcpus),
        phases::ms(judge.off())
    );
    Ok(story)
}

fn counted(reply: &Reply, vcpus: u32) -> String {
    let sum = |key: &str| (0..vcpus).filter_map(|vcpu| reply.number(&format!("{key}.{vcpu}"))).sum::<u64>();
    format!(
        "{} steps, {} lines printed, {} interrupts taken, {} bytes of memory compared",
        sum("counter"),
        sum("lines"),
        sum("interrupts"),
        reply.number("compared").unwrap_or(0),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_meets_each_pair_of_versions() {
        let turns: Vec<_> = (0..4).map(|nth| turn(Carriers::Both, nth)).collect();
        for carrier in [Carrier::Exec, Carrier::Socket] {
            for version in [1, 2] {
                assert!(turns.contains(&(carrier, version)), "{turns:?}");
            }
        }
    }
}
