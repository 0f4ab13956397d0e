//! What a process holds at the moment of its exit: descriptors, and mapped memory that was shared out by the kernel.

use std::collections::BTreeSet;
use std::fs;
use std::os::fd::RawFd;
use std::path::Path;

use anyhow::{Context as _, Result};
use nix::unistd::Pid;

/// Input, output and complaints.
const STANDARD: RawFd = 2;
/// `O_CLOEXEC` in the flags that `/proc` shows.
const CLOSE_ON_EXEC: u32 = 0o2_000_000;

/// What a process holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Census {
    /// Descriptors above the standard ones, and what they are open on.
    open: Vec<(RawFd, String)>,
    /// Memory of memfds that is mapped: their names, and bytes.
    mapped: Vec<(String, u64)>,
    /// KiB of huge pages that are mapped.
    huge_kib: u64,
}

/// The descriptors that this process passes on to every program that it starts.
pub(super) fn inherited() -> Result<BTreeSet<RawFd>> {
    let mut passed_on = BTreeSet::new();
    for (number, _) in open(Path::new("/proc/self"))? {
        // The one by which the folder was listed is closed by now.
        let Ok(info) = fs::read_to_string(format!("/proc/self/fdinfo/{number}")) else { continue };
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).unwrap_or_default();
        if u32::from_str_radix(flags.trim(), 8)? & CLOSE_ON_EXEC == 0 {
            passed_on.insert(number);
        }
    }
    Ok(passed_on)
}

fn open(process: &Path) -> Result<Vec<(RawFd, String)>> {
    let mut open = Vec::new();
    for entry in fs::read_dir(process.join("fd")).context("cannot list descriptors")? {
        let entry = entry?;
        let Some(number) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let target = fs::read_link(entry.path()).unwrap_or_default();
        if number > STANDARD {
            open.push((number, target.display().to_string()));
        }
    }
    open.sort();
    Ok(open)
}

impl Census {
    pub(super) fn take(pid: Pid) -> Result<Self> {
        let process = Path::new("/proc").join(pid.to_string());
        let maps = fs::read_to_string(process.join("maps")).unwrap_or_default();
        let status = fs::read_to_string(process.join("status")).unwrap_or_default();
        let huge_kib = status.lines().find_map(|line| line.strip_prefix("HugetlbPages:")).unwrap_or_default();
        let huge_kib = huge_kib.trim().trim_end_matches(" kB").parse().unwrap_or(0);
        Ok(Self { open: open(&process)?, mapped: memfds_in(&maps), huge_kib })
    }

    /// What is more than a program is given.
    pub(super) fn beyond(&self, given: &BTreeSet<RawFd>) -> Vec<String> {
        let Self { open, mapped, huge_kib } = self;
        let leaked = open.iter().filter(|(number, _)| !given.contains(number));
        let mut findings: Vec<_> =
            leaked.map(|(number, target)| format!("leaked descriptor {number}: {target}")).collect();
        let still =
            |(name, bytes): &(String, u64)| format!("leaked memfd {name}: {} KiB are mapped", bytes >> 10);
        findings.extend(mapped.iter().map(still));
        if *huge_kib > 0 {
            findings.push(format!("leaked huge pages: {huge_kib} KiB are mapped"));
        }
        findings
    }
}

/// The memfds in a list of mappings, each with the bytes of all its mappings.
fn memfds_in(maps: &str) -> Vec<(String, u64)> {
    let mut memfds: Vec<(String, u64)> = Vec::new();
    for line in maps.lines() {
        let Some((place, name)) = line.split_once("/memfd:") else { continue };
        let name = name.trim_end_matches(" (deleted)");
        let bytes = place.split_whitespace().next().and_then(length).unwrap_or(0);
        match memfds.iter_mut().find(|(known, _)| known == name) {
            Some((_, sum)) => *sum += bytes,
            None => memfds.push((name.to_owned(), bytes)),
        }
    }
    memfds
}

fn length(range: &str) -> Option<u64> {
    let (start, end) = range.split_once('-')?;
    let address = |text| u64::from_str_radix(text, 16).ok();
    address(end)?.checked_sub(address(start)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_given_is_not_leaked() {
        let open = vec![(3, "/dev/null".to_owned()), (7, "socket:[1]".to_owned())];
        let census = Census { open, ..Census::default() };
        assert_eq!(census.beyond(&BTreeSet::from([3])), ["leaked descriptor 7: socket:[1]"]);
        assert_eq!(census.beyond(&BTreeSet::from([3, 7])), [""; 0]);
    }

    #[test]
    fn memory_that_is_mapped_is_leaked_though_its_descriptor_is_closed() {
        let maps = "7f00000000-7f00002000 rw-s 00000000 00:01 9 /memfd:guest (deleted)\n\
                    7f00002000-7f00003000 rw-s 00000000 00:01 9 /memfd:guest (deleted)\n\
                    7f10000000-7f10001000 r-xp 00000000 08:01 5 /usr/lib/libc.so\n";
        let census = Census { mapped: memfds_in(maps), huge_kib: 2048, ..Census::default() };
        assert_eq!(
            census.beyond(&BTreeSet::new()),
            ["leaked memfd guest: 12 KiB are mapped", "leaked huge pages: 2048 KiB are mapped"]
        );
    }

    #[test]
    fn we_are_seen_with_what_we_hold() {
        let file = fs::File::open("/dev/null").unwrap();
        let census = Census::take(Pid::this()).unwrap();
        let number = std::os::fd::AsRawFd::as_raw_fd(&file);
        assert!(census.open.contains(&(number, "/dev/null".to_owned())), "{census:?}");
        assert!(!inherited().unwrap().contains(&number), "it closes on exec");
    }
}
