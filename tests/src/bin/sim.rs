//! `sim`: random updates with faults on the simulated machine, and all schedules of two or three faults. Usually
//! started by `cargo xtask sim`, which passes its options on.
//!
//! It ends with the number of violations; its exit code says whether there were any.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Parser, ValueEnum};
use luo_tests::hostile::exhaust;
use luo_tests::sim::{Class, Crew, Finding, Plan, Progress, Totals, quieten};
use luo_tests::story::{Depth, sweep};

/// Random updates with faults on the simulated machine, or all schedules of a few faults.
#[derive(Parser)]
#[command(name = "sim")]
struct Options {
    /// How many updates, at least
    #[arg(long, default_value_t = 100_000)]
    updates: u64,
    /// The seed of the first life; the others count from it
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many threads
    #[arg(long)]
    jobs: Option<usize>,
    /// Stop after so many seconds
    #[arg(long)]
    seconds: Option<u64>,
    /// Live one life again, and shorten it if something is wrong with it
    #[arg(long)]
    replay: Option<u64>,
    /// All schedules of two faults with eight files, or of three with four
    #[arg(long)]
    schedules: Option<Schedules>,
    /// Every bit flipped, every byte as 00 and FF, and every truncation of a handover
    #[arg(long)]
    hostile: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Schedules {
    Double,
    Triple,
}

fn main() -> ExitCode {
    let options = Options::parse();
    quieten();
    let jobs = options.jobs.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    let violations = match (options.replay, options.schedules) {
        (Some(seed), _) => replay(seed),
        (None, Some(schedules)) => all_schedules(schedules, jobs),
        (None, None) if options.hostile => hostile(jobs),
        (None, None) => random(&options, jobs),
    };
    println!("{violations} violations");
    if violations == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn random(options: &Options, jobs: usize) -> usize {
    let deadline = options.seconds.map(Duration::from_secs);
    let crew = Crew { updates: options.updates, seed: options.seed, jobs, deadline };
    let begun = Instant::now();
    let (totals, findings) = crew.work(|Progress { totals, elapsed }| {
        println!("{:>12} updates, {:>7.0}/s", totals.updates, rate(totals.updates, elapsed));
    });
    let elapsed = begun.elapsed();
    tell(&totals, elapsed, jobs);
    if !findings.is_empty() {
        println!("found after {:.3} s, {} updates", elapsed.as_secs_f64(), totals.updates);
    }
    findings.iter().for_each(tell_finding);
    findings.len()
}

fn rate(count: u64, elapsed: Duration) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a rate is read by people")]
    let count = count as f64;
    count / elapsed.as_secs_f64().max(1e-9)
}

fn tell(totals: &Totals, elapsed: Duration, jobs: usize) {
    println!("faults and surroundings, by how often they were planned:");
    for (class, count) in Class::ALL.iter().zip(totals.planned) {
        println!("{count:>12}  {}", class.text());
    }
    let Totals { lives, updates, faulty, faults, lost, twice, .. } = totals;
    println!("{lives} lives, {twice} of them lived twice and the same; {lost} guests lost as they may be");
    println!("{updates} updates, {faulty} with at least one fault, {faults} faults came");
    let rate = rate(*updates, elapsed);
    println!("{:.1} s, {rate:.0} updates/s with {jobs} threads", elapsed.as_secs_f64());
}

fn tell_finding(finding: &Finding) {
    println!("\nseed {} : {}", finding.plan.seed, finding.what);
    let short = finding.clone().shortened();
    println!("shortened from {} parts to {}:\n{:#?}", finding.plan.size(), short.plan.size(), short.plan);
    println!("again: cargo xtask sim --replay {}", finding.plan.seed);
}

fn replay(seed: u64) -> usize {
    match Plan::of(seed).try_live() {
        Ok(outcome) => {
            println!("{outcome:?}");
            0
        }
        Err(finding) => {
            tell_finding(&finding);
            1
        }
    }
}

fn all_schedules(schedules: Schedules, jobs: usize) -> usize {
    let depth = match schedules {
        Schedules::Double => Depth::Double,
        Schedules::Triple => Depth::Triple,
    };
    let begun = Instant::now();
    let swept = sweep(depth, jobs, |done, at, of| {
        println!("{done:>12} schedules, {at} of {of} first faults, {:.0} s", begun.elapsed().as_secs_f64());
    });
    for (by, faults) in swept.violations.iter().take(10) {
        println!("violation: {by:?} with {faults:?}");
    }
    let seconds = begun.elapsed().as_secs_f64();
    println!("{} schedules in {seconds:.1} s with {jobs} threads", swept.schedules);
    swept.violations.len()
}

fn hostile(jobs: usize) -> usize {
    let begun = Instant::now();
    let all = exhaust(jobs, 1);
    all.silent.iter().take(10).for_each(|silent| println!("violation: {silent}"));
    println!("a handover of {} bytes:", all.bytes);
    println!("{:>9} bits flipped", all.flips);
    println!("{:>9} bytes set to 00 or FF", all.set);
    println!("{:>9} truncations", all.truncations);
    println!("{:>9} refused, {} set aside in part", all.refused, all.isolated);
    println!(
        "{:>9} in bytes behind a record that nobody reads: what is seen is what was written",
        all.unread
    );
    println!("{:>9} in nodes of the tracker that add frames nobody names: the same", all.unnamed);
    let seconds = begun.elapsed().as_secs_f64();
    if !all.silent.is_empty() {
        println!("found after {seconds:.3} s, {} changes", all.flips + all.set + all.truncations);
    }
    println!("{seconds:.1} s with {jobs} threads");
    all.silent.len()
}
