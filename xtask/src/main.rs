//! The tasks of this project, as `cargo xtask TASK`. One file for each task; this one only tells them apart.

mod bench;
mod ci;
mod concurrency;
mod fuzz;
mod golden;
mod instructions;
mod mutants;
mod new_handler;
mod nightly;
mod no_std;
mod program;
mod sanitize;
mod supervise;
mod sim;
mod tally;
mod test;
mod tidy;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The tasks of this project.
#[derive(Parser)]
#[command(name = "xtask", bin_name = "cargo xtask", disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Everything that has to be green before a change is merged
    Ci,
    /// All tests: unit, scenario and doc tests, the examples, the program without std
    Test(test::Options),
    /// The rules of the house that a compiler does not check
    Tidy,
    /// A crate for another kind of file: an echo that keeps all laws, to build on
    NewHandler(new_handler::Options),
    /// The list of released bytes under tests/golden
    Golden(golden::Options),
    /// Measurements, for people to read
    Bench(bench::Options),
    /// Every interleaving of what is concurrent, by loom and shuttle
    Concurrency(concurrency::Options),
    /// libFuzzer on hostile bytes and on operations against models
    Fuzz(fuzz::Options),
    /// Tests under sanitizers of memory and of threads: half an hour on two processors
    Sanitize(sanitize::Options),
    /// Whether tests hold every line of the wire's readers, the tracker and the order of steps; needs cargo-mutants
    Mutants(mutants::Options),
    /// Random updates with faults on the simulated machine, or all schedules of two or three faults
    Sim(sim::Options),
    /// Link the kernel-agnostic crates without std and run an update
    NoStd,
    /// Watch over one test: what `test` starts
    #[command(hide = true)]
    Supervise(supervise::Options),
    /// Become a test: what `supervise` starts
    #[command(hide = true)]
    Hold(supervise::Held),
}

fn main() -> ExitCode {
    let done = match Arguments::parse().task {
        Task::Ci => ci::run(),
        Task::Test(options) => test::run(&options),
        Task::Tidy => tidy::run(),
        Task::NewHandler(options) => new_handler::run(&options),
        Task::Golden(options) => golden::run(&options),
        Task::Bench(options) => bench::run(&options),
        Task::Concurrency(options) => concurrency::run(&options),
        Task::Fuzz(options) => fuzz::run(&options),
        Task::Sanitize(options) => sanitize::run(&options),
        Task::Mutants(options) => mutants::run(&options),
        Task::Sim(options) => sim::run(&options),
        Task::NoStd => no_std::run(),
        Task::Supervise(options) => supervise::run(&options),
        Task::Hold(held) => supervise::hold(&held),
    };
    done.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}
