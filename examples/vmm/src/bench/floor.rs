//! The floor: the same calls to KVM and one wake-up, made by programs that do nothing else.
//!
//! - The **near** program saves the state of a bare machine and sends it. It is the benchmark itself.
//! - The **far** program waits with a machine that was never entered, sets the state, and enters it.
//! - The **maker** is executed, makes a machine, says how long that took, and leaves.
//!
//! Near and far have memory of their own: what is measured ends before the guest touches it.

use std::io::{Read, Write};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, ExitCode, Stdio};

use anyhow::{Context as _, Result, bail};
use clap::{Args, ValueEnum};

use crate::guest::{Layout, fill};
use crate::machine::{Backing, Bare, Mapped, Populate};
use crate::state::{MachineState, V2};
use crate::trace::now;

/// Memory of the near and the far machine.
const MEMORY: u64 = 64 << 20;
/// A state is shorter than this.
const STATE_MAX: usize = 64 << 10;

/// `luo-vmm floor`: a program of the benchmark's.
#[derive(Debug, Args)]
pub(crate) struct Floor {
    /// Which one.
    role: Role,
    /// Bytes of memory that the machine is to have.
    #[arg(long, default_value_t = MEMORY)]
    memory: u64,
}

/// See the room's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Role {
    Far,
    Maker,
}

/// Does what a program of the benchmark's is for.
///
/// # Errors
///
/// The host's.
pub(crate) fn run(floor: &Floor) -> Result<ExitCode> {
    let layout = Layout::new(floor.memory, 1)?;
    let memory = fresh(&layout)?;
    match floor.role {
        Role::Maker => println!("{}", Bare::creation(&memory)?),
        Role::Far => {
            fill(memory.guest(), &layout)?;
            let line = UnixStream::from(std::io::stdin().as_fd().try_clone_to_owned()?);
            far(line, layout, &memory)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Memory of ordinary pages, all holes.
fn fresh(layout: &Layout) -> Result<Mapped> {
    let files = Backing::Memfd.create(layout, None)?;
    Ok(Mapped::new(layout, &files, None, Populate::Later)?)
}

/// Takes over again and again, until nobody hands over any more.
fn far(mut line: UnixStream, layout: Layout, memory: &Mapped) -> Result<()> {
    let mut machine = Bare::new(layout, memory)?;
    let mut entered = 0u64;
    let mut bytes = vec![0; STATE_MAX];
    loop {
        // Also says that it is ready.
        line.write_all(&entered.to_le_bytes())?;
        let Some(state) = receive(&mut line, &mut bytes)? else { return Ok(()) };
        machine.restore(&MachineState::read(V2, state)?)?;
        entered = now();
        machine.stint()?;
        drop(machine);
        machine = Bare::new(layout, memory)?;
    }
}

/// One message: its length, and a state. `None` if there are no more.
fn receive<'a>(line: &mut impl Read, bytes: &'a mut [u8]) -> Result<Option<&'a [u8]>> {
    let mut have = 0;
    loop {
        if let Some((length, _)) = bytes.get(..have).and_then(|bytes| bytes.split_first_chunk::<4>()) {
            let end = 4 + u32::from_le_bytes(*length) as usize;
            if end > bytes.len() {
                bail!("a state of {end} bytes");
            }
            if have >= end {
                return Ok(bytes.get(4..end));
            }
        }
        match line.read(bytes.get_mut(have..).unwrap_or_default())? {
            0 => return Ok(None),
            more => have += more,
        }
    }
}

/// The near program's side.
pub(super) struct Near {
    machine: Bare,
    /// `None` only while it is dropped.
    line: Option<UnixStream>,
    far: Child,
}

impl Near {
    /// Starts the far program, and boots a guest.
    pub(super) fn start() -> Result<Self> {
        let layout = Layout::new(MEMORY, 1)?;
        let memory = fresh(&layout)?;
        fill(memory.guest(), &layout)?;
        let mut machine = Bare::new(layout, &memory)?;
        machine.boot()?;
        let (line, theirs) = UnixStream::pair()?;
        let far = Command::new(std::env::current_exe()?)
            .args(["floor", "far"])
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .spawn()?;
        let mut near = Self { machine, line: Some(line), far };
        near.await_entry()?;
        Ok(near)
    }

    /// Nanoseconds from the end of a stint here to the entry there.
    pub(super) fn cross(&mut self) -> Result<u64> {
        self.machine.stint()?;
        let stopped = now();
        let state = self.machine.save()?.write(V2)?;
        let mut message = u32::try_from(state.len())?.to_le_bytes().to_vec();
        message.extend(state);
        self.line()?.write_all(&message)?;
        Ok(self.await_entry()?.saturating_sub(stopped))
    }

    fn line(&mut self) -> Result<&mut UnixStream> {
        self.line.as_mut().context("there is no far program")
    }

    /// When the far program entered the guest. It is ready for the next.
    fn await_entry(&mut self) -> Result<u64> {
        let mut entered = [0; 8];
        self.line()?.read_exact(&mut entered).context("the far program does not answer")?;
        Ok(u64::from_le_bytes(entered))
    }
}

impl Drop for Near {
    fn drop(&mut self) {
        // The far program leaves when nobody is at the other end.
        self.line = None;
        let _never = self.far.wait();
    }
}

/// Nanoseconds in which the kernel creates a machine of so much memory, after an execve.
pub(super) fn creation(memory: u64) -> Result<u64> {
    let said = Command::new(std::env::current_exe()?)
        .args(["floor", "maker", "--memory", &memory.to_string()])
        .stdin(Stdio::null())
        .output()?;
    if !said.status.success() {
        bail!("no machine can be made: {}", String::from_utf8_lossy(&said.stderr));
    }
    Ok(String::from_utf8(said.stdout)?.trim().parse()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives one byte at a time.
    struct Dribble<'a>(&'a [u8]);

    impl Read for Dribble<'_> {
        fn read(&mut self, place: &mut [u8]) -> std::io::Result<usize> {
            let some = place.len().min(1);
            self.0.read(&mut place[..some])
        }
    }

    #[test]
    fn a_message_may_come_in_pieces_and_is_never_longer_than_a_state() {
        let mut place = [0; 16];
        let whole = [3, 0, 0, 0, 7, 8, 9];
        assert_eq!(receive(&mut Dribble(&whole), &mut place).unwrap(), Some(&[7, 8, 9][..]));
        assert_eq!(receive(&mut Dribble(&whole[..5]), &mut place).unwrap(), None);
        receive(&mut Dribble(&[13, 0, 0, 0]), &mut place).unwrap_err();
    }
}
