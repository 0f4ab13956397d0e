//! Counts around the edges of blocks cross like any other: the kernel's blocks hold 51 sessions and 63 files, which its
//! tests never meet; here the edges are those of frames and of the chains that name them.

use luo_kho::FrameCount;
use luo_kho::sim::{Fragmentation, MachineConfig};
use luo_tests::{Build, By, Host, SimFile, session};

#[test]
fn sessions_around_the_edge_of_a_kernel_block() {
    for sessions in [0u64, 1, 50, 51, 52, 101, 102, 103] {
        let host = Host::new();
        let mut old = host.found(&Build::standard());
        for number in 0..sessions {
            old.luo.open_session(session(&format!("session-{number}"))).unwrap();
        }
        let new = old.update(By::Kexec, &Build::standard());
        assert_eq!(new.updated.sessions().len() as u64, sessions);
        new.finish().unwrap().assert_clean();
    }
}

#[test]
fn files_around_the_edge_of_a_kernel_block() {
    for files in [0u64, 1, 62, 63, 64, 125, 126, 127] {
        let host = Host::new();
        let mut old = host.found(&Build::standard());
        old.luo.open_session(session("s")).unwrap();
        for token in 0..files {
            old.preserve("s", token, &host.note(token.to_le_bytes()));
        }
        let mut new = old.update(By::Kexec, &Build::standard());
        let found = new.retrieve_all();
        assert!(found.iter().map(SimFile::bytes).eq((0..files).map(|token| token.to_le_bytes().to_vec())));
        new.finish().unwrap().assert_clean();
    }
}

/// The image grows file by file past the ends of its first frames.
#[test]
fn images_around_the_edge_of_a_frame() {
    for files in 20..60u64 {
        let host = Host::new();
        let mut old = host.found(&Build::plain());
        for token in 0..files {
            old.preserve("s", token, &host.note(""));
        }
        let mut new = old.update(By::Exec, &Build::plain());
        assert_eq!(new.retrieve_all().len() as u64, files);
        new.finish().unwrap().assert_clean();
    }
}

/// Bytes around the edges of words and frames, from memory in one piece and from memory in single frames.
#[test]
fn lengths_around_the_edge_of_a_frame() {
    for fragmentation in [Fragmentation::Contiguous, Fragmentation::Single, Fragmentation::Descending] {
        let host = Host::with(MachineConfig::default().fragmentation(fragmentation));
        let mut old = host.found(&Build::standard());
        let lengths = [0u64, 1, 7, 8, 9, 4087, 4088, 4095, 4096, 4097, 8191, 8192, 8193, 65_536];
        let contents =
            |len: u64| (0..len).map(|at| at.to_le_bytes()[0] ^ len.to_le_bytes()[1]).collect::<Vec<_>>();
        for (token, len) in (0..).zip(lengths) {
            old.preserve("s", token, &host.note(contents(len)));
        }
        let mut new = old.update(By::Kexec, &Build::standard());
        for (token, len) in (0..).zip(lengths) {
            assert_eq!(new.retrieve("s", token).unwrap().bytes(), contents(len), "{len} bytes");
        }
        new.finish().unwrap().assert_clean();
    }
}

/// Arrays whose frames are all single need an entry for each: 502 stand in the head of the chain, 506 in each chunk.
#[test]
fn chains_around_the_edge_of_a_frame() {
    let config = MachineConfig::default().frames(FrameCount::new(1 << 14).unwrap());
    for frames in [1usize, 2, 501, 502, 503, 504, 1007, 1008, 1009] {
        let host = Host::with(config.clone().fragmentation(Fragmentation::Descending));
        let mut old = host.found(&Build::plain());
        let file = host.note(vec![0xC3; frames * 4096]);
        old.preserve("s", 1, &file);
        let mut new = old.update(By::Kexec, &Build::plain());
        assert!(new.retrieve("s", 1).unwrap().bytes() == file.bytes(), "{frames} frames");
        new.finish().unwrap().assert_clean();
    }
}

/// Frames of two NUMA nodes are one array, and come back as one (D10).
#[test]
fn arrays_reach_across_nodes() {
    let starts = [1000, 2000, 3001].map(|pfn| luo_kho::Pfn::new(pfn).unwrap());
    let host = Host::with(MachineConfig::default().node_starts(starts));
    let mut old = host.found(&Build::plain());
    let file = host.note(vec![0x3C; 2500 * 4096]);
    old.preserve("s", 1, &file);
    let mut new = old.update(By::Kexec, &Build::plain());
    let preserved = new.updated.luo().memory().census().unwrap().preserved;
    let nodes = preserved
        .iter()
        .map(|run| host.machine.node_of(run.start()))
        .collect::<std::collections::BTreeSet<_>>();
    assert!(nodes.len() > 1, "it was meant to reach across: {preserved:?}");
    assert!(new.retrieve("s", 1).unwrap().bytes() == file.bytes());
    new.finish().unwrap().assert_clean();
}

/// What does not fit is refused as a whole, and what fits afterwards goes through.
#[test]
fn memory_that_does_not_suffice_is_told_before_the_pause() {
    let host = Host::with(MachineConfig::default().frames(FrameCount::new(100).unwrap()));
    let mut old = host.found(&Build::standard());
    old.preserve("s", 1, &host.note(vec![1; 30 * 4096]));
    let large = host.note(vec![2; 80 * 4096]);
    old.preserve("s", 2, &large);
    let error = old.luo.prepare(&mut luo_tests::nobody()).unwrap_err();
    assert!(error.to_string().starts_with("file 0x2 of session `s` (note) failed to prepare: out of frames"));
    old.assert_clean();
    large.change(|contents| contents.bytes.truncate(4096));
    let mut new = old.update(By::Kexec, &Build::standard());
    assert_eq!(new.retrieve_all().len(), 2);
    new.finish().unwrap().assert_clean();
}
