//! The orchestrator's own part of a handover: memory for root and image, taken in prepare and filled when the guest
//! is stopped.

use alloc::vec::Vec;

use luo_kho::ownership::Turn;
use luo_kho::{ByteLen, Kho, PreservedArray, PreservedBox};

use crate::Cause;
use crate::ledger::Ledger;
use crate::luo::Luo;
use crate::view::View;
use crate::wire::{self, Books, Measure, RootV1};

/// Memory for one handover. Given back by [`Luo::release`].
#[derive(Debug)]
pub(crate) struct Records {
    ledger: Ledger,
    root: PreservedBox<RootV1>,
    image: PreservedArray<u8>,
    buffer: Vec<u8>,
}

impl<K: Kho> Luo<K> {
    fn books(&self) -> Books<'_> {
        Books { subsystems: &self.subsystems, out: &self.out, handlers: &self.handlers }
    }

    /// Takes memory for everything that is prepared. All or nothing.
    pub(crate) fn take_records(&mut self) -> Result<Records, Cause> {
        let bytes = Measure::of(self.books())?.bytes;
        let mut ledger = Ledger::default();
        let taken = take(&mut View::prepare(&mut self.kho, &mut ledger), bytes);
        match taken {
            Ok((root, image)) => {
                let buffer = Vec::with_capacity(ByteLen::new(bytes).as_usize());
                Ok(Records { ledger, root, image, buffer })
            }
            Err(error) => {
                ledger.settle(&mut self.kho);
                Err(error)
            }
        }
    }

    /// Writes the image, then the root, then the name of the root: each is only reachable when it is whole.
    pub(crate) fn seal(&mut self, records: &mut Records, turn: Turn) -> Result<(), Cause> {
        let generation = self.kho.generation();
        let mut buffer = core::mem::take(&mut records.buffer);
        let room = buffer.capacity();
        wire::write(self.books(), generation, turn, &mut buffer);
        assert!(buffer.capacity() == room, "prepare measured the image, so sealing does not allocate");
        records.buffer = buffer;
        // The array gets no sum of its own: each block and each payload has one.
        records.image.write(&mut self.kho, 0, &records.buffer)?;
        let root = RootV1 {
            image: records.image.name().get().into(),
            image_len: (records.buffer.len() as u64).into(),
            generation: generation.into(),
            turn: turn.get().into(),
        };
        records.root.set(&mut self.kho, root)?;
        self.kho.publish(Some(records.root.name().as_root()))?;
        Ok(())
    }

    /// Takes the name of the root back. By contract a backend does not refuse the undo of what it did; one that is
    /// dead does, and then there is nobody left to find the root.
    pub(crate) fn unseal(&mut self) {
        let _ = self.kho.publish(None);
    }

    /// Gives the memory back.
    pub(crate) fn release(&mut self, mut records: Records) {
        records.ledger.settle(&mut self.kho);
    }
}

fn take(memory: &mut View<'_>, bytes: u64) -> Result<(PreservedBox<RootV1>, PreservedArray<u8>), Cause> {
    let image = PreservedArray::alloc(memory, bytes)?;
    let nothing = RootV1 { image: 0.into(), image_len: 0.into(), generation: 0.into(), turn: 0.into() };
    let root = PreservedBox::new(memory, nothing)?;
    Ok((root, image))
}
