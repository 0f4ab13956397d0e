//! Both ends in one process, each with descriptors and mappings of its own. Real processes are in the package of
//! scenarios.

use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::time::Duration;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::thread;

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::fstat;

use super::*;
use crate::carrier::{Carrier, CarrierError};
use crate::ownership::{self, OwnershipError};
use crate::process::line::packet::{BODY, Kind, Packet};
use crate::process::line::{BATCH, Deadline, Line, LineError, dial};
use crate::process::{Answer, Arrival, ArrivalError, ProcessKho, Terms, attach, attached};
use crate::{FrameCount, Kho as _, Offer, Owned};

const TERMS: Terms = Terms {
    call: Duration::from_secs(20),
    message: Duration::from_secs(20),
    warm_up: Duration::from_secs(20),
    offer: Duration::from_secs(20),
    blackout: Duration::from_secs(20),
};

/// A place in the file system for one test.
struct Place(PathBuf);

impl Place {
    fn new(test: &str) -> Self {
        let folder = std::env::temp_dir().join(alloc::format!("luo-{test}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    fn socket(&self) -> PathBuf {
        self.0.join("socket")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn count(frames: u64) -> FrameCount {
    FrameCount::new(frames).unwrap()
}

fn founded() -> (ProcessKho, Owned) {
    let mut kho = ProcessKho::create(count(4096)).unwrap();
    let owned = ownership::found(&mut kho).unwrap();
    (kho, owned)
}

fn inode(file: impl AsFd) -> (u64, u64) {
    let stat = fstat(file).unwrap();
    (stat.st_dev, stat.st_ino)
}

fn file() -> OwnedFd {
    crate::process::memfd::create("guest", 4096).unwrap()
}

fn adopt(arrival: Arrival) -> (ProcessKho, Answer, Offer) {
    let (kho, answer) = arrival.adopt().unwrap();
    let offer = Offer::from_word(kho.word().unwrap()).unwrap();
    (kho, answer, offer)
}

/// Prepares, offers, and hands over; takes the offer back if that fails.
fn update(socket: &mut Socket, kho: &mut ProcessKho, owned: Owned) -> Result<(), (CarrierError, Owned)> {
    if let Err(error) = socket.prepare(kho) {
        return Err((error, owned));
    }
    let offer = ownership::offer(kho, owned).unwrap();
    match socket.hand_over(kho, offer) {
        Ok(_departed) => Ok(()),
        Err(error) => Err((error, ownership::revoke(kho, offer).unwrap())),
    }
}

#[test]
fn a_thousand_descriptors_cross_in_batches() {
    let place = Place::new("batches");
    let (mut old, owned) = founded();
    let files: Vec<_> = (0..3 * BATCH).map(|_| file()).collect();
    let ranges: Vec<_> = files.iter().map(|file| attach(&mut old, file.as_fd(), count(1)).unwrap()).collect();
    let mut socket = Socket::bind(place.socket()).unwrap().with_terms(TERMS);
    let listening = socket.listener().as_fd().try_clone_to_owned().unwrap();
    socket.carry("listener", listening.as_fd()).unwrap();
    socket.carry("listener", listening.as_fd()).unwrap();
    let path = place.socket();
    let manifest = alloc::vec![7; 3 * BODY + 1];
    let expected = manifest.clone();
    let new = thread::spawn(move || {
        let mut arrival = connect(path, &manifest, TERMS).unwrap();
        assert_eq!(arrival.segments().count(), 3 * BATCH);
        assert_eq!(arrival.names().collect::<Vec<_>>(), ["listener"]);
        let listener = arrival.take("listener").unwrap();
        assert!(arrival.take("listener").is_none());
        let (mut kho, _answer, offer) = adopt(arrival);
        let owned = ownership::commit(&mut kho, offer).unwrap();
        (kho, owned, listener)
    });
    assert_eq!(socket.await_successor().unwrap(), expected);
    update(&mut socket, &mut old, owned).unwrap();
    let (new, _owned, listener) = new.join().unwrap();
    assert_eq!(inode(&listener), inode(&listening));
    for (file, range) in files.iter().zip(ranges) {
        assert_eq!(inode(attached(&new, range).unwrap()), inode(file));
    }
}

#[test]
fn a_refusal_brings_its_reason_back_and_the_next_successor_is_served() {
    let place = Place::new("refusal");
    let (mut old, mut owned) = founded();
    let mut socket = Socket::bind(place.socket()).unwrap().with_terms(TERMS);
    let refusals: [fn(Arrival); 3] = [
        |arrival| arrival.refuse("too cold"),
        |arrival| {
            let (_kho, answer, _offer) = adopt(arrival);
            answer.refuse("unknown version");
        },
        |arrival| drop(adopt(arrival)),
    ];
    let expected = [
        CarrierError::Refused { reason: "too cold".into() },
        CarrierError::Refused { reason: "unknown version".into() },
        CarrierError::Gone { awaited: "commit" },
    ];
    for (refuse, expected) in refusals.into_iter().zip(expected) {
        let path = place.socket();
        let new = thread::spawn(move || refuse(connect(path, b"manifest", TERMS).unwrap()));
        let (error, kept) = update(&mut socket, &mut old, owned).unwrap_err();
        assert_eq!(error, expected);
        socket.cancel(&mut old);
        assert_eq!(socket.manifest(), None);
        owned = kept;
        new.join().unwrap();
    }
    let path = place.socket();
    let new = thread::spawn(move || {
        let (mut kho, _answer, offer) = adopt(connect(path, &[], TERMS).unwrap());
        let _owned = ownership::commit(&mut kho, offer).unwrap();
    });
    update(&mut socket, &mut old, owned).unwrap();
    new.join().unwrap();
}

#[test]
fn a_late_successor_loses() {
    let place = Place::new("late");
    let (mut old, owned) = founded();
    let terms = Terms { blackout: Duration::from_millis(50), ..TERMS };
    let mut socket = Socket::bind(place.socket()).unwrap().with_terms(terms);
    let (revoked, wait) = std::sync::mpsc::channel::<()>();
    let path = place.socket();
    let new = thread::spawn(move || {
        let (mut kho, _answer, offer) = adopt(connect(path, &[], TERMS).unwrap());
        wait.recv().unwrap();
        ownership::commit(&mut kho, offer)
    });
    let (error, _owned) = update(&mut socket, &mut old, owned).unwrap_err();
    assert_eq!(error, CarrierError::Deadline { awaited: "commit" });
    revoked.send(()).unwrap();
    assert!(matches!(new.join().unwrap(), Err(OwnershipError::Departed(_))));
}

#[test]
fn deadlines_end_every_wait() {
    let place = Place::new("deadlines");
    let (mut old, _owned) = founded();
    let short = Terms { call: Duration::from_millis(30), warm_up: Duration::from_millis(30), ..TERMS };
    let mut socket = Socket::bind(place.socket()).unwrap().with_terms(short);
    assert_eq!(socket.await_successor().unwrap_err(), LineError::Deadline { awaited: "call" });
    let line = dial(&place.socket(), TERMS.call).unwrap();
    line.say(Kind::Hello, b"slow", Deadline::after(TERMS.message)).unwrap();
    let error = socket.prepare(&mut old).unwrap_err();
    assert_eq!(error, CarrierError::Deadline { awaited: "become ready" });
    assert_eq!(socket.manifest(), None, "it was turned away");
    let nobody = connect(place.socket(), &[], short).unwrap_err();
    assert_eq!(nobody, ArrivalError::Line(LineError::Deadline { awaited: "send descriptors" }));
}

#[test]
fn whoever_calls_while_another_is_served_is_turned_away() {
    let place = Place::new("busy");
    let (mut old, owned) = founded();
    let mut socket = Socket::bind(place.socket()).unwrap().with_terms(TERMS);
    let path = place.socket();
    let new = thread::spawn(move || {
        let arrival = connect(&path, b"first", TERMS).unwrap();
        let second = connect(&path, b"second", TERMS).unwrap_err();
        assert_eq!(second, ArrivalError::Line(LineError::Refused { reason: BUSY.to_string() }));
        let (mut kho, _answer, offer) = adopt(arrival);
        let _owned = ownership::commit(&mut kho, offer).unwrap();
    });
    update(&mut socket, &mut old, owned).unwrap();
    new.join().unwrap();
}

#[test]
fn nonsense_is_turned_away_and_the_wait_goes_on() {
    let place = Place::new("nonsense");
    let mut socket = Socket::bind(place.socket()).unwrap().with_terms(TERMS);
    let path = place.socket();
    let callers = thread::spawn(move || {
        let reasons: Vec<String> = [
            Packet { kind: Kind::Ready, part: 0, parts: 1, body: &[] }.encode(),
            Packet { kind: Kind::Hello, part: 1, parts: 2, body: &[] }.encode(),
            Packet { kind: Kind::Hello, part: 0, parts: u32::MAX, body: &[] }.encode(),
            b"GET / HTTP/1.1".to_vec(),
        ]
        .into_iter()
        .map(|bytes| {
            let line = dial(&path, TERMS.call).unwrap();
            rustix::net::send(&line, &bytes, rustix::net::SendFlags::NOSIGNAL).unwrap();
            line.hear(Kind::Cargo, 0, "", Deadline::after(TERMS.message)).unwrap_err().to_string()
        })
        .collect();
        let line = dial(&path, TERMS.call).unwrap();
        line.say(Kind::Hello, b"sense", Deadline::after(TERMS.message)).unwrap();
        (reasons, line)
    });
    assert_eq!(socket.await_successor().unwrap(), b"sense");
    let (reasons, _line) = callers.join().unwrap();
    assert!(reasons.iter().all(|reason| reason.starts_with("refused: ")), "{reasons:?}");
}

#[test]
fn descriptors_that_do_not_all_arrive_are_an_error() {
    let (one, other) = rustix::net::socketpair(
        rustix::net::AddressFamily::UNIX,
        rustix::net::SocketType::SEQPACKET,
        rustix::net::SocketFlags::CLOEXEC,
        None,
    )
    .unwrap();
    let (one, other) = (Line::new(one), Line::new(other));
    let deadline = Deadline::after(TERMS.message);
    let files: Vec<_> = (0..BATCH).map(|_| file()).collect();
    let files: Vec<_> = files.iter().map(AsFd::as_fd).collect();
    let packet = Packet { kind: Kind::Hello, part: 0, parts: 1, body: &[] };
    one.send(&packet, &files, deadline).unwrap();
    assert_eq!(other.next("", deadline).unwrap().files.len(), BATCH);
    one.send(&packet, &files[..1], deadline).unwrap();
    let unasked = other.hear(Kind::Hello, 9, "say hello", deadline).unwrap_err();
    assert!(matches!(unasked, LineError::Garbled { .. }));
    drop(one);
    assert!(matches!(other.next("say hello", deadline), Err(LineError::Gone { .. })));
}

#[test]
fn the_socket_is_for_its_user_and_goes_with_its_listener() {
    let place = Place::new("mode");
    let socket = Socket::bind(place.socket()).unwrap();
    assert_eq!(std::fs::metadata(place.socket()).unwrap().permissions().mode() & 0o777, 0o600);
    let taken = Socket::bind(place.socket()).unwrap_err();
    assert_eq!(taken, LineError::Host { call: "bind", errno: libc::EADDRINUSE });
    let mut listener = socket.into_listener();
    listener.keep();
    drop(listener);
    assert!(place.socket().exists());
    let again = Socket::bind(place.socket()).unwrap();
    drop(again);
    assert!(!place.socket().exists());
    std::fs::write(place.socket(), b"a file of somebody's").unwrap();
    assert!(Socket::bind(place.socket()).is_err());
    assert!(place.socket().exists());
}

#[test]
fn what_comes_too_late_is_noticed() {
    let segment = |old: &mut ProcessKho, _: &mut Socket, first| {
        // Another file under the same numbers.
        crate::Memory::detach(old, first).unwrap();
        assert_eq!(attach(old, file().as_fd(), count(1)), Ok(first));
    };
    let named = |_: &mut ProcessKho, socket: &mut Socket, _| socket.carry("log", file().as_fd()).unwrap();
    for late in [segment as fn(&mut _, &mut _, _), named] {
        let place = Place::new("late");
        let (mut old, owned) = founded();
        let mut socket = Socket::bind(place.socket()).unwrap().with_terms(TERMS);
        socket.carry("log", file().as_fd()).unwrap();
        let path = place.socket();
        let new = thread::spawn(move || connect(path, &[], TERMS).unwrap().adopt().map(drop));
        let first = attach(&mut old, file().as_fd(), count(1)).unwrap();
        socket.prepare(&mut old).unwrap();
        late(&mut old, &mut socket, first);
        let offer = ownership::offer(&mut old, owned).unwrap();
        assert_eq!(socket.hand_over(&mut old, offer), Err(CarrierError::CargoChanged));
        let _owned = ownership::revoke(&mut old, offer).unwrap();
        socket.cancel(&mut old);
        let told = new.join().unwrap().unwrap_err();
        assert!(matches!(told, ArrivalError::Line(LineError::Refused { .. })));
    }
}

#[test]
fn a_name_is_short_and_whole() {
    let place = Place::new("names");
    let mut socket = Socket::bind(place.socket()).unwrap();
    let names = ["", "a\0b", &"x".repeat(65)];
    assert!(names.iter().all(|name| socket.carry(name, file().as_fd()) == Err(crate::KhoError::BadName)));
}
