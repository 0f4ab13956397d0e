//! Promise: the orchestrator works on memory of descriptors as it does on the simulated machine: whole updates over a
//! real socket, one after the other, each refused once before it succeeds.
#![expect(clippy::unwrap_used, reason = "what goes wrong in a test panics")]

use std::path::{Path, PathBuf};
use std::thread;

use luo_core::{Luo, SessionName, Token};
use luo_kho::process::{self, Arrival, ProcessKho, Socket, Terms};
use luo_kho::{FrameCount, Owned};
use luo_tests::actor::Folder;
use luo_tests::{Build, Contents, Journal, Pen, ProgramId, SimFile};

const FILES: u64 = 20;
const ROUNDS: u32 = 8;

fn session() -> SessionName {
    SessionName::new("vm").unwrap()
}

fn pen(program: u32) -> Pen {
    Pen::new(Journal::default(), ProgramId(program))
}

/// The next program: it arrives, takes everything up, and finishes.
fn succeed(path: &Path, build: &Build, program: u32) -> (Luo<ProcessKho>, Owned) {
    let manifest = build.manifest().to_bytes();
    let arrival = process::connect(path, &manifest, Terms::default()).unwrap();
    let (kho, _answer) = arrival.adopt().unwrap();
    let (registry, _vcpus) = build.registry(&pen(program));
    let mut adopted = Luo::adopt(kho, registry).map_err(|stuck| stuck.error).unwrap();
    adopted.restore().unwrap();
    for file in adopted.retrieve_all::<SimFile>() {
        let bytes = file.file.unwrap().bytes();
        assert_eq!(bytes, contents(file.token.0));
    }
    let (updated, owned) = adopted.commit().map_err(|stuck| stuck.error).unwrap();
    let mut luo = updated.finish().map_err(|stuck| stuck.error).unwrap();
    preserve_all(&mut luo);
    (luo, owned)
}

/// One that does not know the files, and refuses.
fn refuse(path: &Path) {
    let arrival: Arrival = process::connect(path, b"", Terms::default()).unwrap();
    let (kho, answer) = arrival.adopt().unwrap();
    let (registry, _vcpus) = Build::empty().registry(&pen(99));
    let adopted = Luo::adopt(kho, registry).map_err(|stuck| stuck.error).unwrap();
    assert!(adopted.unreadable_subsystems().count() > 0);
    answer.refuse("unknown subsystem");
}

fn contents(token: u64) -> Vec<u8> {
    token.to_le_bytes().repeat(1000)
}

fn preserve_all(luo: &mut Luo<ProcessKho>) {
    luo.open_session(session()).unwrap();
    for token in 0..FILES {
        let bytes = contents(token);
        let file = SimFile::new(luo_tests::NOTE, token, Contents { bytes, ..Contents::default() });
        luo.preserve(session(), Token(token), file).map_err(|stuck| stuck.error).unwrap();
    }
}

/// Hands over to one that refuses.
fn be_refused(luo: &mut Luo<ProcessKho>, socket: &mut Socket, owned: Owned) -> Owned {
    let frozen = luo.prepare(socket).unwrap().freeze(owned).map_err(|stuck| stuck.error).unwrap();
    let stuck = frozen.hand_over().unwrap_err();
    assert!(stuck.error.to_string().contains("unknown subsystem"), "{}", stuck.error);
    stuck.kept.cancel().map_err(|stuck| stuck.error).unwrap()
}

/// Hands over.
fn depart(mut luo: Luo<ProcessKho>, socket: &mut Socket, owned: Owned) {
    let frozen = luo.prepare(socket).unwrap().freeze(owned).map_err(|stuck| stuck.error).unwrap();
    let _departed = frozen.hand_over().map_err(|stuck| stuck.error).unwrap();
}

#[test]
fn whole_updates_follow_each_other() {
    let folder = Folder::new("life-cycle");
    let build = Build::standard();
    let (registry, _vcpus) = build.registry(&pen(0));
    let kho = ProcessKho::create(FrameCount::new(1 << 16).unwrap()).unwrap();
    let (mut luo, mut owned) = Luo::found(kho, registry).map_err(|stuck| stuck.error).unwrap();
    preserve_all(&mut luo);
    let idle = luo.memory().census();
    for round in 1..=ROUNDS {
        let path: PathBuf = folder.path(&format!("socket-{round}"));
        let mut socket = Socket::bind(&path).unwrap();

        let there = path.clone();
        let refusing = thread::spawn(move || refuse(&there));
        owned = be_refused(&mut luo, &mut socket, owned);
        refusing.join().unwrap();
        assert_eq!(luo.memory().census(), idle, "a refused update leaves nothing behind");

        let next = build.clone();
        let succeeding = thread::spawn(move || succeed(&path, &next, round));
        depart(luo, &mut socket, owned);
        (luo, owned) = succeeding.join().unwrap();
        assert_eq!(luo.memory().census(), idle, "an update leaves nothing behind");
    }
}
