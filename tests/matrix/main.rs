//! The matrix: every handler on every host, by every carrier, in every scenario. A **trial** is one cell of it and is
//! called `handler/carrier/scenario`; what its handler needs of the machine is its kind.
//!
//! - A **row** is a handler with the fixture of one host. A new handler joins by one row.
//! - A **column** is a carrier: within this process by a simulated exec or kexec or by real memory of descriptors; or
//!   between two processes by a real exec or a real socket.
//! - A **scenario** says what is preserved, and which turn the update takes. Where one mirrors a selftest of the
//!   kernel's live update (`tools/testing/selftests/liveupdate`), it has its name.
//!
//! A trial between processes starts this program again. What the old program saw of its files it writes down for the
//! new one to compare.

mod scenario;
mod sides;
mod inside;
#[cfg(target_os = "linux")]
mod across;
mod asking;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};
use luo_core::conformance::Fixture;
use luo_guestmemfd::Retrieve;
#[cfg(target_os = "linux")]
use luo_hugetlb::PageSize;
use luo_memfd::CopyWhen;
use luo_tests::{guestmemfd, hugetlb, memfd};
#[cfg(target_os = "linux")]
use luo_tests::{guestmemfd::unsupported, hugetlb::borrow};

use scenario::SCENARIOS;

/// All rows.
fn rows(matrix: &mut Matrix) {
    matrix.simulated("memfd", MANY, || memfd::SimFixture::new(CopyWhen::Needed));
    matrix.simulated("hugetlb", 5, || hugetlb::SimFixture::new(CopyWhen::Needed));
    matrix.simulated("guest_memfd", MANY, || guestmemfd::SimFixture::new(Retrieve::MapOld));
    #[cfg(target_os = "linux")]
    {
        matrix.real("memfd", &Real::ANYWHERE, || memfd::RealFixture::new(CopyWhen::Needed));
        let pages = |test: &str| Some(Box::new(borrow(test, PageSize::MIB_2, 24)?) as Guard);
        let huge = Real { needs: "pool deadline=600s", many: 5, guard: pages };
        matrix.real("hugetlb", &huge, || hugetlb::RealFixture::new(CopyWhen::Needed));
        let supported = |test: &str| (!unsupported(test)).then(|| Box::new(()) as Guard);
        let guests = Real { needs: "kvm", many: 50, guard: supported };
        matrix.real("guest_memfd", &guests, || guestmemfd::RealFixture::new(Retrieve::MapOld));
    }
}

/// What a row of real files says of itself.
#[cfg(target_os = "linux")]
struct Real {
    /// What its trials need, in the words of the runner.
    needs: &'static str,
    /// How many files there are where a scenario wants many.
    many: usize,
    /// Held while a trial runs. `None` where this machine has no such files: it has said so.
    guard: fn(&str) -> Option<Guard>,
}

#[cfg(target_os = "linux")]
impl Real {
    /// Of files that every Linux has.
    const ANYWHERE: Self = Self { needs: "", many: MANY, guard: |_| Some(Box::new(())) };
}

/// Whatever gives back by its drop.
#[cfg(target_os = "linux")]
type Guard = Box<dyn core::any::Any>;

/// As many files as the kernel's selftests preserve.
const MANY: usize = 500;

/// Trials, or the one part that this process plays in a trial of another.
#[derive(Default)]
struct Matrix {
    trials: Vec<Trial>,
    /// The trial that another process asks this one to play a part in.
    #[cfg(target_os = "linux")]
    part: Option<String>,
    /// How that went.
    played: Option<Result<(), Failed>>,
}

impl Matrix {
    fn add(
        &mut self,
        name: [&str; 3],
        needs: &str,
        trial: impl FnOnce() -> Result<(), Failed> + Send + 'static,
    ) {
        self.trials.push(Trial::test(name.join("/"), trial).with_kind(needs));
    }

    /// A row of files on a simulated host.
    fn simulated<F: Fixture + 'static>(&mut self, handler: &'static str, many: usize, make: fn() -> F) {
        for column in &inside::SIMULATED {
            for scenario in SCENARIOS.iter().filter(|scenario| column.plays(scenario)) {
                self.add([handler, column.name, scenario.name], "", move || {
                    inside::play(&mut make(), &column.ground(&mut make()), scenario, many)
                });
            }
        }
        for question in &asking::questions::<F>() {
            let ask = question.ask;
            self.add([handler, "sim", question.name], "", move || ask(&mut make(), many));
        }
    }

    /// A row of real files.
    #[cfg(target_os = "linux")]
    fn real<F: Fixture + 'static>(&mut self, handler: &'static str, real: &Real, make: fn() -> F) {
        let Real { needs, many, guard } = *real;
        for scenario in SCENARIOS {
            let names = [handler, "process", scenario.name];
            self.add(names, needs, move || {
                let Some(_guard) = guard(&names.join("/")) else { return Ok(()) };
                inside::play(&mut make(), &memfd::ProcessGround::new(), scenario, many)
            });
            for across::Carrier { name, plays, trial, part } in across::carriers::<F>() {
                let names = [handler, name, scenario.name];
                let full = names.join("/");
                if self.part.as_ref() == Some(&full) {
                    self.played = Some(part(&mut make(), scenario, many));
                }
                if !plays(scenario.turn) {
                    continue;
                }
                self.add(names, needs, move || match guard(&full) {
                    Some(_guard) => trial(&full, &mut make(), scenario, many),
                    None => Ok(()),
                });
            }
        }
        for question in &asking::questions::<F>() {
            let ask = question.ask;
            let names = [handler, "host", question.name];
            self.add(names, needs, move || {
                let Some(_guard) = guard(&names.join("/")) else { return Ok(()) };
                ask(&mut make(), many)
            });
        }
    }
}

fn main() -> ExitCode {
    let mut matrix = Matrix::default();
    #[cfg(target_os = "linux")]
    {
        matrix.part = across::part();
    }
    rows(&mut matrix);
    match matrix.played {
        None => {
            let mut arguments = Arguments::from_args();
            // Some fixtures count what their process has open.
            arguments.test_threads.get_or_insert(1);
            libtest_mimic::run(&arguments, matrix.trials).exit_code()
        }
        Some(Ok(())) => ExitCode::SUCCESS,
        Some(Err(failed)) => {
            eprintln!("{}", failed.message().unwrap_or("it failed"));
            ExitCode::FAILURE
        }
    }
}
