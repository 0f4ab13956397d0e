//! While the guest runs: the file is attached, or room for its contents is reserved. Room for the payload is reserved
//! too.
//!
//! Everything that would make freeze refuse is looked for here already, where nobody waits.

use alloc::boxed::Box;

use luo_core::{PrepareScope, Refusal};
use luo_kho::carrier::Conveyance;
use luo_kho::{FrameCount, FrameRange, KhoError};

use crate::abi::Payload;
use crate::copy::Saving;
use crate::judge::{DESCRIPTOR, hidden, refuse_hidden};
use crate::options::Options;
use crate::preserve::{Held, Way};
use crate::sharing::RUNS_MAX;
use crate::{Facts, GuestMemfdError, Port};

/// What is reserved beyond what was told so far: slots that are plugged in, frames that change sides.
const BINDINGS_SPARE: usize = 64;
/// 16 KiB of payload.
const RUNS_SPARE: u64 = 512;

pub(crate) fn prepare<P: Port>(
    (port, options): (&P, &Options<P>),
    file: &P::File,
    held: &mut Held<P>,
    scope: &mut PrepareScope<'_>,
) -> Result<(), Refusal> {
    let facts = port.facts(file);
    let runs = refuse_too_many(&facts)?;
    for version in scope.versions().to_vec() {
        let bindings = facts.bindings().len() + BINDINGS_SPARE;
        scope.reserve(version, Payload::most_bytes(version, bindings, runs + RUNS_SPARE))?;
    }
    if let Some(vm) = port.vm(file) {
        scope.token_of(&vm).map_err(|cause| GuestMemfdError::VmNotPreserved { cause })?;
    }
    held.way = decide(port, options, file, &facts, scope)?;
    let map = facts.sharing().encode();
    held.encoded = Some((facts, map));
    Ok(())
}

/// How many runs of shared and private frames there are, if no more than are carried.
pub(crate) fn refuse_too_many(facts: &Facts) -> Result<u64, GuestMemfdError> {
    match facts.sharing().run_count() {
        runs if runs > RUNS_MAX => Err(GuestMemfdError::TooManyRuns { runs, max: RUNS_MAX }),
        runs => Ok(runs),
    }
}

/// Nothing of it is left after this: the orchestrator gives back what was taken from memory.
pub(crate) fn cancel<P: Port>(held: &mut Held<P>) {
    *held = Held::new();
}

fn decide<P: Port>(
    port: &P,
    options: &Options<P>,
    file: &P::File,
    facts: &Facts,
    scope: &mut PrepareScope<'_>,
) -> Result<Way<P>, GuestMemfdError> {
    let private = options.private_of(file);
    if private.is_none() {
        refuse_hidden(facts)?;
    }
    // What the host cannot read is of no use to the new machine where it lies.
    if hidden(facts).is_none() && scope.conveys(DESCRIPTOR) == Conveyance::ByReference {
        match attach(port, file, facts, scope) {
            Ok(segment) => return Ok(Way::Reference(segment)),
            // This memory has no segments, or none for such files.
            Err(GuestMemfdError::Kho(KhoError::NotAttachable { .. })) => {}
            Err(error) => return Err(error),
        }
    }
    let saving = Saving::begin((port, options), file, facts, private, scope.memory())?;
    Ok(Way::Copy(Box::new(saving)))
}

fn attach<P: Port>(
    port: &P,
    file: &P::File,
    facts: &Facts,
    scope: &mut PrepareScope<'_>,
) -> Result<FrameRange, GuestMemfdError> {
    let too_many = || KhoError::NotAttachable { why: "it has more pages than there are frame numbers" };
    let frames = FrameCount::new(facts.pages().max(1)).ok_or_else(too_many)?;
    Ok(port.attach(file, scope.memory(), frames)?)
}
