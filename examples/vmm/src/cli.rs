//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::bench::{Bench, Floor};
use crate::machine::{Backing, Kind, Retrieve};
use crate::vmm::Sabotage;

/// A small virtual machine monitor whose guest survives the replacement of the program that runs it.
///
/// The guest makes its own memory predictable: each step rewrites one word, and all of memory can be computed again
/// from the number of steps. So a single lost or doubled byte shows.
#[derive(Debug, Parser)]
#[command(name = "luo-vmm", version, max_term_width = 100)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a guest, update its VMM again and again, verify everything, and say PASS or FAIL.
    Demo(Demo),
    /// Run a guest until it is stopped. Updates are asked for with `luo-vmm update`.
    Run(Run),
    /// Replace the VMM of a running guest by another program, or by itself.
    Update(Update),
    /// Ask the VMM of a running guest something.
    Ask(Ask),
    /// Measure how long a guest stands still while its VMM is replaced.
    Bench(Bench),
    /// For the benchmark: do only what the kernel cannot be spared.
    #[command(hide = true)]
    Floor(Floor),
}

/// Ways across.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Carrier {
    /// The VMM is replaced in place: same process, by execve.
    Exec,
    /// A successor is started beforehand and warmed up; descriptors cross by a unix socket.
    Socket,
}

/// Ways across, for the demo.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Carriers {
    /// Only exec.
    Exec,
    /// Only the socket.
    Socket,
    /// One after the other.
    Both,
}

/// What machine to run.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Shape {
    /// Memory, half of it (at most 2 GiB) below the gap and the rest above 4 GiB: 64M, 1G, ...
    #[arg(long, value_name = "SIZE", default_value = "64M", value_parser = parse_size)]
    pub(crate) memory: u64,
    /// vCPUs; each has its own share of the pages.
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub(crate) vcpus: u32,
    /// What executes the guest [default: kvm if there is a /dev/kvm that works, else thread].
    #[arg(long, value_name = "KIND")]
    pub(crate) guest: Option<Kind>,
    /// What guest memory is made of.
    #[arg(long, value_name = "SORT", default_value = "memfd")]
    pub(crate) backing: Backing,
    /// What each new program makes of the guest_memfds that it gets.
    #[arg(long, value_name = "WAY", default_value = "map-old")]
    pub(crate) retrieve: Retrieve,
}

/// How long each side waits for the other.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Limits {
    /// Milliseconds from the offer to the commit, at most [default: 2000 by socket, 5000 by exec].
    #[arg(long, value_name = "MS")]
    pub(crate) blackout_ms: Option<u64>,
    /// Milliseconds for a successor by socket to warm up, at most [default: 60000].
    #[arg(long, value_name = "MS")]
    pub(crate) warm_up_ms: Option<u64>,
}

/// `luo-vmm demo`.
#[derive(Debug, Args)]
pub(crate) struct Demo {
    #[command(flatten)]
    pub(crate) shape: Shape,
    /// How many updates.
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub(crate) updates: u64,
    /// Ways across.
    #[arg(long, default_value = "both")]
    pub(crate) carrier: Carriers,
    /// Let the guest run so long between updates, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 100)]
    pub(crate) interval: u64,
    /// Verify all of memory only at the end, not after each update.
    #[arg(long)]
    pub(crate) verify_at_end: bool,
    /// Draw the timeline as a picture too, into this file.
    #[arg(long, value_name = "FILE.html")]
    pub(crate) report: Option<PathBuf>,
}

/// `luo-vmm run`.
#[derive(Clone, Debug, Args)]
pub(crate) struct Run {
    /// The folder in which those who ask something of the VMM find it; it is made if it is not there.
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: PathBuf,
    #[command(flatten)]
    pub(crate) shape: Shape,
    /// Behave as this version of the VMM: 1 knows one format of the machine's state, 2 both.
    #[arg(long, value_name = "V", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=2))]
    pub(crate) vmm_version: u16,
    /// Take over from the process of this number, which is waiting for a successor.
    #[arg(long, hide = true, value_name = "PID")]
    pub(crate) succeed: Option<u32>,
    /// For tests: go wrong in this way while taking over.
    #[arg(long, hide = true)]
    pub(crate) sabotage: Option<Sabotage>,
    #[command(flatten)]
    pub(crate) limits: Limits,
    /// For tests: hash guest memory when it was taken over.
    #[arg(long, hide = true)]
    pub(crate) hash: bool,
}

/// `luo-vmm update`.
#[derive(Debug, Args)]
pub(crate) struct Update {
    /// The folder of the running guest.
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: PathBuf,
    /// The way across.
    #[arg(long, default_value = "socket")]
    pub(crate) carrier: Carrier,
    /// The program that takes over [default: the one that is running].
    #[arg(long, overrides_with = "program", value_name = "FILE")]
    pub(crate) program: Option<PathBuf>,
    /// Which version of the VMM the new program is to behave as.
    #[arg(long, value_name = "V", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=2))]
    pub(crate) vmm_version: u16,
    /// For tests: the new program goes wrong in this way.
    #[arg(long, hide = true)]
    pub(crate) sabotage: Option<Sabotage>,
    /// For tests: the old program goes wrong in this way.
    #[arg(long, hide = true)]
    pub(crate) sabotage_near: Option<Sabotage>,
    /// For tests: write only the newest format, whoever reads it.
    #[arg(long, hide = true)]
    pub(crate) newest_only: bool,
    #[command(flatten)]
    pub(crate) limits: Limits,
    /// For tests: hash guest memory before and after, while the guest is stopped.
    #[arg(long, hide = true)]
    pub(crate) hash: bool,
}

/// `luo-vmm ask`.
#[derive(Debug, Args)]
pub(crate) struct Ask {
    /// The folder of the running guest.
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: PathBuf,
    /// What to ask.
    pub(crate) what: Question,
}

/// Questions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Question {
    /// Who runs the guest, and how far it is.
    Status,
    /// Stop the guest for a moment, and compare all of its memory with what its counters say.
    Verify,
    /// Stop the guest for a moment, and hash its memory.
    Hash,
    /// Stop the guest for good.
    Stop,
}

/// Bytes, with K, M or G for powers of 1024.
pub(crate) fn parse_size(text: &str) -> Result<u64, String> {
    let (digits, shift) = match text.as_bytes().last() {
        Some(b'K' | b'k') => (text.get(..text.len() - 1), 10),
        Some(b'M' | b'm') => (text.get(..text.len() - 1), 20),
        Some(b'G' | b'g') => (text.get(..text.len() - 1), 30),
        _ => (Some(text), 0),
    };
    let number = digits.and_then(|digits| digits.parse::<u64>().ok());
    number
        .and_then(|number| number.checked_mul(1 << shift))
        .ok_or_else(|| "a size is like 64M or 1G".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn sizes_are_powers_of_1024() {
        assert_eq!(
            [parse_size("64M"), parse_size("1g"), parse_size("4096")],
            [Ok(64 << 20), Ok(1 << 30), Ok(4096)]
        );
        for bad in ["", "M", "1.5G", "-1", "99999999999G"] {
            assert!(parse_size(bad).is_err(), "{bad}");
        }
    }
}
