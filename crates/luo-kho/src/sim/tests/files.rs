//! Simulated files: what is in them, and how they cross.

use alloc::collections::BTreeSet;
use alloc::vec;

use proptest::prelude::*;

use super::super::*;
use super::*;
use crate::carrier::{Carrier, CarrierError};
use crate::ranges::RangeSet;
use crate::{ByteLen, PFN_END};

fn file(text: &[u8]) -> SimFile {
    let file = SimFile::new("a description");
    file.write(0, text);
    file
}

fn text_of(file: &SimFile) -> Vec<u8> {
    let mut text = vec![0; ByteLen::new(file.size()).as_usize()];
    file.read(0, &mut text);
    text
}

/// One page is a hole, the next one exists.
#[derive(Default)]
struct Model {
    bytes: Vec<u8>,
    exists: BTreeSet<u64>,
}

#[derive(Clone, Debug)]
enum Change {
    Write(u64, Vec<u8>),
    Resize(u64),
    Discard(u64, u64),
}

fn changes() -> impl Strategy<Value = Change> {
    prop_oneof![
        3 => (0u64..40_000, prop::collection::vec(any::<u8>(), 0..9000))
            .prop_map(|(at, bytes)| Change::Write(at, bytes)),
        1 => (0u64..50_000).prop_map(Change::Resize),
        1 => (0u64..12, 0u64..4).prop_map(|(page, count)| Change::Discard(page, page + count)),
    ]
}

impl Model {
    fn change(&mut self, change: &Change) {
        let index = |at: u64| usize::try_from(at).unwrap();
        match change {
            Change::Write(at, bytes) if !bytes.is_empty() => {
                let end = index(*at) + bytes.len();
                self.bytes.resize(self.bytes.len().max(end), 0);
                self.bytes[index(*at)..end].copy_from_slice(bytes);
                self.exists.extend(*at / 4096..(end as u64).div_ceil(4096));
            }
            Change::Write(..) => {}
            Change::Resize(size) => {
                self.bytes.resize(index(*size), 0);
                self.exists.retain(|page| *page < size.div_ceil(4096));
            }
            Change::Discard(from, to) => {
                for page in *from..*to {
                    let end = self.bytes.len().min(index(page + 1) * 4096);
                    self.bytes[(index(page) * 4096).min(end)..end].fill(0);
                    self.exists.remove(&page);
                }
            }
        }
    }
}

proptest! {
    #[test]
    fn agree_with_plain_bytes(changes in prop::collection::vec(changes(), 1..20)) {
        let (file, mut model) = (SimFile::new(()), Model::default());
        for change in changes {
            model.change(&change);
            match &change {
                Change::Write(at, bytes) => file.write(*at, bytes),
                Change::Resize(size) => file.resize(*size),
                Change::Discard(from, to) => file.discard(*from..*to),
            }
            prop_assert_eq!(text_of(&file), model.bytes.clone());
            let mut runs = Vec::new();
            let mut page = 0;
            while let Some(run) = file.pages_from(page) {
                prop_assert!(run.start >= page && !model.exists.contains(&run.end));
                runs.extend(run.clone());
                page = run.end;
            }
            prop_assert_eq!(runs, model.exists.iter().copied().collect::<Vec<_>>());
            prop_assert_eq!(file.pages(), model.exists.len() as u64);
        }
    }
}

#[test]
fn what_was_cut_off_does_not_come_back() {
    let file = file(&[7; 5000]);
    file.resize(4100);
    file.resize(9000);
    let mut bytes = [1; 16];
    file.read(4096, &mut bytes);
    assert_eq!(bytes, [7, 7, 7, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    file.read(u64::MAX - 4, &mut bytes);
    assert_eq!(bytes, [0; 16]);
}

#[test]
fn references_share_contents_and_keep_descriptions_of_their_own() {
    let first = file(b"text");
    let second = first.described(7u32);
    second.write(0, b"n");
    assert_eq!((text_of(&first), first.number()), (b"next".to_vec(), second.number()));
    assert_eq!(
        (first.description::<&str>(), second.description::<u32>()),
        (Some(&"a description"), Some(&7))
    );
    assert_eq!(second.description::<&str>(), None);
    assert_ne!(first.number(), file(b"text").number());
    drop(second);
    assert_eq!(first.references(), 1);
}

#[test]
fn segments_are_numbered_above_the_memory_and_counted() {
    let (machine, mut kho, _owned) = founded(small());
    let before = kho.census().unwrap();
    let shared = file(b"guest");
    let first = kho.attach(&shared, count(3)).unwrap();
    let second = kho.attach(&file(b""), count(1)).unwrap();
    assert_eq!([first, second], [frames(256, 259), frames(259, 260)]);
    assert_eq!((kho.segments(), kho.census().unwrap().segments), (vec![first, second], vec![first, second]));
    assert!(kho.attached(first).unwrap().downcast_ref::<SimFile>().is_some());
    assert_eq!(shared.references(), 2);

    for (error, range) in [
        (kho.detach(frames(256, 258)).unwrap_err(), frames(256, 258)),
        (kho.attached(frames(256, 260)).err().unwrap(), frames(256, 260)),
        (kho.detach(frames(0, 1)).unwrap_err(), frames(0, 1)),
    ] {
        assert_eq!(error, KhoError::NotAttached { range });
    }
    assert!(matches!(kho.read(first), Err(KhoError::OutOfRange { .. })));
    assert!(matches!(kho.preserve(first), Err(KhoError::OutOfRange { .. })));
    assert_eq!(kho.attach(&"text", count(1)), Err(KhoError::NO_SIM_FILE));
    for want in [count(0), count(PFN_END)] {
        assert_eq!(kho.attach(&shared, want), Err(KhoError::OutOfFrames { want }));
    }

    kho.detach(first).unwrap();
    assert_eq!(shared.references(), 1);
    assert_eq!(kho.attach(&shared, count(2)).unwrap(), frames(256, 258), "the lowest that are free");
    assert_eq!(kho.attach(&shared, count(2)).unwrap(), frames(260, 262), "one is left there, two are not");
    for range in kho.segments() {
        kho.detach(range).unwrap();
    }
    assert_eq!(kho.census().unwrap(), before);
    assert_eq!(machine.violations(), []);
}

#[test]
fn a_successor_has_the_same_file_and_claims_it_for_itself() {
    let (machine, mut kho, owned) = founded(small());
    let mine = file(b"guest");
    let segment = kho.attach(&mine, count(2)).unwrap();
    assert_eq!(kho.reclaim(segment), Err(KhoError::NotPreserved { range: segment }), "nobody handed it over");
    let _offer = ownership::offer(&mut kho, owned).unwrap();
    assert!(matches!(kho.detach(segment), Err(KhoError::NotOwner { .. })));

    let (mut first, mut second) = (machine.successor().unwrap(), machine.successor().unwrap());
    for adopter in [&mut first, &mut second] {
        adopter.reclaim(segment).unwrap();
        assert_eq!(adopter.reclaim(segment), Err(KhoError::AlreadyReclaimed { range: segment }));
        assert_eq!(adopter.census().unwrap().claimed, [segment]);
        let found = adopter.attached(segment).unwrap().downcast_ref::<SimFile>().unwrap();
        assert_eq!((found.number(), found.description::<&str>()), (mine.number(), Some(&"a description")));
    }
    first.forgo(segment).unwrap();
    assert_eq!(first.forgo(segment), Err(KhoError::NotReclaimed { range: segment }));
    assert!(matches!(first.attach(&mine, count(1)), Err(KhoError::NotOwner { .. })));

    let _owned = commit(&mut second).unwrap();
    second.detach(segment).unwrap();
    assert_eq!(second.census().unwrap().claimed, []);
    drop((first, kho));
    assert_eq!(mine.references(), 1, "nobody else refers to it any more");
}

#[test]
fn no_file_survives_its_kernel() {
    let (machine, mut kho, owned) = founded(small());
    kho.attach(&file(b"guest"), count(1)).unwrap();
    let kept = save(&mut kho).unwrap();
    let mut carrier = SimKexec::new(|_: &Machine| Ok(()));
    let refused = carrier.prepare(&mut kho).unwrap_err();
    assert!(matches!(&refused, CarrierError::Refused { reason } if reason.contains("does not survive")));
    assert!(!carrier.is_prepared());

    let _offer = ownership::offer(&mut kho, owned).unwrap();
    machine.kexec();
    let next = machine.successor().unwrap();
    assert_eq!(
        (next.segments(), next.preserved().unwrap()),
        (vec![], kept.into_iter().collect::<RangeSet>().iter().collect())
    );
}

#[test]
fn attaching_may_fail_and_detaching_does_not() {
    let (machine, mut kho, _owned) = founded(small());
    let mine = file(b"guest");
    machine.inject(FaultPlan::none().fail_call_from(Call::Attach, 0).fail_call(Call::Attached, 0));
    assert!(matches!(kho.attach(&mine, count(1)), Err(KhoError::Injected { call: "attach", .. })));
    assert_eq!((kho.segments(), mine.references()), (vec![], 1));
    machine.inject(FaultPlan::none().fail_call(Call::Attached, 0).fail_call_from(Call::Detach, 0));
    let segment = kho.attach(&mine, count(1)).unwrap();
    assert!(matches!(kho.attached(segment), Err(KhoError::Injected { call: "attached", .. })));
    assert!(kho.attached(segment).is_ok());
    kho.detach(segment).unwrap();
    let dead = machine.counters().calls;
    machine.inject(FaultPlan::none().crash(Crash::AtCall(dead)));
    assert_eq!(kho.attach(&mine, count(1)), Err(KhoError::Crashed));
    assert_eq!(kho.detach(segment), Err(KhoError::Crashed));
}
