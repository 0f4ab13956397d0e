//! The classes of hostile bytes by name, each tried with right checksums where the class is about meaning.
//!
//! | class | tried by |
//! |---|---|
//! | X1 flipped bits, X2 bytes as 00 and FF, X3 truncations | here, every 64th byte; all of them: `cargo xtask sim --hostile` |
//! | X4 trailing bytes | here |
//! | X5 blocks filled with 00 and FF, sealed | here |
//! | X6 blocks swapped, or of another session | here: frames; `hostile_images_are_refused`: the image's blocks |
//! | X7 chains with cycles, shared or too long | `luo-kho`: `chains_that_lie_are_refused`, `cycles_and_diamonds_are_refused` |
//! | X8 directories that point anywhere | `luo-xarray`: `lies_under_right_checksums_do_no_harm` |
//! | X9 huge counts | here; `lengths_are_not_believed` |
//! | X10 indices twice, unsorted, overlapping | here: tokens and sessions; `luo-xarray`: as X8 |
//! | X11 frames twice, within and across files | here; `luo-kho`: `entries_that_lie_are_refused` |
//! | X12 frames out of range, in scratch, not preserved | here; the tracker's and the chain's own tests |
//! | X13 runs below 0, X15 packed widths | `luo-xarray`: as X8 |
//! | X14 reserved bits | here |
//! | X16 lies under right checksums | here; `hostile_images_are_refused`: `every_field_forged` |
//! | X17 strings without end, empty, of 48 bytes, not UTF-8 | here |
//! | X18 sizes, positions and seals that no file has | `luo-memfd`: `what_cannot_be_is_refused_and_named` |
//!
//! What a lie may cost is `lies_cost_little`'s.
#![expect(clippy::indexing_slicing, reason = "a helper of a test may panic as the test may")]

use luo_core::{AdoptError, Token, WireError};
use luo_kho::FRAME_SIZE;
use luo_tests::hostile::{
    BLOCK_HEADER, Outcome, Records, Seen, addr, block_len, build, exhaust, forge_block, forge_frame,
    frames_of_records, offered, take, take_believing, tampered, word_at, written_frames,
};
use luo_tests::{Host, session};

/// An offer, and its image cut into blocks.
struct Victim {
    host: Host,
    written: Vec<Seen>,
    records: Records,
    /// Where each section's block begins, and how long its body is.
    sections: Vec<(usize, usize)>,
}

const NAMES: usize = 1;
const SHARED: usize = 3;
const SESSIONS: usize = 4;
const FILES: usize = 5;
const LINKS: usize = 6;
const OBJECTS: usize = 7;
const PAYLOADS: usize = 8;

impl Victim {
    fn new() -> Self {
        let host = Host::new();
        let written = offered(&host);
        let records = Records::of(&host);
        let (mut sections, mut at) = (Vec::new(), 0);
        while at < records.image_bytes.len() {
            let len = block_len(&records.image_bytes, at);
            sections.push((at, len));
            at += BLOCK_HEADER + len;
        }
        assert_eq!(sections.len(), 9);
        Self { host, written, records, sections }
    }

    /// A fork with this change of a section's body, sealed.
    fn forged(&self, section: usize, forge: impl FnOnce(&mut [u8])) -> Host {
        let (at, len) = self.sections[section];
        let mut image = self.records.image_bytes.clone();
        forge(&mut image[at + BLOCK_HEADER..at + BLOCK_HEADER + len]);
        forge_block(&mut image, at, len);
        tampered(&self.host, self.records.image, &image)
    }

    /// What a successor answers to such a change.
    fn refusal(&self, section: usize, forge: impl FnOnce(&mut [u8])) -> WireError {
        match self.forged(section, forge).adopt(&build()) {
            Err(AdoptError::Wire(error)) => error,
            Err(error) => panic!("{error}"),
            Ok(_) => panic!("it is believed"),
        }
    }
}

#[test]
fn x1_x2_x3_flips_fills_and_truncations() {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let all = exhaust(cores, 64);
    assert_eq!(all.silent, [""; 0]);
    assert!(all.flips > 8000 && all.set > 1000 && all.truncations > 10, "{all:?}");
    println!("{all:?}");
}

#[test]
fn x4_trailing_bytes() {
    let victim = Victim::new();
    for more in [8, 16, 64] {
        let longer = (victim.records.image_bytes.len() + more) as u64;
        let fork = victim.records.forge_root(&victim.host, |root| {
            root[24..32].copy_from_slice(&longer.to_le_bytes());
        });
        let error = fork.adopt(&build()).unwrap_err();
        let AdoptError::Wire(error) = error else { panic!("{error}") };
        assert!(matches!(error, WireError::TrailingBytes { .. } | WireError::Truncated { .. }), "{error}");
    }
}

#[test]
fn x5_blocks_filled_and_sealed() {
    let victim = Victim::new();
    for section in 0..victim.sections.len() {
        for fill in [0x00, 0xFF] {
            let mut changed = true;
            let fork = victim.forged(section, |body| {
                changed = body.iter().any(|byte| *byte != fill);
                body.fill(fill);
            });
            if !changed {
                continue;
            }
            assert_ne!(
                take(&fork, &victim.written),
                Outcome::Same,
                "section {section} filled with {fill:#x}"
            );
        }
    }
}

/// Whole in themselves, in the place of another: nobody sees a file that was not written.
#[test]
fn x6_frames_in_the_place_of_others() {
    let victim = Victim::new();
    let preserved = frames_of_records(&victim.host);
    let frames: Vec<_> =
        written_frames(&victim.host).into_iter().filter(|(pfn, _)| preserved.contains(pfn)).collect();
    let mut swaps = 0;
    for (pfn, bytes) in &frames {
        for (other, others) in frames.iter().filter(|(other, _)| other != pfn) {
            let fork = tampered(&victim.host, addr(*pfn, 0), others);
            assert!(fork.machine.tamper(addr(*other, 0), bytes));
            take_believing(&fork, |seen| assert!(victim.written.contains(seen), "{seen:?} was not written"));
            swaps += 1;
        }
    }
    assert!(swaps > 50, "{swaps} swaps");
}

#[test]
fn x9_huge_counts() {
    let victim = Victim::new();
    for (at, len) in &victim.sections {
        for count in [1 << 31, u64::from(u32::MAX)] {
            let mut image = victim.records.image_bytes.clone();
            image[at + 16..at + 20].copy_from_slice(&u32::try_from(count).unwrap().to_le_bytes());
            forge_block(&mut image, *at, *len);
            let fork = tampered(&victim.host, victim.records.image, &image);
            fork.adopt(&build()).expect_err("it has not so many items");
        }
        for huge in [1 << 32, u64::MAX - 7, 1 << 63] {
            let mut image = victim.records.image_bytes.clone();
            image[at + 8..at + 16].copy_from_slice(&u64::to_le_bytes(huge));
            let fork = tampered(&victim.host, victim.records.image, &image);
            fork.adopt(&build()).expect_err("it is not so long");
        }
    }
    // A session that says how many files it has.
    for files in [u64::MAX, u64::MAX - 2, 1 << 32] {
        let error = victim.refusal(SESSIONS, |body| body[..8].copy_from_slice(&files.to_le_bytes()));
        assert!(matches!(error, WireError::Impossible { .. }), "{error}");
    }
}

#[test]
fn x10_names_twice() {
    let victim = Victim::new();
    // Session `b` is called `a`; the third file has the token of the first.
    let error = victim.refusal(SESSIONS, |body| body[72 + 8] = b'a');
    assert!(matches!(error, WireError::DuplicateSession { .. }), "{error}");
    let error = victim.refusal(FILES, |body| body[16..24].copy_from_slice(&1u64.to_le_bytes()));
    assert!(matches!(error, WireError::DuplicateToken { .. }), "{error}");
}

/// The second file names the array of the first: it is claimed once, whoever comes first.
#[test]
fn x11_frames_of_two_files() {
    let victim = Victim::new();
    let (payloads, _) = victim.sections[PAYLOADS];
    let image = &victim.records.image_bytes;
    let names: Vec<usize> = (payloads + BLOCK_HEADER..image.len())
        .step_by(8)
        .filter(|at| {
            let word = word_at(image, *at);
            word > 0 && word.is_multiple_of(FRAME_SIZE as u64) && word < 1 << 24
        })
        .collect();
    assert!(names.len() >= 4, "each participant but the empty file names an array: {names:?}");
    let mut lies = 0;
    for one in &names {
        for other in names.iter().filter(|other| *other != one) {
            let mut image = image.clone();
            image.copy_within(*other..other + 8, *one);
            seal_payloads(&victim, &mut image);
            let fork = tampered(&victim.host, victim.records.image, &image);
            let mut seen_files = Vec::new();
            take_believing(&fork, |seen| seen_files.push(seen.clone()));
            for seen in &seen_files {
                assert!(victim.written.contains(seen), "{seen:?} was not written");
            }
            lies += 1;
        }
    }
    println!("{lies} lies");
}

/// Makes the checksum of every payload right, and that of the objects.
fn seal_payloads(victim: &Victim, image: &mut [u8]) {
    let ((objects, len), (payloads, _)) = (victim.sections[OBJECTS], victim.sections[PAYLOADS]);
    let mut at = payloads + BLOCK_HEADER;
    for object in (objects + BLOCK_HEADER..objects + BLOCK_HEADER + len).step_by(16) {
        let size = usize::try_from(word_at(image, object) >> 32).expect("32 bits");
        let sum = luo_kho::checksum::crc32c(&image[at..at + size]);
        image[object + 8..object + 12].copy_from_slice(&sum.to_le_bytes());
        at += size.next_multiple_of(8);
    }
    forge_block(image, objects, len);
}

/// Every entry of every array names a frame that it cannot.
#[test]
fn x12_frames_that_cannot_be() {
    let victim = Victim::new();
    let scratch = luo_kho::Memory::scratch(&victim.host.machine.successor().unwrap())[0];
    let mut lies = 0;
    for (pfn, bytes) in written_frames(&victim.host) {
        if !bytes.starts_with(b"LUOA") {
            continue;
        }
        let far = [
            0,
            1,
            scratch.start().get(),
            scratch.end() - 1,
            4095,
            4096,
            (1 << 40) - 1,
            (1 << 52) - 1,
            u64::MAX,
        ];
        for entry in far {
            let mut forged = bytes.clone();
            forged[80..88].copy_from_slice(&entry.to_le_bytes());
            if forged == bytes {
                continue;
            }
            forge_frame(&mut forged);
            let outcome = take(&tampered(&victim.host, addr(pfn, 0), &forged), &victim.written);
            assert_ne!(outcome, Outcome::Same, "{pfn} names frame {entry:#x}");
            lies += 1;
        }
    }
    assert!(lies > 30, "{lies} lies");
}

#[test]
fn x14_reserved_bits() {
    let victim = Victim::new();
    // Of subsystems, shared objects, links: the second half of a word; of objects: byte 2 and the last four.
    for (section, reserved) in [(2, 4), (SHARED, 4), (LINKS, 4), (OBJECTS, 2), (OBJECTS, 12)] {
        for bit in 0..16 {
            let error = victim.refusal(section, |body| body[reserved + bit / 8] ^= 1 << (bit % 8));
            assert!(matches!(error, WireError::Impossible { .. }), "section {section}: {error}");
        }
    }
    // Of the block that begins a frame: bytes 6 and 7.
    for bit in 0..16 {
        let mut root = victim.records.root_bytes.clone();
        root[6 + bit / 8] ^= 1 << (bit % 8);
        forge_frame(&mut root);
        assert_eq!(
            take(&tampered(&victim.host, victim.records.root, &root), &victim.written),
            Outcome::Refused
        );
    }
}

/// The names are those of the subsystem, of the shared object and of the handlers, in that order, and a file names one
/// of the last.
#[test]
fn x16_names_of_others() {
    let victim = Victim::new();
    let count = victim.sections[NAMES].1 / 48;
    for name in 0..count {
        let at = name * 48;
        for role in 1..=3 {
            let mut right = false;
            let fork = victim.forged(NAMES, |body| {
                right = body[at] == role;
                body[at] = role;
            });
            match fork.adopt(&build()) {
                Ok(_) => assert!(right, "name {name} in role {role} is believed"),
                Err(AdoptError::Wire(WireError::Impossible { section, .. })) => assert_eq!(section, "names"),
                Err(error) => panic!("name {name} in role {role}: {error}"),
            }
        }
    }
    for name in [0, 1, u32::try_from(count).unwrap(), u32::MAX] {
        let error = victim.refusal(FILES, |body| body[8..12].copy_from_slice(&name.to_le_bytes()));
        assert!(matches!(error, WireError::Impossible { section: "files", .. }), "name {name}: {error}");
    }
}

/// Nobody would ever let go of it.
#[test]
fn x16_a_shared_object_that_nobody_leans_on() {
    let victim = Victim::new();
    let mut image = victim.records.image_bytes.clone();
    let body = |section: usize| {
        let (at, len) = victim.sections[section];
        at + BLOCK_HEADER..at + BLOCK_HEADER + len
    };
    image[body(SHARED)][8..16].fill(0);
    image[body(FILES)].chunks_mut(16).for_each(|file| file[14..].fill(0));
    for section in [SHARED, FILES] {
        forge_block(&mut image, victim.sections[section].0, victim.sections[section].1);
    }
    let (links, _) = victim.sections[LINKS];
    image.drain(body(LINKS));
    image[links + 8..links + 20].fill(0);
    forge_block(&mut image, links, 0);
    let fork = victim.records.forge_root(&victim.host, |root| {
        root[24..32].copy_from_slice(&(image.len() as u64).to_le_bytes());
    });
    assert!(fork.machine.tamper(victim.records.image, &image));
    let error = fork.adopt(&build()).unwrap_err();
    let expected = matches!(error, AdoptError::Wire(WireError::Impossible { section: "shared objects", .. }));
    assert!(expected, "{error}");
}

/// Names that are none, of a handler and of a session.
#[test]
fn x17_strings() {
    let victim = Victim::new();
    let bad: [fn(&mut [u8]); 5] = [
        |text| text.fill(b'x'),
        |text| text.fill(0),
        |text| text[0] = 0xFF,
        |text| text[0] = 0,
        |text| text[text.len() - 1] = b'x',
    ];
    for (number, forge) in bad.into_iter().enumerate() {
        // A kind may fill all of its 47 bytes; then it is another kind, that of nobody.
        let fork = victim.forged(NAMES, |body| forge(&mut body[1..48]));
        assert_ne!(take(&fork, &victim.written), Outcome::Same, "name {number}");
        let error = victim.refusal(SESSIONS, |body| forge(&mut body[8..72]));
        assert!(matches!(error, WireError::Impossible { .. }), "session {number}: {error}");
    }
    let fork = victim.forged(SESSIONS, |body| body[8] = b'z');
    let mut seen_sessions = Vec::new();
    take_believing(&fork, |(name, token, ..)| seen_sessions.push((*name, *token)));
    assert!(
        seen_sessions.contains(&(session("z"), Token(1))),
        "another good name is believed: {seen_sessions:?}"
    );
}
