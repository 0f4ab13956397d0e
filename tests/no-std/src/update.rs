//! Two updates. On the simulated machine: the **old** program preserves a file and hands over; the simulated machine
//! boots its next kernel; the **new** program adopts, retrieves the file, commits and finishes. And the same on the toy
//! kernel of example 04, which is no more than the crates ask for.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use core::error::Error;

use luo_core::{Luo, Registry, SessionName, Token};
use luo_kho::sim::{Machine, MachineConfig, SimKexec};
use luo_kho::{Kho, Owned};

use crate::kernel::{Kernel, Reboot};
use crate::pages::{Pages, PagesHandler};

const SESSION: &str = "no-std";
const TOKEN: Token = Token(7);

/// Words near and far: a sparse array holds both cheaply.
const WORDS: [(u64, u64); 4] = [(0, 0x6C75_6F00), (1, 0), (1 << 40, 3), (u64::MAX, 4)];

/// Runs both. What happened, in one line.
pub(crate) fn update() -> Result<String, Box<dyn Error>> {
    let (simulated, toy) = (on_simulated_machine()?, on_toy_kernel()?);
    Ok(format!("updated without std: {simulated}; {toy}"))
}

/// Across a reboot of the toy kernel.
fn on_toy_kernel() -> Result<String, Box<dyn Error>> {
    let (mut luo, owned) = Luo::found(Kernel::boot(), registry()?).map_err(|stuck| stuck.error)?;
    let session = SessionName::new(SESSION)?;
    let pages = Pages::new(WORDS);
    luo.open_session(session)?;
    luo.preserve(session, TOKEN, pages.clone())?;
    let mut arrived = None;
    let mut carrier = Reboot(|kernel| {
        arrived = Some(take_over(kernel).map(|(_, pages)| pages));
        Ok(())
    });
    let frozen = luo.prepare(&mut carrier)?.freeze(owned).map_err(|stuck| stuck.error)?;
    let departed = frozen.hand_over().map_err(|stuck| stuck.error)?;
    let arrived = arrived.ok_or("the toy kernel did not boot its next one")??;
    if arrived.words() != pages.words() {
        return Err("the words are not those that were preserved".into());
    }
    Ok(format!("a toy kernel too, {}", departed.word()))
}

/// Across a kexec of the simulated machine.
fn on_simulated_machine() -> Result<String, Box<dyn Error>> {
    let machine = Machine::new(MachineConfig::default());
    let (mut luo, owned) = Luo::found(machine.fresh()?, registry()?).map_err(|stuck| stuck.error)?;
    let session = SessionName::new(SESSION)?;
    let pages = Pages::new(WORDS);
    luo.open_session(session)?;
    luo.preserve(session, TOKEN, pages.clone())?;

    let mut arrived = None;
    let mut carrier = SimKexec::new(|machine: &Machine| {
        arrived = Some(arrive(machine));
        Ok(())
    });
    let frozen = luo.prepare(&mut carrier)?.freeze(owned).map_err(|stuck| stuck.error)?;
    // The machine boots in there, and this program is dead: whatever it is told, nobody hears it.
    drop(frozen.hand_over());

    let arrived = arrived.ok_or("the machine did not boot its next kernel")??;
    if arrived.words() != pages.words() {
        return Err("the words are not those that were preserved".into());
    }
    if !machine.violations().is_empty() {
        return Err(format!("the machine noticed {:?}", machine.violations()).into());
    }
    let (words, boots) = (arrived.words().iter().count(), machine.boots());
    Ok(format!("{words} words came through boot {boots}, {}", machine.word()))
}

/// The new program on the simulated machine.
fn arrive(machine: &Machine) -> Result<Pages, Box<dyn Error>> {
    let (owned, pages) = take_over(machine.successor()?)?;
    if !machine.enter_guest(&owned) {
        return Err("the right to run the guest is worth nothing".into());
    }
    Ok(pages)
}

/// The new program.
fn take_over<K: Kho>(memory: K) -> Result<(Owned, Pages), Box<dyn Error>> {
    let mut adopted = Luo::adopt(memory, registry()?).map_err(|stuck| stuck.error)?;
    let pages: Pages = adopted.retrieve(SessionName::new(SESSION)?, TOKEN)?;
    let (updated, owned) = adopted.commit().map_err(|stuck| stuck.error)?;
    updated.finish().map_err(|stuck| stuck.error)?;
    Ok((owned, pages))
}

/// What both programs can carry.
fn registry() -> Result<Registry, Box<dyn Error>> {
    let mut registry = Registry::new();
    registry.handler(PagesHandler)?;
    Ok(registry)
}
