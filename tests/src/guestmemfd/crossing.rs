//! One update within this process, for scenarios: what is preserved goes in, what is retrieved comes out.

use std::fmt::Display;

use luo_core::conformance::{Ground, Side};
use luo_core::{Adopted, Luo, Plan, Registry};
use luo_kho::carrier::CarrierError;

/// What came out of an update.
#[derive(Debug)]
pub struct Crossed<T> {
    /// What the successor retrieved.
    pub arrived: T,
    /// What the plan had said.
    pub plan: Plan,
}

/// In words.
pub(super) fn said(error: impl Display) -> String {
    error.to_string()
}

/// Founds a program, lets it `preserve`, and updates it: `meanwhile` happens between prepare and freeze, and the
/// successor calls `retrieve` before it commits.
///
/// # Errors
///
/// What stood in the way, in words; nothing was handed over then.
pub fn cross<G: Ground, T>(
    ground: &G,
    registry: impl Fn(Side) -> Registry,
    preserve: impl FnOnce(&mut Luo<G::Kho>) -> Result<(), String>,
    meanwhile: impl FnOnce(),
    retrieve: impl Fn(&mut Adopted<G::Kho>) -> Result<T, String>,
) -> Result<Crossed<T>, String> {
    let refuse = |reason: String| CarrierError::Refused { reason };
    let memory = ground.found().map_err(said)?;
    let (mut luo, owned) = Luo::found(memory, registry(Side::Near)).map_err(|stuck| said(stuck.error))?;
    preserve(&mut luo)?;
    let mut arrived = None;
    let mut carrier = ground.carrier(Box::new(|| {
        let adopted = Luo::adopt(ground.successor()?, registry(Side::Far));
        let mut adopted = adopted.map_err(|stuck| refuse(said(stuck.error)))?;
        let found = retrieve(&mut adopted).map_err(refuse)?;
        let (updated, _owned) = adopted.commit().map_err(|stuck| refuse(said(stuck.error)))?;
        updated.finish().map_err(|stuck| refuse(said(stuck.error)))?;
        arrived = Some(found);
        Ok(())
    }));
    let plan = luo.plan(&[&*carrier], None);
    let prepared = luo.prepare(&mut *carrier).map_err(said)?;
    meanwhile();
    let frozen = prepared.freeze(owned).map_err(|stuck| said(stuck.error))?;
    let _departed = frozen.hand_over().map_err(|stuck| said(stuck.error))?;
    drop(carrier);
    Ok(Crossed { arrived: arrived.ok_or("nobody took over")?, plan })
}
