//! Columns within one process: both programs are here, and the far side is called by the carrier.

use std::cell::RefCell;

use libtest_mimic::Failed;
use luo_core::FileHandler as _;
use luo_core::conformance::{Fixture, Ground, Side, SimGround};
use luo_kho::FrameCount;
use luo_kho::carrier::CarrierError;
use luo_kho::sim::{Fragmentation, MachineConfig};

use crate::scenario::{Scenario, Turn};
use crate::sides::{Outcome, far, near};

/// A column of a simulated machine.
pub(crate) struct Column {
    pub(crate) name: &'static str,
    gap: Gap,
}

/// What is replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gap {
    /// The program: files are carried.
    Exec,
    /// The kernel, with which files end: they are copied, if need be into single frames.
    Kexec,
}

/// All of them.
pub(crate) const SIMULATED: [Column; 2] =
    [Column { name: "sim-exec", gap: Gap::Exec }, Column { name: "sim-kexec", gap: Gap::Kexec }];

/// Frames of the machine that boots another kernel: 128 MiB, for many files with all their reserves.
const FRAMES: u64 = 1 << 15;

impl Column {
    /// After a kexec there is nobody to refuse to.
    pub(crate) fn plays(&self, scenario: &Scenario) -> bool {
        scenario.turn != Turn::Refused || self.gap == Gap::Exec
    }

    pub(crate) fn ground<F: Fixture>(&self, fixture: &mut F) -> SimGround {
        match self.gap {
            Gap::Exec => SimGround::exec(),
            Gap::Kexec => {
                let frames = FrameCount::new(FRAMES).unwrap_or(FrameCount::ONE);
                let machine = MachineConfig::default().frames(frames).fragmentation(Fragmentation::Single);
                let file = fixture.file(0);
                let descriptor = fixture.handler(Side::Near).travel(&file).descriptor;
                SimGround::kexec().with(machine).refusing(descriptor, "files end with their kernel")
            }
        }
    }
}

/// One trial.
pub(crate) fn play<F: Fixture, G: Ground>(
    fixture: &mut F,
    ground: &G,
    scenario: &Scenario,
    many: usize,
) -> Result<(), Failed> {
    let before = fixture.baseline();
    let fixture = RefCell::new(fixture);
    let memory = ground.found()?;
    let near = near(&mut **fixture.borrow_mut(), memory, scenario, many)?;
    let portraits = near.portraits.clone();
    let mut came: Option<Outcome<()>> = None;
    let mut refusals = u32::from(scenario.turn == Turn::Refused);
    let mut carrier = ground.carrier(Box::new(|| {
        if refusals > 0 {
            refusals -= 1;
            return Err(CarrierError::Refused { reason: "not today".to_owned() });
        }
        let memory = ground.successor()?;
        let outcome = far(&mut **fixture.borrow_mut(), memory, scenario, many, &portraits);
        came.insert(outcome).clone().map_err(|reason| CarrierError::Refused { reason })
    }));
    let departed = near.update(&mut *carrier, scenario.turn);
    drop(carrier);
    came.unwrap_or_else(|| Err(format!("nobody came: {:?}", departed.as_ref().err())))?;
    // Whoever is replaced by a new kernel does not hear of it.
    if ground.comes_back() {
        let _departed = departed?;
    }
    let noticed = ground.finish();
    if !noticed.is_empty() {
        return Err(noticed.join("; ").into());
    }
    let after = fixture.borrow_mut().baseline();
    if after != before {
        return Err(format!("the host was {before:?} and is {after:?}").into());
    }
    Ok(())
}
