//! What a file costs in each phase, from a thousand to a hundred thousand files, and the exponent that fits.
//!
//! An exponent of 1 means that a file costs the same however many there are. The kernel's lists are searched once per
//! file, which makes its exponent 2. Times are this machine's; the exponent is what carries over.

use std::error::Error;
use std::time::Instant;

use luo_core::{
    Copying, FileHandler, FreezeScope, Identity, Kind, Luo, PrepareScope, Record, Refusal, Registry,
    RetrieveScope, SessionName, Token, Travel, Verdict, Version, VersionRange,
};
use luo_kho::ByteLen;
use luo_kho::carrier::{CarrierError, DescriptorKind};
use luo_kho::sim::{Machine, MachineConfig, SimExec};

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
const SIZES: [u32; 5] = [1_000, 3_162, 10_000, 31_623, 100_000];
const REPETITIONS: usize = 3;

/// Seconds of each phase with `files` files, spread over sessions of a thousand.
fn update(files: u32) -> Result<[f64; PHASES.len()], Box<dyn Error>> {
    let files = u64::from(files);
    let registry = || {
        let mut registry = Registry::new();
        registry.handler(Numbers).map(|_| ())?;
        Ok::<_, Box<dyn Error>>(registry)
    };
    let session = |file: u64| SessionName::new(&format!("session {}", file / 1000));
    let machine = Machine::new(MachineConfig::default());
    let (mut luo, owned) = Luo::found(machine.fresh()?, registry()?)?;
    let mut seconds = [0.0; PHASES.len()];
    let mut far = [0.0; 3];
    let mut clock = Instant::now();
    let mut lap = move || std::mem::replace(&mut clock, Instant::now()).elapsed().as_secs_f64();

    for file in 0..files {
        if file % 1000 == 0 {
            luo.open_session(session(file)?)?;
        }
        luo.preserve(session(file)?, Token(file), Number(file))?;
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
    let mut clock = Instant::now();
    let mut lap = move || std::mem::replace(&mut clock, Instant::now()).elapsed().as_secs_f64();
    let mut adopted = Luo::adopt(machine.successor()?, registry()?).map_err(|stuck| stuck.error)?;
    let adopt = lap();
    for file in 0..files {
        let session = SessionName::new(&format!("session {}", file / 1000))?;
        let number: Number = adopted.retrieve(session, Token(file))?;
        assert_eq!(number.0, file);
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

fn main() -> Result<(), Box<dyn Error>> {
    println!("{:>9} {}", "files", PHASES.map(|phase| format!("{phase:>10}")).join(" "));
    let mut points = PHASES.map(|_| Vec::new());
    for files in SIZES {
        let mut best = [f64::INFINITY; PHASES.len()];
        for _ in 0..REPETITIONS {
            for (best, seconds) in best.iter_mut().zip(update(files)?) {
                *best = best.min(seconds);
            }
        }
        let per_file = best.map(|seconds| format!("{:>7.0} ns", seconds * 1e9 / f64::from(files)));
        println!("{files:>9} {}", per_file.join(" "));
        for (points, seconds) in points.iter_mut().zip(best) {
            points.push((f64::from(files), seconds));
        }
    }
    let fitted = points.map(|points| format!("{:>10.3}", exponent(&points)));
    println!("{:>9} {}", "exponent", fitted.join(" "));
    Ok(())
}
