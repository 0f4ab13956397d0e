//! Promise: a guest goes on, whoever runs it: by both carriers, with both versions of the VMM, up and down.
//!
//! The demo is the judge: it looks at all of memory, at every counter, line and interrupt, after each update.
#![expect(clippy::unwrap_used, reason = "what goes wrong in a test panics")]

use std::process::{Command, Stdio};

/// Runs the demo with these options. What it said, if it ended well.
#[track_caller]
fn demo(options: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_luo-vmm"));
    let output = command.arg("demo").args(options).stdin(Stdio::null()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

/// Why no KVM guest can run here.
fn no_kvm() -> Option<String> {
    luo_guestmemfd::Vm::create().err().map(|error| error.to_string())
}

#[test]
fn a_guest_of_threads_survives_eight_updates() {
    let text = demo(&["--guest=thread", "--memory=16M", "--vcpus=3", "--updates=8"]);
    assert!(text.contains("\nPASS: 8 updates"), "{text}");
    assert!(text.contains("NOT a virtual machine"), "{text}");
}

#[test]
fn a_kvm_guest_survives_eight_updates() {
    match no_kvm() {
        None => {
            let text = demo(&["--guest=kvm", "--memory=16M", "--vcpus=2", "--updates=8"]);
            assert!(text.contains("\nPASS: 8 updates"), "{text}");
        }
        Some(reason) => println!("SKIPPED: a_kvm_guest_survives_eight_updates: {reason}"),
    }
}

/// Slots that are bound to the file in the first program, and at the address of its mapping in all others.
#[test]
fn a_kvm_guest_in_guest_memfds_survives_twenty_updates() {
    if let Some(reason) = luo_guestmemfd::supported().err() {
        println!("SKIPPED: a_kvm_guest_in_guest_memfds_survives_twenty_updates: {reason}");
        return;
    }
    let text =
        demo(&["--guest=kvm", "--backing=guest_memfd", "--memory=16M", "--updates=20", "--interval=20"]);
    assert!(
        text.contains("16 MiB of memory in guest_memfds") && text.contains("\nPASS: 20 updates"),
        "{text}"
    );
}

/// Slots that are bound to the file in every program: each copies it into one of its own machine.
#[test]
fn a_kvm_guest_in_guest_memfds_survives_being_copied_four_times() {
    if let Some(reason) = luo_guestmemfd::supported().err() {
        println!("SKIPPED: a_kvm_guest_in_guest_memfds_survives_being_copied_four_times: {reason}");
        return;
    }
    let copied = ["--backing=guest_memfd", "--retrieve=copy-into-new"];
    let text =
        demo(&[&copied[..], &["--guest=kvm", "--memory=16M", "--updates=4", "--interval=20"]].concat());
    let said = ["16 MiB of memory in guest_memfds, copied in each update", "\nPASS: 4 updates"];
    assert!(said.iter().all(|said| text.contains(said)), "{text}");
}

/// The demo asks the host for what is missing, and gives it back.
#[test]
fn a_kvm_guest_in_huge_pages_survives_twenty_updates() {
    let test = "a_kvm_guest_in_huge_pages_survives_twenty_updates";
    if let Some(reason) = no_kvm() {
        println!("SKIPPED: {test}: {reason}");
        return;
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_luo-vmm"));
    let options = ["--guest=kvm", "--backing=hugetlb", "--memory=16M", "--updates=20", "--interval=20"];
    let output = command.arg("demo").args(options).stdin(Stdio::null()).output().unwrap();
    let [text, errors] =
        [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    if errors.contains("too few huge pages") {
        println!("SKIPPED: {test}: {errors}");
        return;
    }
    assert!(
        text.contains("16 MiB of memory in huge pages") && text.contains("\nPASS: 20 updates"),
        "{text}{errors}"
    );
}

#[test]
fn the_demo_draws_a_report() {
    let folder = tempfile::tempdir().unwrap();
    let report = folder.path().join("report.html");
    let option = format!("--report={}", report.display());
    demo(&["--guest=thread", "--memory=8M", "--updates=2", "--carrier=socket", &option]);
    let page = std::fs::read_to_string(report).unwrap();
    assert!(page.contains("<svg") && page.contains("PASS: 2 updates"), "{page}");
}
