//! One file across one update, printed step by step.
//!
//! The machine is simulated, so that "old program" and "new program" can both stand here. On Linux the far side would
//! be another process, and the carrier would be `Exec` or `Socket`; nothing else would change.

use std::error::Error;

use luo_core::{Luo, Registry, SessionName, Token};
use luo_examples::{Note, NoteHandler};
use luo_kho::carrier::CarrierError;
use luo_kho::sim::{Machine, MachineConfig, SimExec, SimKho};

const NOTE: Token = Token(0x1A);

/// Every build says what it can carry.
fn registry() -> Result<Registry, Box<dyn Error>> {
    let mut registry = Registry::new();
    registry.handler(NoteHandler)?;
    Ok(registry)
}

fn main() -> Result<(), Box<dyn Error>> {
    let machine = Machine::new(MachineConfig::default());
    let session = SessionName::new("first")?;

    println!("old program: takes fresh memory and preserves a note as token {NOTE}");
    let (mut luo, owned) = Luo::found(machine.fresh()?, registry()?)?;
    let note = Note::new("hello");
    luo.open_session(session)?;
    luo.preserve(session, NOTE, note.clone())?;

    // The far side: whatever runs once the old program has stopped.
    let mut arrived = None;
    let mut carrier = SimExec::new(|machine: &Machine| {
        arrived = Some(
            take_over(machine, session)
                .map_err(|error| CarrierError::Refused { reason: error.to_string() })?,
        );
        Ok(())
    });

    println!("old program: prepares; the note can still change");
    let prepared = luo.prepare(&mut carrier)?;
    note.append(", world");

    println!("old program: freezes; nothing runs from here on");
    let frozen = prepared.freeze(owned).map_err(|stuck| stuck.error)?;

    println!("old program: hands over");
    let departed = frozen.hand_over().map_err(|stuck| stuck.error)?;
    println!("old program: the memory says {}; good-bye", departed.word());

    let note = arrived.ok_or("nobody took over")?;
    println!("new program: the note says {:?}", note.text());
    assert_eq!(note.text(), "hello, world");
    Ok(())
}

fn take_over(machine: &Machine, session: SessionName) -> Result<Note, Box<dyn Error>> {
    println!("new program: adopts what is on offer");
    let mut adopted = Luo::<SimKho>::adopt(machine.successor()?, registry()?)?;
    let note: Note = adopted.retrieve(session, NOTE)?;

    println!("new program: has the note again, and commits");
    let (updated, _owned) = adopted.commit().map_err(|stuck| stuck.error)?;

    println!("new program: finishes; what carried the note is free again");
    let _luo = updated.finish().map_err(|stuck| stuck.error)?;
    Ok(note)
}
