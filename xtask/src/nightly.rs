//! The **nightly** toolchain, for what stable compilers do not offer: fuzzing and sanitizers.

use std::process::Command;

/// The nightly toolchain that is installed, or why there is none.
pub(crate) fn toolchain() -> Result<String, String> {
    let list = Command::new("rustup").args(["toolchain", "list"]).output();
    let list = list.map_err(|error| format!("rustup does not start: {error}"))?;
    let list = String::from_utf8_lossy(&list.stdout).into_owned();
    let mut names = list.lines().filter_map(|line| line.split_whitespace().next());
    let nightly = names.find(|name| name.starts_with("nightly"));
    Ok(nightly.ok_or("no nightly toolchain is installed")?.to_owned())
}

/// Cargo of that toolchain.
pub(crate) fn cargo(toolchain: &str) -> Command {
    let mut command = Command::new("rustup");
    command.args(["run", toolchain, "cargo"]);
    command
}
