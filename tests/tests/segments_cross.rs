//! A file whose memory is attached crosses without being copied: its frames have the same numbers on the far side, and
//! whatever ends an update, in whatever way, lets go of them.

use luo_core::{
    Copying, FileHandler, FinishError, FreezeScope, Identity, Irrevocable, Kind, Luo, PrepareScope, Record,
    Refusal, Registry, RetrieveScope, Token, Travel, Updated, Verdict, Version, VersionRange,
};
use luo_kho::carrier::{CarrierError, DescriptorKind};
use luo_kho::sim::{Call, FaultPlan, Machine, SimExec, SimFile, SimKexec, SimKho};
use luo_kho::{ByteLen, FrameRange, Owned};
use luo_tests::{
    Act, Build, Journal, Pen, ProgramId, VCPUS, Who, assert_no_frames, bytes_of, refused, session, words_of,
};

const CLIP: Token = Token(1);
const TEXT: &[u8] = b"nobody moved this";

/// A file of the machine.
#[derive(Clone)]
struct Clip(SimFile);

/// Attaches clips. `keeps` says in which of the two ways it claims them on the far side.
struct Clips {
    keeps: bool,
}

impl Clips {
    fn segment(record: &Record<'_>) -> Result<FrameRange, Refusal> {
        let words = words_of(record.payload).unwrap_or_default();
        let [start, end] = words[..] else { return Err(Refusal::because("not two words")) };
        FrameRange::from_bounds(start, end).ok_or_else(|| Refusal::because("not a range"))
    }

    fn claim(&self, segment: FrameRange, scope: &mut RetrieveScope<'_>) -> Result<(), Refusal> {
        if self.keeps {
            scope.keep(segment)?;
        } else {
            scope.memory().reclaim(segment)?;
        }
        Ok(())
    }
}

impl FileHandler for Clips {
    type File = Clip;
    type Held = ();

    fn kind(&self) -> Kind {
        Kind::literal("clip")
    }

    fn reads(&self) -> VersionRange {
        VersionRange::only(Version(1))
    }

    fn writes(&self) -> Vec<Version> {
        vec![Version(1)]
    }

    fn leans_on(&self) -> Vec<Kind> {
        Vec::new()
    }

    fn judge(&self, _clip: &Clip) -> Verdict {
        Verdict::Mine
    }

    fn identity(&self, clip: &Clip) -> Identity {
        Identity(clip.0.number().into())
    }

    fn travel(&self, clip: &Clip) -> Travel {
        let bytes = ByteLen::new(clip.0.size());
        Travel { descriptor: DescriptorKind("clip"), bytes, copy: Copying::Can }
    }

    fn preserve(&self, _clip: &Clip) -> Result<(), Refusal> {
        Ok(())
    }

    fn survey(&self, _clip: &Clip, (): &mut ()) -> Result<(), Refusal> {
        Ok(())
    }

    fn prepare(&self, clip: &Clip, (): &mut (), scope: &mut PrepareScope<'_>) -> Result<(), Refusal> {
        let frames = ByteLen::new(clip.0.size()).frames();
        let segment = scope.memory().attach(&clip.0, frames)?;
        Ok(scope.put(Version(1), &bytes_of(&[segment.start().get(), segment.end()]))?)
    }

    fn cancel(&self, _clip: &Clip, (): &mut ()) {}

    fn freeze(&self, _clip: &Clip, (): &mut (), _scope: &mut FreezeScope<'_>) -> Result<(), Refusal> {
        Ok(())
    }

    fn unfreeze(&self, _clip: &Clip, (): &mut ()) {}

    fn depart(&self, _clip: Clip, (): ()) {}

    fn retrieve(&self, record: &Record<'_>, scope: &mut RetrieveScope<'_>) -> Result<Clip, Refusal> {
        let segment = Self::segment(record)?;
        self.claim(segment, scope)?;
        let file = scope.memory().attached(segment)?.downcast_ref::<SimFile>();
        file.cloned().map(Clip).ok_or_else(|| Refusal::because("it is no file of this machine"))
    }

    fn can_finish(&self, _record: &Record<'_>, _clip: &Clip) -> Result<(), Refusal> {
        Ok(())
    }

    fn finish(&self, _record: &Record<'_>, _clip: &Clip) {}

    fn discard(&self, record: &Record<'_>, scope: &mut RetrieveScope<'_>) {
        let _ = Self::segment(record).and_then(|segment| self.claim(segment, scope));
    }
}

struct World {
    machine: Machine,
    journal: Journal,
    keeps: bool,
    /// Whether the successor reads clips.
    reads: bool,
    file: SimFile,
}

impl World {
    fn new(keeps: bool) -> Self {
        let file = SimFile::new(());
        file.write(4096, TEXT);
        Self { machine: Machine::default(), journal: Journal::default(), keeps, reads: true, file }
    }

    fn registry(&self, program: u32) -> Registry {
        let (mut registry, _) =
            Build::standard().registry(&Pen::new(self.journal.clone(), ProgramId(program)));
        if program == 0 || self.reads {
            registry.handler(Clips { keeps: self.keeps }).expect("the only one");
        }
        registry
    }

    fn program(&self) -> (Luo<SimKho>, Owned) {
        let kho = self.machine.fresh().expect("nothing was told to fail");
        let (mut luo, owned) = Luo::found(kho, self.registry(0)).expect("it is fresh");
        luo.open_session(session("s")).expect("the name is free");
        assert!(luo.preserve(session("s"), CLIP, Clip(self.file.clone())).is_ok());
        (luo, owned)
    }

    /// One update within a boot. The old program is gone.
    fn updated(&self) -> Updated<SimKho> {
        let (mut luo, owned) = self.program();
        let mut updated = None;
        let mut far = SimExec::new(|machine: &Machine| {
            let kho = machine.successor().map_err(refused)?;
            let mut adopted = Luo::adopt(kho, self.registry(1)).map_err(|stuck| refused(stuck.error))?;
            adopted.restore().map_err(refused)?;
            updated = Some(adopted.commit().map_err(|stuck| refused(stuck.error))?.0);
            Ok(())
        });
        let frozen = luo.prepare(&mut far).expect("prepares").freeze(owned).expect("freezes");
        let _departed = frozen.hand_over().expect("goes over");
        drop(far);
        updated.expect("it has arrived")
    }

    fn assert_let_go(&self, luo: &Luo<SimKho>) {
        assert_no_frames(&luo.memory().census().expect("the tracker is whole"));
        assert_eq!(self.machine.violations(), []);
    }
}

#[test]
fn it_is_the_same_file_on_the_far_side() {
    for keeps in [false, true] {
        let world = World::new(keeps);
        let mut updated = world.updated();
        let clip: Clip = updated.retrieve(session("s"), CLIP).unwrap();
        let mut found = [0; TEXT.len()];
        clip.0.read(4096, &mut found);
        assert_eq!((&found[..], clip.0.number()), (TEXT, world.file.number()));
        assert_eq!(updated.luo().memory().census().unwrap().segments.len(), 1);
        let luo = updated.finish().map_err(|stuck| stuck.error).unwrap();
        world.assert_let_go(&luo);
        assert_eq!(world.file.references(), 2, "the user's, and the one that was retrieved");
    }
}

#[test]
fn one_that_nobody_takes_is_let_go_when_it_is_discarded() {
    for keeps in [false, true] {
        let world = World::new(keeps);
        let gone = [(session("s"), CLIP)];
        let luo = world.updated().finish_discarding(&gone, Irrevocable::knowingly());
        world.assert_let_go(&luo.map_err(|stuck| stuck.error).unwrap());
        assert_eq!(world.file.references(), 1);
    }
}

/// The successor has no handler that could claim it: it goes with what nobody claimed.
#[test]
fn one_that_nobody_reads_is_let_go_when_it_is_given_up() {
    let world = World { reads: false, ..World::new(false) };
    let gone = [(session("s"), CLIP)];
    let luo = world.updated().finish_discarding(&gone, Irrevocable::knowingly());
    world.assert_let_go(&luo.map_err(|stuck| stuck.error).unwrap());
    assert_eq!(world.file.references(), 1);
}

#[test]
fn changing_ones_mind_lets_go_of_it() {
    let world = World::new(false);
    let (mut luo, owned) = world.program();
    let mut far = SimExec::new(|_: &Machine| Err(CarrierError::Refused { reason: "no".to_owned() }));
    let prepared = luo.prepare(&mut far).unwrap();
    assert_eq!(prepared.luo().memory().census().unwrap().segments.len(), 1);
    drop(prepared);
    world.assert_let_go(&luo);
    let frozen = luo.prepare(&mut far).unwrap().freeze(owned).unwrap();
    drop(frozen.hand_over().unwrap_err());
    world.assert_let_go(&luo);
    assert!(luo.take_right().is_some());
}

/// A carrier that takes no files across is asked last, when it can see them; all is undone.
#[test]
fn a_carrier_that_leaves_files_behind_does_not_prepare() {
    let world = World::new(false);
    let (mut luo, owned) = world.program();
    let mut far = SimKexec::new(|_: &Machine| Ok(()));
    let error = luo.prepare(&mut far).unwrap_err().to_string();
    assert!(error.starts_with("carrier `sim-kexec` failed to prepare") && error.contains("does not survive"));
    world.assert_let_go(&luo);
    luo.retire(owned).unwrap();
}

/// Memory that cannot be released is released later. Everybody has been told by then, once.
#[test]
fn a_release_that_fails_is_made_up_for() {
    let world = World::new(false);
    let mut updated = world.updated();
    let _clip: Clip = updated.retrieve(session("s"), CLIP).unwrap();
    world.machine.inject(FaultPlan::none().fail_call_from(Call::Attached, 0));
    let told = || world.journal.order(ProgramId(1), Act::Finish);
    for _ in 0..2 {
        let stuck = updated.finish().unwrap_err();
        assert!(matches!(stuck.error, FinishError::Release(_)), "{stuck}");
        assert_eq!(told(), [Who::Subsystem(Kind::literal(VCPUS))]);
        updated = stuck.kept;
    }
    world.machine.inject(FaultPlan::none());
    let luo = updated.finish().map_err(|stuck| stuck.error).unwrap();
    assert_eq!(told().len(), 1);
    world.assert_let_go(&luo);
}
