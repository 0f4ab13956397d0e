//! Reading a handover: everything that is on offer, printed by a program that can carry nothing of it.
//!
//! Whoever adopts claims nothing, so a reader may look and leave: the offer stands, and the next one who adopts it sees
//! the same bytes. The layout is told in `docs/handover-format.md`.

use std::error::Error;

use luo_core::{Luo, Registry, SessionName, Token, WritePolicy};
use luo_examples::{Note, NoteHandler};
use luo_kho::carrier::CarrierError;
use luo_kho::sim::{Machine, MachineConfig, SimExec};
use luo_kho::{Kho as _, Memory as _, Name, PhysAddr, PreservedArray};

/// Bytes of the header before a root's fields, and before the items of each block of the image.
const ROOT_HEADER: usize = 16;
const BLOCK_HEADER: usize = 24;

/// The sections of an image, by their codes.
const SECTIONS: [&str; 9] =
    ["head", "names", "subsystems", "shared", "sessions", "files", "links", "objects", "payloads"];

fn main() -> Result<(), Box<dyn Error>> {
    let machine = Machine::new(MachineConfig::default());
    let mut registry = Registry::new();
    registry.handler(NoteHandler)?;
    let (mut luo, owned) = Luo::found(machine.fresh()?, registry)?;
    luo.set_policy(WritePolicy::every());
    for (name, texts) in [("first", &["hello", "handover"][..]), ("empty", &[])] {
        let session = SessionName::new(name)?;
        luo.open_session(session)?;
        for (token, text) in (1..).zip(texts) {
            luo.preserve(session, Token(token), Note::new(text))?;
        }
    }
    // A successor that only reads.
    let mut read = Err("nobody came".into());
    let mut reader = SimExec::new(|machine: &Machine| {
        read = print(machine);
        Err(CarrierError::Refused { reason: "I have seen enough".to_owned() })
    });
    let frozen = luo.prepare(&mut reader)?.freeze(owned).map_err(|stuck| stuck.error)?;
    let stuck = frozen.hand_over().err().ok_or("the reader took over")?;
    println!("\nthe owner goes on: {}", stuck.error);
    drop(stuck);
    read
}

fn print(machine: &Machine) -> Result<(), Box<dyn Error>> {
    let memory = machine.successor()?;
    let root = memory.root().ok_or("no root")?.get();
    println!("word   {}", memory.word()?);
    println!("memory {} in generation {}", memory.span(), memory.generation());
    for run in memory.preserved()? {
        println!("       {run} preserved");
    }

    // The root is one block in a frame of its own; its first two fields say where the image is, and how long.
    let frame = memory.read(PhysAddr::new(root).frame().as_range())?;
    let header: Vec<_> = frame.iter().take(ROOT_HEADER).map(|byte| format!("{byte:02x}")).collect();
    println!("root   {root:#x}: {}", header.join(" "));
    let (image, len) = (number(frame, ROOT_HEADER, 8)?, number(frame, ROOT_HEADER + 8, 8)?);
    let name = Name::new(image).ok_or("no image")?;
    let image = PreservedArray::<u8>::open(&memory, name)?.to_vec(&memory)?;
    println!("image  {:#x}: {len} bytes", name.get());

    // Each block says of itself which section it is, how long, and how many items it has.
    let mut at = 0;
    while at < usize::try_from(len)? {
        let section = usize::try_from(number(&image, at + 6, 2)?)?;
        let (bytes, items) = (usize::try_from(number(&image, at + 8, 8)?)?, number(&image, at + 16, 4)?);
        let name = SECTIONS.get(section.wrapping_sub(1)).ok_or("an unknown section")?;
        println!("{at:>6} {name:<10} {items} items in {bytes} bytes");
        at += BLOCK_HEADER + bytes;
    }

    // The same, believed and checked by the library: without a handler nothing can be read, but all of it is known.
    let adopted = Luo::adopt(memory, Registry::new()).map_err(|stuck| stuck.error)?;
    for session in adopted.sessions() {
        println!("session `{session}`");
        for (token, kind, fate) in adopted.files(session) {
            println!("       {token}: {kind}, {fate:?}");
        }
    }
    Ok(())
}

/// A little-endian number of so many bytes.
fn number(bytes: &[u8], at: usize, len: usize) -> Result<u64, Box<dyn Error>> {
    let digits = bytes.get(at..at + len).ok_or("the bytes are cut off")?;
    Ok(digits.iter().rev().fold(0, |number, digit| number << 8 | u64::from(*digit)))
}
