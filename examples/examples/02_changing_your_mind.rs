//! Changing your mind: every step of an update undoes itself, and nothing is lost.
//!
//! Three updates that do not happen: one is prepared and dropped, one is frozen and taken back, one is refused by the
//! successor after the offer was made. After each, the program has its note and the right to run, and preserved
//! memory is as it was. The fourth update then succeeds.

use std::error::Error;

use luo_core::{Luo, Registry, SessionName, State, Stuck, Token};
use luo_examples::{Note, NoteHandler};
use luo_kho::carrier::CarrierError;
use luo_kho::sim::{Machine, MachineConfig, SimExec, SimKho};

const NOTE: Token = Token(1);

fn registry() -> Result<Registry, Box<dyn Error>> {
    let mut registry = Registry::new();
    registry.handler(NoteHandler)?;
    Ok(registry)
}

fn main() -> Result<(), Box<dyn Error>> {
    let machine = Machine::new(MachineConfig::default());
    let session = SessionName::new("first")?;
    let (mut luo, owned) = Luo::found(machine.fresh()?, registry()?)?;
    let note = Note::new("still here");
    luo.open_session(session)?;
    luo.preserve(session, NOTE, note.clone())?;
    let before = luo.memory().census();

    let mut refusing = SimExec::new(|_: &Machine| {
        Err(CarrierError::Refused { reason: "I do not like the look of it".to_owned() })
    });

    // One: prepared, and dropped.
    drop(luo.prepare(&mut refusing)?);
    assert_eq!((luo.state(), luo.memory().census()), (State::Normal, before.clone()));
    println!("prepared and dropped: nothing happened");

    // Two: frozen, and taken back. Freezing took the right to run; it comes back by value.
    let frozen = luo.prepare(&mut refusing)?.freeze(owned).map_err(|stuck| stuck.error)?;
    let owned = frozen.cancel().map_err(|stuck| stuck.error)?;
    assert_eq!((luo.state(), luo.memory().census()), (State::Normal, before.clone()));
    println!("frozen and taken back: the guest may run, as {}", owned.word());

    // Three: offered, and refused by the successor. The guard comes back with the reason.
    let frozen = luo.prepare(&mut refusing)?.freeze(owned).map_err(|stuck| stuck.error)?;
    let Err(Stuck { kept: frozen, error }) = frozen.hand_over() else {
        return Err("this successor refuses".into());
    };
    println!("offered and refused: {error}");
    let owned = frozen.cancel().map_err(|stuck| stuck.error)?;
    assert_eq!((luo.state(), luo.memory().census()), (State::Normal, before));
    assert_eq!(note.text(), "still here");

    // Four: a successor that takes over.
    let mut text = String::new();
    let mut willing = SimExec::new(|machine: &Machine| {
        text = take_over(machine, session)
            .map_err(|error| CarrierError::Refused { reason: error.to_string() })?;
        Ok(())
    });
    let frozen = luo.prepare(&mut willing)?.freeze(owned).map_err(|stuck| stuck.error)?;
    let departed = frozen.hand_over().map_err(|stuck| stuck.error)?;
    println!("offered and taken: the memory says {}, the note says {text:?}", departed.word());
    assert_eq!(text, "still here");
    Ok(())
}

fn take_over(machine: &Machine, session: SessionName) -> Result<String, Box<dyn Error>> {
    let mut adopted = Luo::<SimKho>::adopt(machine.successor()?, registry()?)?;
    let note: Note = adopted.retrieve(session, NOTE)?;
    let (updated, _owned) = adopted.commit().map_err(|stuck| stuck.error)?;
    updated.finish().map_err(|stuck| stuck.error)?;
    Ok(note.text())
}
