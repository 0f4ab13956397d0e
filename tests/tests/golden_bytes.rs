//! The bytes of the orchestrator's records, version 1, for ever: what today's writer makes of a certain small world is
//! what was released, and today's reader adopts what was released.
//!
//! | file in `tests/golden/luo-v1` | holds |
//! |---|---|
//! | `image.bin` | the image: head, names, subsystems, shared objects, sessions, files, links, objects, payloads |
//! | `root.bin` | the root's block: a header of 16 bytes, then image, length, generation, turn |
//! | `memory.bin` | the root's number, then each preserved frame: its number, so many bytes follow, these bytes; the rest is 0 |
//!
//! All numbers are 8 bytes, little-endian. Participants write payloads that depend on nothing, so that the image does
//! not depend on where frames lie; the root names the image, so that of the root all but that name is compared.

use std::collections::BTreeMap;
use std::sync::Arc;

use luo_core::{
    Copying, FileHandler, FreezeScope, Identity, Kind, Luo, PrepareScope, Record, Refusal, Registry,
    RetrieveScope, SharedObject, Subsystem, Token, Travel, Verdict, Version, VersionRange, WritePolicy,
};
use luo_kho::carrier::DescriptorKind;
use luo_kho::ownership;
use luo_kho::sim::{Fragmentation, Machine, MachineConfig, SimExec};
use luo_kho::{ByteLen, FrameCount, FrameRange, Kho, Memory, Name, Pfn, PhysAddr, PreservedArray, Root};
use luo_tests::{bytes_of, refused, session, words_of};

/// Everybody saves and restores text.
type Text = Arc<Vec<u8>>;

/// The only sort of participant there is, in all three roles.
#[derive(Clone, Debug)]
struct Scribe {
    kind: &'static str,
    newest: u16,
    leans_on: Vec<Kind>,
    text: Text,
}

impl Scribe {
    fn new(kind: &'static str, newest: u16, leans_on: &[&'static str]) -> Self {
        let leans_on = leans_on.iter().map(|kind| Kind::literal(kind)).collect();
        Self { kind, newest, leans_on, text: Text::default() }
    }

    fn all_versions(&self) -> Vec<Version> {
        (1..=self.newest).rev().map(Version).collect()
    }

    /// The text, and behind it the version as often as it says.
    fn put(text: &[u8], scope: &mut PrepareScope<'_>) -> Result<(), Refusal> {
        for version in scope.versions().to_vec() {
            let mut payload = text.to_vec();
            payload.resize(text.len() + usize::from(version.0), version.0.to_le_bytes()[0]);
            scope.put(version, &payload)?;
        }
        Ok(())
    }

    fn take(record: &Record<'_>) -> Result<Text, Refusal> {
        let Record { version, payload } = record;
        let (text, rest) = payload
            .split_at_checked(payload.len() - usize::from(version.0))
            .ok_or_else(|| Refusal::because("too short"))?;
        assert!(rest.iter().all(|byte| u16::from(*byte) == version.0), "the payload of another version");
        Ok(Arc::new(text.to_vec()))
    }
}

impl FileHandler for Scribe {
    type File = Text;
    type Held = ();

    fn kind(&self) -> Kind {
        Kind::literal(self.kind)
    }

    fn reads(&self) -> VersionRange {
        VersionRange::up_to(Version(self.newest))
    }

    fn writes(&self) -> Vec<Version> {
        self.all_versions()
    }

    fn leans_on(&self) -> Vec<Kind> {
        self.leans_on.clone()
    }

    /// The first letter says whose it is.
    fn judge(&self, file: &Text) -> Verdict {
        if file.first() == self.kind.as_bytes().first() { Verdict::Mine } else { Verdict::NotMine }
    }

    fn identity(&self, file: &Text) -> Identity {
        Identity(luo_kho::checksum::crc32c(file).into())
    }

    fn travel(&self, file: &Text) -> Travel {
        let descriptor = DescriptorKind("text");
        Travel { descriptor, bytes: ByteLen::of(file.len()), copy: Copying::Can }
    }

    fn preserve(&self, _file: &Text) -> Result<(), Refusal> {
        Ok(())
    }

    fn survey(&self, _file: &Text, _held: &mut ()) -> Result<(), Refusal> {
        Ok(())
    }

    fn prepare(&self, file: &Text, _held: &mut (), scope: &mut PrepareScope<'_>) -> Result<(), Refusal> {
        Self::put(file, scope)
    }

    fn cancel(&self, _file: &Text, _held: &mut ()) {}

    fn freeze(&self, _file: &Text, _held: &mut (), _scope: &mut FreezeScope<'_>) -> Result<(), Refusal> {
        Ok(())
    }

    fn unfreeze(&self, _file: &Text, _held: &mut ()) {}

    fn depart(&self, _file: Text, _held: ()) {}

    fn retrieve(&self, record: &Record<'_>, scope: &mut RetrieveScope<'_>) -> Result<Text, Refusal> {
        for kind in &self.leans_on {
            let shared = scope.shared::<Text>(*kind)?;
            assert_eq!(shared.as_slice(), format!("all {kind}").as_bytes());
        }
        Self::take(record)
    }

    fn can_finish(&self, _record: &Record<'_>, _file: &Text) -> Result<(), Refusal> {
        Ok(())
    }

    fn finish(&self, _record: &Record<'_>, _file: &Text) {}

    fn discard(&self, _record: &Record<'_>, _scope: &mut RetrieveScope<'_>) {}
}

impl SharedObject for Scribe {
    type Object = Text;

    fn kind(&self) -> Kind {
        Kind::literal(self.kind)
    }

    fn reads(&self) -> VersionRange {
        VersionRange::up_to(Version(self.newest))
    }

    fn writes(&self) -> Vec<Version> {
        self.all_versions()
    }

    fn preserve(&self) -> Result<Text, Refusal> {
        Ok(Arc::new(format!("all {}", self.kind).into_bytes()))
    }

    fn prepare(&self, object: &mut Text, scope: &mut PrepareScope<'_>) -> Result<(), Refusal> {
        Self::put(object, scope)
    }

    fn cancel(&self, _object: &mut Text) {}

    fn freeze(&self, _object: &mut Text, _scope: &mut FreezeScope<'_>) -> Result<(), Refusal> {
        Ok(())
    }

    fn unfreeze(&self, _object: &mut Text) {}

    fn depart(&self, _object: Text) {}

    fn retrieve(&self, record: &Record<'_>, _scope: &mut RetrieveScope<'_>) -> Result<Text, Refusal> {
        Self::take(record)
    }

    fn finish(&self, _object: Text) {}

    fn discard(&self, _record: &Record<'_>, _scope: &mut RetrieveScope<'_>) {}
}

impl Subsystem for Scribe {
    fn name(&self) -> Kind {
        Kind::literal(self.kind)
    }

    fn reads(&self) -> VersionRange {
        VersionRange::up_to(Version(self.newest))
    }

    fn writes(&self) -> Vec<Version> {
        self.all_versions()
    }

    fn prepare(&mut self, scope: &mut PrepareScope<'_>) -> Result<(), Refusal> {
        // Room that is not used up: the image ends before its array does.
        for version in scope.versions().to_vec() {
            scope.reserve(version, ByteLen::new(100))?;
        }
        Self::put(format!("state of {}", self.kind).as_bytes(), scope)
    }

    fn cancel(&mut self) {}

    fn freeze(&mut self, _scope: &mut FreezeScope<'_>) -> Result<(), Refusal> {
        Ok(())
    }

    fn unfreeze(&mut self) {}

    fn depart(&mut self) {}

    fn restore(&mut self, record: &Record<'_>, _scope: &mut RetrieveScope<'_>) -> Result<(), Refusal> {
        self.text = Self::take(record)?;
        assert_eq!(self.text.as_slice(), format!("state of {}", self.kind).as_bytes());
        Ok(())
    }

    fn finish(&mut self) {}
}

fn registry() -> Registry {
    let good = "registered once";
    let mut registry = Registry::new();
    registry.subsystem(Scribe::new("vcpus", 2, &[])).expect(good);
    registry.subsystem(Scribe::new("clock", 1, &[])).expect(good);
    registry.shared(Scribe::new("pool", 1, &[])).expect(good);
    registry.shared(Scribe::new("ledger", 3, &[])).expect(good);
    registry.handler(Scribe::new("a-file", 2, &["ledger"])).expect(good);
    registry.handler(Scribe::new("b-file", 1, &["pool", "ledger"])).expect(good);
    registry.handler(Scribe::new("never used", 1, &[])).expect(good);
    registry
}

/// Session, token, text.
const FILES: [(&str, u64, &str); 4] = [
    ("first session", 0, "a file"),
    ("first session", u64::MAX, "b, another file"),
    ("x", 0x1A, "a file of more than eight bytes"),
    ("x", 1, "b"),
];

/// Bytes in the root's block.
const ROOT_LEN: usize = 48;

/// Writes the world, and looks at the memory on offer: root, image, and every preserved frame.
struct Written {
    root_name: u64,
    root: Vec<u8>,
    image: Vec<u8>,
    frames: BTreeMap<u64, Vec<u8>>,
}

fn write() -> Written {
    // From the top of memory downwards, so that a machine which allocates upwards can be given the same frames.
    let machine = Machine::new(MachineConfig::default().fragmentation(Fragmentation::Descending));
    let good = "nothing was told to fail";
    let (mut luo, right) = Luo::found(machine.fresh().expect(good), registry()).expect(good);
    luo.set_policy(WritePolicy::every());
    luo.open_session(session("first session")).expect(good);
    luo.open_session(session("empty")).expect(good);
    luo.open_session(session("x")).expect(good);
    for (name, token, text) in FILES {
        luo.preserve(session(name), Token(token), Arc::new(text.as_bytes().to_vec())).expect(good);
    }
    let mut written = None;
    let mut far = SimExec::new(|machine: &Machine| {
        written = Some(look(machine));
        Err(refused("this was all"))
    });
    let frozen = luo.prepare(&mut far).expect(good).freeze(right).expect(good);
    drop(frozen.hand_over().expect_err("there is no successor"));
    drop(far);
    written.expect("it was looked at")
}

fn look(machine: &Machine) -> Written {
    let good = "the memory is whole";
    let view = machine.successor().expect(good);
    let root_name = view.root().expect(good).get();
    let frame = |pfn: Pfn| view.peek(pfn).expect(good).to_vec();
    let root = frame(PhysAddr::new(root_name).frame()).get(..ROOT_LEN).expect(good).to_vec();
    let words = words_of(&root).expect(good);
    let [_, _, image, image_len, ..] = words[..] else { panic!("a root has six words") };
    let array = PreservedArray::<u8>::open(&view, Name::new(image).expect(good)).expect(good);
    let mut image = array.to_vec(&view).expect(good);
    image.truncate(usize::try_from(image_len).expect(good));
    let runs = view.preserved().expect(good);
    let frames = runs.into_iter().flat_map(FrameRange::frames).map(|pfn| (pfn.get(), frame(pfn))).collect();
    Written { root_name, root, image, frames }
}

/// As `memory.bin` holds it.
fn dump(written: &Written) -> Vec<u8> {
    let mut bytes = bytes_of(&[written.root_name]);
    for (pfn, frame) in &written.frames {
        let used = frame.iter().rposition(|byte| *byte != 0).map_or(0, |last| (last + 1).next_multiple_of(8));
        bytes.extend(bytes_of(&[*pfn, used as u64]));
        bytes.extend(frame.iter().take(used));
    }
    bytes
}

fn released(name: &str) -> Vec<u8> {
    let path = format!("{}/golden/luo-v1/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The root's block without the name of the image, and so without the checksum over it.
fn without_name(root: &[u8]) -> Vec<u8> {
    let mut root = root.to_vec();
    for (at, byte) in root.iter_mut().enumerate() {
        if (12..24).contains(&at) {
            *byte = 0;
        }
    }
    root
}

#[test]
fn the_writer_makes_the_released_bytes() {
    let written = write();
    assert!(written.image == released("image.bin"), "the image is another one");
    assert_eq!(without_name(&written.root), without_name(&released("root.bin")));
    assert_eq!(write().image, written.image, "and the same every time");
}

/// What the released files say of themselves.
#[test]
fn the_released_files_belong_together() {
    let memory = Released::read();
    let root = memory.frames.get(&(memory.root_name >> 12)).unwrap();
    assert_eq!(root[..], released("root.bin"));
    let image = released("image.bin");
    let holds = |frame: &&Vec<u8>| frame.len() >= image.len() && frame[..image.len()] == image;
    assert_eq!(memory.frames.values().filter(holds).count(), 1);
    assert_eq!(&image[..8], b"LUOB\x01\x00\x01\x00", "magic, version 1, section 1");
}

#[test]
fn the_reader_adopts_the_released_memory() {
    let machine = Machine::default();
    let memory = Released::read();
    memory.offer(&machine);
    let mut adopted = Luo::adopt(machine.successor().unwrap(), registry()).unwrap();
    let names: Vec<_> = adopted.sessions().collect();
    assert_eq!(names, ["first session", "empty", "x"].map(session));
    adopted.restore().unwrap();
    let (mut updated, right) = adopted.commit().unwrap();
    assert!(machine.enter_guest(&right));
    for (name, token, text) in FILES.into_iter().rev() {
        let found: Text = updated.retrieve(session(name), Token(token)).unwrap();
        assert_eq!(found.as_slice(), text.as_bytes());
    }
    let luo = updated.finish().unwrap();
    let census = luo.memory().census().unwrap();
    assert_eq!((census.allocated, census.preserved), (Vec::new(), Vec::new()));
    assert_eq!(machine.violations(), []);
}

/// The memory of a handover, as it was released.
struct Released {
    root_name: u64,
    frames: BTreeMap<u64, Vec<u8>>,
}

impl Released {
    fn read() -> Self {
        Self::parse(&released("memory.bin"))
    }

    fn parse(bytes: &[u8]) -> Self {
        let good = "the file is whole";
        let mut words = words_of(bytes).expect(good).into_iter();
        let root_name = words.next().expect(good);
        let mut frames = BTreeMap::new();
        while let Some(pfn) = words.next() {
            let used = words.next().expect(good);
            let frame: Vec<u64> = (0..used / 8).map(|_| words.next().expect(good)).collect();
            frames.insert(pfn, bytes_of(&frame));
        }
        Self { root_name, frames }
    }

    /// Puts the frames where they were, on a new machine, and offers them.
    fn offer(&self, machine: &Machine) {
        let good = "there is room";
        let (mut kho, right) = machine.found().expect(good);
        let everything = machine.span().count();
        let mut taken = Vec::new();
        while let Ok(range) = kho.alloc(everything) {
            taken.push(range);
        }
        for pfn in taken.into_iter().flat_map(FrameRange::frames) {
            if let Some(bytes) = self.frames.get(&pfn.get()) {
                kho.write(pfn.addr(), bytes).expect(good);
                kho.preserve(FrameRange::new(pfn, FrameCount::ONE).expect(good)).expect(good);
            } else {
                kho.free(pfn.as_range()).expect(good);
            }
        }
        kho.publish(Root::new(self.root_name)).expect(good);
        let _offer = ownership::offer(&mut kho, right).expect(good);
    }
}

/// What is written today can be kept and put into memory in the same way. With `LUO_GOLDEN_OUT` set, the files for a
/// new version are written into that folder; what was released is never written over.
#[test]
fn what_is_written_today_can_be_released() {
    let written = write();
    let memory = Released::parse(&dump(&written));
    assert_eq!(memory.root_name, written.root_name);
    let machine = Machine::default();
    memory.offer(&machine);
    let adopted = Luo::adopt(machine.successor().unwrap(), registry()).unwrap();
    assert_eq!(adopted.sessions().len(), 3);
    if let Some(folder) = std::env::var_os("LUO_GOLDEN_OUT") {
        let folder = std::path::PathBuf::from(folder);
        std::fs::write(folder.join("image.bin"), &written.image).unwrap();
        std::fs::write(folder.join("root.bin"), &written.root).unwrap();
        std::fs::write(folder.join("memory.bin"), dump(&written)).unwrap();
    }
}
