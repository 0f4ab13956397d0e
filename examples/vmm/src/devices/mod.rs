//! What the guest has beside memory and vCPUs: a serial port, and a doorbell.
//!
//! - The **serial port** takes characters. Each vCPU prints lines `vcpu:number`; numbers count up from 1, and a line
//!   that is not the next one is a **fault**.
//! - The **doorbell** raises an interrupt at one vCPU: after each of its lines, and each time that the vCPU was
//!   stopped, so that an interrupt is pending when its state is saved. It is rung again only after the guest counted
//!   the last ring, so that rings and counted interrupts stay equal, or one apart: none is lost, and none comes twice.

mod record;
mod serial;

pub(crate) use record::DevicesSaver;
pub(crate) use serial::{LINE_BYTES, character};

use std::io::Write;

use serial::Line;

/// The devices of a machine.
pub(crate) struct Devices {
    channels: Vec<Channel>,
    sink: Box<dyn Write + Send>,
}

/// What the devices know of one vCPU.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Channel {
    line: Line,
    rings: u64,
}

/// What the devices counted for one vCPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Whole lines.
    pub(crate) lines: u64,
    /// Lines that were not the next one.
    pub(crate) faults: u64,
    /// Characters of a line that is not whole.
    pub(crate) partial: usize,
    /// How often the doorbell was rung.
    pub(crate) rings: u64,
}

impl Devices {
    /// New ones, for so many vCPUs, whose serial port prints to `sink`.
    pub(crate) fn new(vcpus: u32, sink: Box<dyn Write + Send>) -> Self {
        Self { channels: (0..vcpus).map(|_| Channel::default()).collect(), sink }
    }

    /// A character from a vCPU. Whether it ended a line.
    pub(crate) fn print(&mut self, vcpu: u32, character: u8) -> bool {
        let Some(channel) = self.channels.get_mut(vcpu as usize) else { return false };
        let Some(text) = channel.line.push(vcpu, character) else { return false };
        // A reader of the log that went away is not the guest's problem.
        let _unread = self.sink.write_all(&text);
        true
    }

    /// The vCPU's doorbell is to be rung, if the guest counted all rings before. Whether to raise the interrupt now.
    pub(crate) fn ring(&mut self, vcpu: u32, counted: u64) -> bool {
        let Some(channel) = self.channels.get_mut(vcpu as usize) else { return false };
        let answered = counted == channel.rings;
        channel.rings = channel.rings.saturating_add(u64::from(answered));
        answered
    }

    /// Gives out what was printed.
    pub(crate) fn drain(&mut self) {
        let _unread = self.sink.flush();
    }

    /// What was counted, in the order of the vCPUs.
    pub(crate) fn counts(&self) -> impl Iterator<Item = Counts> + '_ {
        self.channels.iter().map(|Channel { line, rings }| {
            let Line { partial, printed: lines, faults } = line;
            Counts { lines: *lines, faults: *faults, partial: partial.len(), rings: *rings }
        })
    }
}

impl core::fmt::Debug for Devices {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Devices").field("channels", &self.channels).finish_non_exhaustive()
    }
}
