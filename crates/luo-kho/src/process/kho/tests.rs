//! Fresh memory and memory on offer, both in one process, each with mappings of its own.

use alloc::vec::Vec;
use std::fs::File;
use std::os::unix::fs::FileExt as _;

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, fcntl_get_seals, fstat, ftruncate, memfd_create};

use super::*;
use crate::ownership::{self, OwnershipError};
use crate::process::{attach, attached};
use crate::{BadBlock, Kho, Memory, Name, Owned, Pfn, PhysAddr, PreservedArray};

const SMALL: FrameCount = match FrameCount::new(4096) {
    Some(count) => count,
    None => unreachable!(),
};

fn count(frames: u64) -> FrameCount {
    FrameCount::new(frames).unwrap()
}

fn founded() -> (ProcessKho, Owned) {
    let mut kho = ProcessKho::create(SMALL).unwrap();
    let owned = ownership::found(&mut kho).unwrap();
    (kho, owned)
}

/// What another process would get.
fn carry(kho: &ProcessKho) -> Carried {
    let dup = |file: BorrowedFd<'_>| file.try_clone_to_owned().unwrap();
    let Lent { arena, word, segments } = kho.lend();
    let segments = segments.into_iter().map(|(_, file)| dup(file)).collect();
    Carried { arena: dup(arena), word: dup(word), segments }
}

fn offer(kho: &ProcessKho) -> Offer {
    Offer::from_word(kho.word().unwrap()).unwrap()
}

fn guest_file(bytes: &[u8]) -> OwnedFd {
    let file = memfd_create("guest", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap();
    ftruncate(&file, 4 * FRAME_BYTES).unwrap();
    let file = File::from(file);
    file.write_all_at(bytes, 0).unwrap();
    file.into()
}

fn inode(file: impl AsFd) -> (u64, u64) {
    let stat = fstat(file).unwrap();
    (stat.st_dev, stat.st_ino)
}

#[test]
fn what_was_preserved_crosses_and_what_was_not_is_free() {
    let (mut old, owned) = founded();
    let fresh = old.census();
    let text = b"where each page of the guest is".repeat(1000);
    let mut kept = PreservedArray::<u8>::alloc(&mut old, text.len() as u64).unwrap();
    kept.write(&mut old, 0, &text).unwrap();
    kept.seal(&mut old).unwrap();
    let lost = old.alloc(count(32)).unwrap();
    old.write(lost.addr(), &alloc::vec![0xEE; 32 * crate::FRAME_SIZE]).unwrap();
    old.publish(Some(kept.name().as_root())).unwrap();
    ownership::offer(&mut old, owned).unwrap();
    let refused = old.write(lost.addr(), &[1; 8]).unwrap_err();
    assert!(matches!(refused, KhoError::NotOwner { .. }));

    let mut new = ProcessKho::open(carry(&old)).unwrap();
    assert_eq!(new.preserved().unwrap(), old.preserved().unwrap());
    assert!(matches!(new.alloc(count(1)), Err(KhoError::NotOwner { .. })));
    assert!(matches!(new.read(lost), Err(KhoError::NotAllocated { .. })));
    let name = Name::new(new.root().unwrap().get()).unwrap();
    let kept = PreservedArray::<u8>::restore(&mut new, name).unwrap();
    let mut found = alloc::vec![0; text.len()];
    kept.read(&new, 0, &mut found).unwrap();
    assert_eq!(found, text);
    let standing = offer(&new);
    let owned = ownership::commit(&mut new, standing).unwrap();
    assert_eq!(new.generation(), 1);

    kept.free(&mut new).unwrap();
    new.publish(None).unwrap();
    assert_eq!(new.census(), fresh, "the frames of the old side are back");
    let again = new.alloc(count(64)).unwrap();
    assert!(new.read(again).unwrap().iter().all(|&byte| byte == 0), "frames are handed out zeroed");
    new.free(again).unwrap();
    ownership::retire(&mut new, owned).unwrap();
}

#[test]
fn memory_that_nobody_uses_goes_back_to_the_host() {
    let (mut old, owned) = founded();
    let blocks = |kho: &ProcessKho| fstat(kho.lend().arena).unwrap().st_blocks;
    let before = blocks(&old);
    let range = old.alloc(count(512)).unwrap();
    assert!(blocks(&old) >= before + 512 * 8);
    old.free(range).unwrap();
    assert_eq!(blocks(&old), before);
    let _abandoned = old.alloc(count(512)).unwrap();
    ownership::offer(&mut old, owned).unwrap();
    let mut new = ProcessKho::open(carry(&old)).unwrap();
    let standing = offer(&new);
    let _owned = ownership::commit(&mut new, standing).unwrap();
    assert!(blocks(&new) > before, "nothing but the word is touched by the commit");
    new.publish(None).unwrap();
    assert!(blocks(&new) <= before + 8, "the first change gives back what the old side left");
}

#[test]
fn segments_cross_with_their_numbers_and_their_inodes() {
    let (mut old, owned) = founded();
    let before = old.census();
    let files: Vec<_> = (0..200u8).map(|n| guest_file(&[n; 16])).collect();
    let ranges: Vec<_> = files.iter().map(|file| attach(&mut old, file.as_fd(), count(4)).unwrap()).collect();
    assert!(ranges.iter().all(|range| old.span().covers(*range) && range.start().get() >= SMALL.get()));
    assert!(matches!(old.free(ranges[0]), Err(KhoError::NotAllocated { .. })));
    assert!(matches!(old.preserve(ranges[0]), Err(KhoError::NotAllocated { .. })));
    assert!(matches!(old.write(ranges[0].addr(), &[0; 8]), Err(KhoError::NotAllocated { .. })));
    let half = FrameRange::new(ranges[0].start(), count(2)).unwrap();
    assert!(matches!(old.detach(half), Err(KhoError::NotAttached { .. })));
    old.detach(ranges[7]).unwrap();
    ownership::offer(&mut old, owned).unwrap();
    assert!(matches!(attach(&mut old, files[7].as_fd(), count(4)), Err(KhoError::NotOwner { .. })));

    let mut new = ProcessKho::open(carry(&old)).unwrap();
    assert_eq!(new.segments(), old.segments());
    for (file, range) in files.iter().zip(&ranges) {
        match attached(&new, *range) {
            Ok(found) => assert_eq!(inode(&found), inode(file)),
            Err(error) => assert_eq!((error, *range), (KhoError::NotAttached { range: *range }, ranges[7])),
        }
    }
    new.reclaim(ranges[0]).unwrap();
    assert!(matches!(new.reclaim(half), Err(KhoError::AlreadyReclaimed { .. })));
    new.forgo(ranges[0]).unwrap();
    new.reclaim(half).unwrap();
    assert!(matches!(new.detach(ranges[0]), Err(KhoError::NotOwner { .. })));
    let standing = offer(&new);
    let _owned = ownership::commit(&mut new, standing).unwrap();
    for range in new.segments() {
        new.detach(range).unwrap();
    }
    assert_eq!(new.census(), before);
    let numbered = attach(&mut new, files[0].as_fd(), count(4)).unwrap();
    assert_eq!(numbered, ranges[0], "numbers are used again");
    assert!(matches!(new.reclaim(numbered), Err(KhoError::NotPreserved { .. })), "it was not inherited");
}

#[test]
fn nothing_is_read_before_the_offer() {
    let (mut old, owned) = founded();
    let not_offered = |error| matches!(error, OpenError::Kho(KhoError::NotOffered { .. }));
    assert!(not_offered(ProcessKho::open(carry(&old)).unwrap_err()));
    let standing = ownership::offer(&mut old, owned).unwrap();
    assert!(ProcessKho::open(carry(&old)).is_ok());
    let owned = ownership::revoke(&mut old, standing).unwrap();
    assert!(not_offered(ProcessKho::open(carry(&old)).unwrap_err()));
    ownership::retire(&mut old, owned).unwrap();
    assert!(not_offered(ProcessKho::open(carry(&old)).unwrap_err()));
}

#[test]
fn a_successor_of_an_offer_that_is_gone_loses() {
    let (mut old, owned) = founded();
    let first = ownership::offer(&mut old, owned).unwrap();
    let mut late = ProcessKho::open(carry(&old)).unwrap();
    let owned = ownership::revoke(&mut old, first).unwrap();
    assert!(matches!(ownership::commit(&mut late, first), Err(OwnershipError::Departed(_))));
    let second = ownership::offer(&mut old, owned).unwrap();
    // It has read what was sealed for the first offer: the second is not its own.
    assert!(matches!(ownership::commit(&mut late, second), Err(OwnershipError::Departed(_))));
    let mut new = ProcessKho::open(carry(&old)).unwrap();
    let _owned = ownership::commit(&mut new, second).unwrap();
    assert!(matches!(ownership::revoke(&mut old, second), Err(OwnershipError::Departed(_))));
    assert!(matches!(old.alloc(count(1)), Err(KhoError::NotOwner { .. })));
}

#[test]
fn a_renewed_offer_shuts_out_who_read_the_old_one() {
    let (mut old, owned) = founded();
    let first = ownership::offer(&mut old, owned).unwrap();
    let mut late = ProcessKho::open(carry(&old)).unwrap();
    let second = ownership::reoffer(&mut old, first).unwrap();
    assert!(matches!(ownership::commit(&mut late, first), Err(OwnershipError::Departed(_))));
    let mut new = ProcessKho::open(carry(&old)).unwrap();
    assert!(ownership::commit(&mut new, second).is_ok());
}

#[test]
fn memory_can_be_passed_on_untouched() {
    let (mut kho, owned) = founded();
    let mut owned = Some(owned);
    for _ in 0..3 {
        let standing = ownership::offer(&mut kho, owned.take().unwrap()).unwrap();
        kho = ProcessKho::open(carry(&kho)).unwrap();
        owned = Some(ownership::commit(&mut kho, standing).unwrap());
    }
    assert_eq!(kho.generation(), 3);
}

#[test]
fn one_of_many_adopters_wins() {
    let (mut old, owned) = founded();
    let standing = ownership::offer(&mut old, owned).unwrap();
    let adopters: Vec<_> = (0..8).map(|_| ProcessKho::open(carry(&old)).unwrap()).collect();
    let wins: usize = std::thread::scope(|scope| {
        let racers: Vec<_> = adopters
            .into_iter()
            .map(|mut kho| scope.spawn(move || usize::from(ownership::commit(&mut kho, standing).is_ok())))
            .collect();
        racers.into_iter().map(|racer| racer.join().unwrap()).sum()
    });
    assert_eq!(wins, 1);
}

#[test]
fn files_that_could_change_under_a_reader_are_refused() {
    let plain = |seals| {
        let file = memfd_create("x", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap();
        ftruncate(&file, FRAME_BYTES).unwrap();
        fcntl_add_seals(&file, seals).unwrap();
        file
    };
    let (mut old, owned) = founded();
    ownership::offer(&mut old, owned).unwrap();
    let with_arena = |arena| ProcessKho::open(Carried { arena, ..carry(&old) }).unwrap_err();
    assert!(matches!(with_arena(plain(SealFlags::empty())), OpenError::MayShrink { file: "arena" }));
    assert!(matches!(with_arena(plain(SealFlags::SHRINK | SealFlags::WRITE)), OpenError::ReadOnly { .. }));
    assert!(matches!(with_arena(plain(SealFlags::SHRINK)), OpenError::Bad(BadBlock::Magic { .. })));
    assert!(matches!(with_arena(File::open("/dev/null").unwrap().into()), OpenError::NotMemfd { .. }));
    let empty = memfd_create("x", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap();
    fcntl_add_seals(&empty, SealFlags::SHRINK).unwrap();
    assert!(matches!(with_arena(empty), OpenError::TooShort { file: "arena", len: 0, .. }));
    let with_word = |word| ProcessKho::open(Carried { word, ..carry(&old) }).unwrap_err();
    assert!(matches!(with_word(plain(SealFlags::empty())), OpenError::MayShrink { file: "word page" }));
    let vacant = with_word(plain(SealFlags::SHRINK));
    assert!(matches!(vacant, OpenError::Kho(KhoError::NotOffered { word: Word::VACANT })));
    assert!(fcntl_get_seals(old.lend().arena).unwrap().contains(SealFlags::SHRINK));
}

#[test]
fn every_damaged_byte_of_the_header_and_the_table_is_seen() {
    let (mut old, owned) = founded();
    let file = guest_file(b"guest");
    attach(&mut old, file.as_fd(), count(4)).unwrap();
    ownership::offer(&mut old, owned).unwrap();
    let raw = File::from(carry(&old).arena);
    let table = old.segments.table[0].addr().get();
    for at in (0..80).chain(table..table + 48) {
        let mut byte = [0];
        raw.read_exact_at(&mut byte, at).unwrap();
        raw.write_all_at(&[byte[0] ^ 0x10], at).unwrap();
        let error = ProcessKho::open(carry(&old)).unwrap_err();
        assert!(matches!(error, OpenError::Bad(_)), "byte {at}: {error}");
        raw.write_all_at(&byte, at).unwrap();
    }
    assert!(ProcessKho::open(carry(&old)).is_ok());
}

#[test]
fn a_header_that_lies_under_a_good_checksum_is_refused() {
    let (mut old, owned) = founded();
    let range = old.alloc(count(4)).unwrap();
    old.preserve(range).unwrap();
    let file = guest_file(b"guest");
    attach(&mut old, file.as_fd(), count(4)).unwrap();
    let running = owned.word();
    ownership::offer(&mut old, owned).unwrap();
    let truth = Header {
        capacity: old.arena.capacity(),
        frames: old.arena.frames(),
        tracker: old.tracker.root(),
        root: None,
        generation: 0,
        segments: 1,
        table: Some(old.segments.table[0]),
        word: running,
    };
    let mut lie = |change: fn(&mut Header)| {
        let mut header = truth;
        change(&mut header);
        old.arena.put_header(&header);
        ProcessKho::open(carry(&old)).unwrap_err()
    };
    assert!(matches!(lie(|header| header.frames = SMALL), OpenError::TooShort { .. }));
    assert!(matches!(lie(|header| header.segments = 2), OpenError::SegmentsMissing { said: 2, carried: 1 }));
    assert!(matches!(lie(|header| header.table = None), OpenError::SegmentsMissing { said: 0, .. }));
    assert!(matches!(
        lie(|header| header.table = Pfn::new(1 << 40)),
        OpenError::Kho(KhoError::OutOfRange { .. })
    ));
    let preserved = lie(|header| header.table = Some(Pfn::new(2).unwrap()));
    assert!(matches!(preserved, OpenError::Bad(_)));
    assert!(matches!(lie(|header| header.tracker = PhysAddr::new(0)), OpenError::Kho(KhoError::Tracker(_))));
    assert!(matches!(lie(|header| header.tracker = PhysAddr::new(9)), OpenError::Kho(KhoError::Tracker(_))));
    let younger = lie(|header| header.word = Word::from_bits(0x0900_0101).unwrap());
    assert!(matches!(younger, OpenError::OtherOffer { .. }));
    let other = lie(|header| header.word = Word::from_bits(0x0100_0201).unwrap());
    assert!(matches!(other, OpenError::OtherOffer { .. }));
    old.arena.put_header(&truth);
    assert!(ProcessKho::open(carry(&old)).is_ok());
    let missing = ProcessKho::open(Carried { segments: Vec::new(), ..carry(&old) }).unwrap_err();
    assert!(matches!(missing, OpenError::SegmentsMissing { said: 1, carried: 0 }));
}

#[test]
fn calls_that_break_the_contract_are_typed_errors_and_change_nothing() {
    let (mut kho, owned) = founded();
    let range = kho.alloc(count(4)).unwrap();
    let part = FrameRange::new(range.start(), count(2)).unwrap();
    kho.preserve(part).unwrap();
    let before = (kho.census(), kho.preserved().unwrap());
    let outside = FrameRange::from_bounds(1 << 49, (1 << 49) + 1).unwrap();
    let free = FrameRange::from_bounds(100, 101).unwrap();
    assert!(matches!(kho.preserve(part), Err(KhoError::AlreadyPreserved { .. })));
    assert!(matches!(kho.preserve(range), Err(KhoError::Overlap { .. })));
    assert!(matches!(kho.preserve(free), Err(KhoError::NotAllocated { .. })));
    assert!(matches!(kho.preserve(outside), Err(KhoError::OutOfRange { .. })));
    assert!(matches!(kho.free(range), Err(KhoError::StillPreserved { .. })));
    assert!(matches!(kho.free(free), Err(KhoError::NotAllocated { .. })));
    assert!(matches!(kho.unpreserve(range), Err(KhoError::NotPreserved { .. })));
    assert!(matches!(kho.read(free), Err(KhoError::NotAllocated { .. })));
    assert!(matches!(kho.write(range.addr(), &[0; 7]), Err(KhoError::Unaligned { .. })));
    assert!(matches!(
        kho.write(PhysAddr::new(range.addr().get() + 4), &[0; 8]),
        Err(KhoError::Unaligned { .. })
    ));
    assert!(matches!(kho.write(PhysAddr::new(0), &[0; 8]), Err(KhoError::OutOfRange { .. })), "the header");
    assert!(matches!(kho.write(PhysAddr::new(u64::MAX - 7), &[0; 8]), Err(KhoError::OutOfRange { .. })));
    assert!(matches!(kho.alloc(FrameCount::ZERO), Err(KhoError::OutOfFrames { .. })));
    assert!(matches!(kho.attach(&"not a file", count(1)), Err(KhoError::NotAttachable { .. })));
    assert!(matches!(kho.attached(part), Err(KhoError::NotAttached { .. })));
    assert!(matches!(kho.reclaim(part), Err(KhoError::NotPreserved { .. })), "it was not inherited");
    assert_eq!((kho.census(), kho.preserved().unwrap()), before);

    let mut all = Vec::new();
    while let Ok(range) = kho.alloc(count(1000)) {
        all.push(range);
    }
    assert_eq!(kho.census()[0], FrameCount::ZERO);
    assert!(matches!(kho.preserve(all[0]), Ok(()) | Err(KhoError::OutOfFrames { .. })));
    ownership::retire(&mut kho, owned).unwrap();
    assert!(matches!(kho.alloc(count(1)), Err(KhoError::NotOwner { .. })));
}

#[test]
fn a_thousand_handovers_leave_nothing_behind() {
    let (mut kho, owned) = founded();
    let mut kept = PreservedArray::<u8>::alloc(&mut kho, 100_000).unwrap();
    kept.write(&mut kho, 0, &alloc::vec![7; 100_000]).unwrap();
    kept.seal(&mut kho).unwrap();
    kho.publish(Some(kept.name().as_root())).unwrap();
    let census = kho.census();
    let mut owned = Some(owned);
    for generation in 1..=1000 {
        let scratchpad = kho.alloc(count(generation % 7 + 1)).unwrap();
        kho.write(scratchpad.addr(), &generation.to_le_bytes()).unwrap();
        let standing = ownership::offer(&mut kho, owned.take().unwrap()).unwrap();
        let mut new = ProcessKho::open(carry(&kho)).unwrap();
        owned = Some(ownership::commit(&mut new, standing).unwrap());
        assert_eq!((new.generation(), new.census()), (generation, census));
        kho = new;
    }
    assert!(fstat(kho.lend().arena).unwrap().st_size <= 256 * 4096);
}
