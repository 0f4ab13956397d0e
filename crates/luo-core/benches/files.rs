//! What a file costs in each phase, from one to a hundred thousand files, and the exponent that fits; and what it costs
//! to freeze a file of a terabyte.
//!
//! An exponent of 1 means that a file costs the same however many there are. Beside it stands the **list model**:
//! tokens in a linked list that is searched for each file that is preserved and for each that is retrieved, as Linux
//! does it; its exponent is 2. Times are this machine's; the exponent is what carries over.

use std::collections::LinkedList;
use std::error::Error;
use std::hint::black_box;
use std::time::Instant;

use luo_core::{
    Copying, FileHandler, FreezeScope, Identity, Kind, Luo, PrepareScope, Record, Refusal, Registry,
    RetrieveScope, SessionName, Token, Travel, Verdict, Version, VersionRange,
};
use luo_kho::ByteLen;
use luo_kho::carrier::{CarrierError, DescriptorKind};
use luo_kho::sim::{Machine, MachineConfig, SimExec};
use luo_memfd::Memfds;
use luo_memfd::sim::SimHost;

/// The smallest file there is: a number.
#[derive(Clone, Debug)]
struct Number(u64);
struct Numbers;

impl FileHandler for Numbers {
    type File = Number;
    type Held = ();

    fn kind(&self) -> Kind {
        Kind::literal("number")
    }
    fn reads(&self) -> VersionRange {
        VersionRange::only(Version(1))
    }
    fn writes(&self) -> Vec<Version> {
        vec![Version(1)]
    }
    fn leans_on(&self) -> Vec<Kind> {
        Vec::new()
    }
    fn judge(&self, _file: &Number) -> Verdict {
        Verdict::Mine
    }
    fn identity(&self, file: &Number) -> Identity {
        Identity(file.0.into())
    }
    fn travel(&self, _file: &Number) -> Travel {
        Travel { descriptor: DescriptorKind("number"), bytes: ByteLen::new(8), copy: Copying::Can }
    }
    fn preserve(&self, _file: &Number) -> Result<(), Refusal> {
        Ok(())
    }
    fn survey(&self, _file: &Number, (): &mut ()) -> Result<(), Refusal> {
        Ok(())
    }
    fn prepare(&self, _file: &Number, (): &mut (), scope: &mut PrepareScope<'_>) -> Result<(), Refusal> {
        Ok(scope.reserve(Version(1), ByteLen::new(8))?)
    }
    fn cancel(&self, _file: &Number, (): &mut ()) {}
    fn freeze(&self, file: &Number, (): &mut (), scope: &mut FreezeScope<'_>) -> Result<(), Refusal> {
        Ok(scope.put(Version(1), &file.0.to_le_bytes())?)
    }
    fn unfreeze(&self, _file: &Number, (): &mut ()) {}
    fn depart(&self, _file: Number, (): ()) {}
    fn retrieve(&self, record: &Record<'_>, _scope: &mut RetrieveScope<'_>) -> Result<Number, Refusal> {
        let Ok(bytes) = record.payload.try_into() else { return Err(Refusal::because("not a number")) };
        Ok(Number(u64::from_le_bytes(bytes)))
    }
    fn can_finish(&self, _record: &Record<'_>, _file: &Number) -> Result<(), Refusal> {
        Ok(())
    }
    fn finish(&self, _record: &Record<'_>, _file: &Number) {}
    fn discard(&self, _record: &Record<'_>, _scope: &mut RetrieveScope<'_>) {}
}

const PHASES: [&str; 7] = ["preserve", "prepare", "freeze", "hand over", "adopt", "retrieve", "finish"];
const SIZES: [u32; 8] = [1, 10, 100, 1_000, 3_162, 10_000, 31_623, 100_000];
/// Exponents are those of so many files and more: below, what one update costs without a file weighs more.
const FITTED_FROM: u32 = 1_000;
/// The list takes a minute from here on.
const LIST_BELOW: u32 = 100_000;
/// Updates with each number of files: at least so many, and so many files in all.
const REPETITIONS: u32 = 5;
const FILES_IN_ALL: u32 = 20_000;

/// Files in a session.
const IN_SESSION: usize = 1_000;

fn session(first: u64) -> Result<SessionName, Box<dyn Error>> {
    Ok(SessionName::new(&format!("session of file {first}"))?)
}

/// Seconds since the call before, or since now.
fn laps() -> impl FnMut() -> f64 {
    let mut start = Instant::now();
    move || {
        let now = Instant::now();
        (now - std::mem::replace(&mut start, now)).as_secs_f64()
    }
}

/// Seconds of each phase with `files` files.
fn update(files: u32) -> Result<[f64; PHASES.len()], Box<dyn Error>> {
    let files = u64::from(files);
    let registry = || {
        let mut registry = Registry::new();
        registry.handler(Numbers).map(|_| ())?;
        Ok::<_, Box<dyn Error>>(registry)
    };
    let machine = Machine::new(MachineConfig::default());
    let (mut luo, owned) = Luo::found(machine.fresh()?, registry()?)?;
    let mut seconds = [0.0; PHASES.len()];
    let mut far = [0.0; 3];
    let mut lap = laps();

    for first in (0..files).step_by(IN_SESSION) {
        let session = session(first)?;
        luo.open_session(session)?;
        for file in (first..files).take(IN_SESSION) {
            luo.preserve(session, Token(file), Number(file))?;
        }
    }
    seconds[0] = lap();
    let mut carrier = SimExec::new(|machine: &Machine| {
        far = take_over(machine, registry, files)
            .map_err(|error| CarrierError::Refused { reason: error.to_string() })?;
        Ok(())
    });
    let prepared = luo.prepare(&mut carrier)?;
    seconds[1] = lap();
    let frozen = prepared.freeze(owned).map_err(|stuck| stuck.error)?;
    seconds[2] = lap();
    let _departed = frozen.hand_over().map_err(|stuck| stuck.error)?;
    seconds[3] = lap() - far.iter().sum::<f64>();
    seconds[4..].copy_from_slice(&far);
    Ok(seconds)
}

fn take_over(
    machine: &Machine,
    registry: impl Fn() -> Result<Registry, Box<dyn Error>>,
    files: u64,
) -> Result<[f64; 3], Box<dyn Error>> {
    let mut lap = laps();
    let mut adopted = Luo::adopt(machine.successor()?, registry()?).map_err(|stuck| stuck.error)?;
    let adopt = lap();
    for first in (0..files).step_by(IN_SESSION) {
        let session = session(first)?;
        for file in (first..files).take(IN_SESSION) {
            let number: Number = adopted.retrieve(session, Token(file))?;
            assert_eq!(number.0, file);
        }
    }
    let retrieve = lap();
    let (updated, _owned) = adopted.commit().map_err(|stuck| stuck.error)?;
    let _luo = updated.finish().map_err(|stuck| stuck.error)?;
    Ok([adopt, retrieve, lap()])
}

/// The slope of the line through (ln files, ln seconds), by least squares.
fn exponent(points: &[(f64, f64)]) -> f64 {
    let logs: Vec<_> = points.iter().map(|(x, y)| (x.ln(), y.ln())).collect();
    let count: f64 = logs.iter().map(|_| 1.0).sum();
    let (sum_x, sum_y) = logs.iter().fold((0.0, 0.0), |(a, b), (x, y)| (a + x, b + y));
    let (mean_x, mean_y) = (sum_x / count, sum_y / count);
    let above: f64 = logs.iter().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum();
    let below: f64 = logs.iter().map(|(x, _)| (x - mean_x).powi(2)).sum();
    above / below
}

/// Seconds that Linux's way with tokens takes: each is searched for before it is added, and again to be retrieved.
fn list(files: u32) -> [f64; 2] {
    let mut lap = laps();
    let mut tokens = LinkedList::new();
    for token in 0..files {
        if !black_box(&tokens).contains(&token) {
            tokens.push_back(token);
        }
    }
    let preserve = lap();
    for token in 0..files {
        black_box(tokens.iter().find(|held| **held == token));
    }
    [preserve, lap()]
}

fn quickest_list(files: u32) -> [f64; 2] {
    let times = (0..(FILES_IN_ALL / files).clamp(1, REPETITIONS)).map(|_| list(files));
    times.fold([f64::INFINITY; 2], |[preserve, retrieve], [other, another]| {
        [preserve.min(other), retrieve.min(another)]
    })
}

/// Seconds to freeze one simulated memfd of a terabyte, which goes by reference, with a page in each of its gigabytes.
fn terabyte() -> Result<f64, Box<dyn Error>> {
    let machine = Machine::new(MachineConfig::default());
    let host = SimHost::new();
    let mut registry = Registry::new();
    registry.handler(Memfds::new(host.clone()))?;
    let (mut luo, owned) = Luo::found(machine.fresh()?, registry)?;
    let session = SessionName::new("guest")?;
    luo.open_session(session)?;
    let file = host.memfd("guest");
    file.resize(1 << 40)?;
    for gigabyte in 0..1 << 10 {
        file.write_at(gigabyte << 30, b"a page")?;
    }
    luo.preserve(session, Token(1), file)?;
    let mut carrier = SimExec::new(|_: &Machine| Ok(()));
    let prepared = luo.prepare(&mut carrier)?;
    let start = Instant::now();
    let frozen = prepared.freeze(owned).map_err(|stuck| stuck.error)?;
    let seconds = start.elapsed().as_secs_f64();
    drop(frozen);
    Ok(seconds)
}

fn main() -> Result<(), Box<dyn Error>> {
    let phases = PHASES.map(|phase| format!("{phase:>10}")).join(" ");
    println!("{:>9} {phases} | list: preserve   retrieve", "files");
    let mut points = PHASES.map(|_| Vec::new());
    let mut listed = [Vec::new(), Vec::new()];
    for files in SIZES {
        let mut best = [f64::INFINITY; PHASES.len()];
        for _ in 0..REPETITIONS.max(FILES_IN_ALL / files) {
            for (best, seconds) in best.iter_mut().zip(update(files)?) {
                *best = best.min(seconds);
            }
        }
        let per_file = |seconds: f64| format!("{:>7.0} ns", seconds * 1e9 / f64::from(files));
        let ours = best.map(per_file).join(" ");
        let list = (files < LIST_BELOW).then(|| quickest_list(files));
        println!(
            "{files:>9} {ours} |     {}",
            list.map_or(String::new(), |list| list.map(per_file).join(" "))
        );
        if files < FITTED_FROM {
            continue;
        }
        for (points, seconds) in points.iter_mut().zip(best) {
            points.push((f64::from(files), seconds));
        }
        for (points, seconds) in listed.iter_mut().zip(list.into_iter().flatten()) {
            points.push((f64::from(files), seconds));
        }
    }
    let fitted = points.map(|points| format!("{:>10.3}", exponent(&points))).join(" ");
    let listed = listed.map(|points| format!("{:>10.3}", exponent(&points))).join(" ");
    println!("{:>9} {fitted} |     {listed}", "exponent");
    let mut frozen = Vec::new();
    for _ in 0..REPETITIONS {
        frozen.push(terabyte()?);
    }
    frozen.sort_by(f64::total_cmp);
    let micros: Vec<String> = frozen.iter().map(|seconds| format!("{:.1}", seconds * 1e6)).collect();
    println!("freeze of one file of 1 TiB, in us: {}", micros.join(" "));
    Ok(())
}
