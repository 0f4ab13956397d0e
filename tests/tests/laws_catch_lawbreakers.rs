//! The conformance kit catches handlers that break a law, and names the law.
//!
//! Each [`Flaw`] is a mistake that an author can make. Everything else about the handler is as it should be, so that
//! exactly the laws that the mistake breaks are reported.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use luo_core::conformance::{self, Fixture, Law, Outcome, Report, SimGround};
use luo_core::{
    FileHandler, FreezeScope, Identity, Kind, PrepareScope, Record, Refusal, RetrieveScope, Travel, Verdict,
    Version, VersionRange,
};
use luo_kho::{ByteLen, FRAME_BYTES, FrameCount, PhysAddr, StoreError};
use luo_tests::echo::{
    BARE, Contents, Echo, EchoFile, EchoFixture, EchoHeld, EchoHost, Nature, Payload, Pin,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    /// Unpreserving leaves the file pinned.
    KeepsPin,
    /// A pin that prepare took is let go of when the file is, and not by cancel.
    KeepsPinOfPrepare,
    /// A preserve that fails half way leaves the file pinned.
    KeepsPinOfFailedPreserve,
    /// The first freeze believes what prepare wrote.
    SkipsFirstFreeze,
    /// Only the first freeze looks at the file.
    FreezesOnce,
    /// Payloads carry the number of the attempt.
    CountsAttempts,
    /// Payloads name a frame that was not preserved.
    NamesBareFrame,
    /// The length of a payload is not looked at before its fields are.
    TrustsLength,
    /// Cursors are believed to be small.
    TrustsCursor,
    /// Arrays are believed to be whole.
    TrustsArray,
    /// Version 1 is read as it never was written.
    MisreadsOldVersion,
    /// A retrieve that fails late leaves the file that it had made.
    KeepsFailedFile,
    /// Discarding is left to whoever comes after.
    DiscardsNothing,
    /// Finish keeps a pin for good.
    PinsOnFinish,
    /// Refuses without a reason.
    GivesNoReason,
    /// Files are told apart by their lengths.
    KnowsFilesByLength,
}

#[derive(Clone)]
struct Lawless {
    echo: Echo,
    host: EchoHost,
    flaw: Flaw,
    attempts: Arc<AtomicU64>,
}

#[derive(Debug)]
struct LawlessHeld {
    /// Always there, until it is taken out to be leaked or let go of.
    echo: Option<EchoHeld>,
    pins: Vec<Pin>,
    freezes: u32,
    extra: Option<u64>,
    leaks: bool,
}

impl Drop for LawlessHeld {
    fn drop(&mut self) {
        if self.leaks {
            core::mem::forget(self.echo.take());
        }
    }
}

impl LawlessHeld {
    fn echo(&mut self) -> &mut EchoHeld {
        self.echo.as_mut().expect("it is there until the drop")
    }
}

impl Lawless {
    fn is(&self, flaw: Flaw) -> bool {
        self.flaw == flaw
    }

    /// Whether payloads have one word more than those of echo.
    fn has_extra_word(&self) -> bool {
        self.is(Flaw::CountsAttempts) || self.is(Flaw::NamesBareFrame)
    }

    /// What goes into the extra word.
    fn extra_word(&self, scope: &mut PrepareScope<'_>) -> Result<u64, Refusal> {
        if self.is(Flaw::CountsAttempts) {
            return Ok(self.attempts.fetch_add(1, Ordering::Relaxed));
        }
        Ok(scope.memory().alloc(FrameCount::ONE)?.addr().get())
    }
}

fn with_extra_word(held: &mut LawlessHeld, file: &EchoFile, version: Version) -> Option<Vec<u8>> {
    let extra = held.extra?;
    let mut payload = held.echo().payload(&file.contents()).encode(version);
    payload.extend_from_slice(&extra.to_le_bytes());
    Some(payload)
}

/// As [`Payload::restore`], for handlers that believe in their bytes.
fn restore_whole(payload: Payload, scope: &mut RetrieveScope<'_>) -> Result<Contents, Refusal> {
    payload.restore(scope.memory()).inspect_err(|refusal| {
        let bad = refusal.cause::<StoreError>().is_some_and(|error| matches!(error, StoreError::Bad(_)));
        assert!(!bad, "an array is always whole: {refusal}");
    })
}

impl FileHandler for Lawless {
    type File = EchoFile;
    type Held = LawlessHeld;

    fn kind(&self) -> Kind {
        self.echo.kind()
    }

    fn reads(&self) -> VersionRange {
        self.echo.reads()
    }

    fn writes(&self) -> Vec<Version> {
        self.echo.writes()
    }

    fn leans_on(&self) -> Vec<Kind> {
        self.echo.leans_on()
    }

    fn judge(&self, file: &EchoFile) -> Verdict {
        match self.echo.judge(file) {
            Verdict::MineButNo { .. } if self.is(Flaw::GivesNoReason) => {
                Verdict::MineButNo { reason: "".into() }
            }
            verdict => verdict,
        }
    }

    fn identity(&self, file: &EchoFile) -> Identity {
        if self.is(Flaw::KnowsFilesByLength) {
            return Identity(file.contents().bytes.len() as u128);
        }
        self.echo.identity(file)
    }

    fn travel(&self, file: &EchoFile) -> Travel {
        self.echo.travel(file)
    }

    fn preserve(&self, file: &EchoFile) -> Result<LawlessHeld, Refusal> {
        let echo = self.echo.preserve(file)?;
        if self.is(Flaw::KeepsPinOfFailedPreserve)
            && let Err(error) = file.read()
        {
            core::mem::forget(echo);
            return Err(Refusal::new(error));
        }
        let leaks = self.is(Flaw::KeepsPin);
        Ok(LawlessHeld { echo: Some(echo), pins: Vec::new(), freezes: 0, extra: None, leaks })
    }

    fn survey(&self, file: &EchoFile, held: &mut LawlessHeld) -> Result<(), Refusal> {
        self.echo.survey(file, held.echo())
    }

    fn prepare(
        &self,
        file: &EchoFile,
        held: &mut LawlessHeld,
        scope: &mut PrepareScope<'_>,
    ) -> Result<(), Refusal> {
        if self.has_extra_word() {
            for version in scope.versions().to_vec() {
                scope.reserve(version, ByteLen::new(64))?;
            }
        }
        self.echo.prepare(file, held.echo(), scope)?;
        if self.has_extra_word() {
            held.extra = Some(self.extra_word(scope)?);
        }
        for version in scope.versions().to_vec() {
            if let Some(payload) = with_extra_word(held, file, version) {
                scope.put(version, &payload)?;
            }
        }
        if self.is(Flaw::KeepsPinOfPrepare) {
            held.pins.push(self.host.pin().map_err(Refusal::new)?);
        }
        Ok(())
    }

    fn cancel(&self, file: &EchoFile, held: &mut LawlessHeld) {
        held.extra = None;
        self.echo.cancel(file, held.echo());
    }

    fn freeze(
        &self,
        file: &EchoFile,
        held: &mut LawlessHeld,
        scope: &mut FreezeScope<'_>,
    ) -> Result<(), Refusal> {
        let skips = match self.flaw {
            Flaw::SkipsFirstFreeze => held.freezes == 0,
            Flaw::FreezesOnce => held.freezes > 0,
            _ => false,
        };
        if !skips {
            self.echo.freeze(file, held.echo(), scope)?;
        }
        held.freezes += 1;
        for version in scope.versions().to_vec() {
            if let Some(payload) = with_extra_word(held, file, version) {
                scope.put(version, &payload)?;
            }
        }
        Ok(())
    }

    fn unfreeze(&self, file: &EchoFile, held: &mut LawlessHeld) {
        self.echo.unfreeze(file, held.echo());
    }

    fn depart(&self, file: EchoFile, mut held: LawlessHeld) {
        drop(held.echo.take());
        drop((file, held));
    }

    fn retrieve(&self, record: &Record<'_>, scope: &mut RetrieveScope<'_>) -> Result<EchoFile, Refusal> {
        let Record { version, mut payload } = *record;
        if self.is(Flaw::TrustsLength) {
            assert!(payload.len() >= 16, "a payload begins with an array");
        }
        if self.has_extra_word() {
            let (rest, extra) = payload.split_last_chunk().ok_or(Refusal::because("no extra word"))?;
            payload = rest;
            if self.is(Flaw::NamesBareFrame) {
                let at = PhysAddr::new(u64::from_le_bytes(*extra) & !(FRAME_BYTES - 1));
                // Whatever stands there.
                let _bytes = scope.memory().read(at.frame().as_range());
            }
        }
        let record = Record { version, payload };
        if self.is(Flaw::TrustsCursor) {
            assert!(Payload::decode(&record)?.cursor < 1 << 32, "nobody reads that far");
        }
        if self.is(Flaw::TrustsArray) {
            let contents = restore_whole(Payload::decode(&record)?, scope)?;
            return self.host.create(contents, Nature::Ordinary).map_err(Refusal::new);
        }
        let file = self.echo.retrieve(&record, scope)?;
        if self.is(Flaw::MisreadsOldVersion) && version == BARE {
            file.set(Contents { bytes: vec![1], cursor: 0 });
        }
        if self.is(Flaw::KeepsFailedFile)
            && let Err(error) = file.read()
        {
            core::mem::forget(file);
            return Err(Refusal::new(error));
        }
        Ok(file)
    }

    fn can_finish(&self, record: &Record<'_>, file: &EchoFile) -> Result<(), Refusal> {
        self.echo.can_finish(record, file)
    }

    fn finish(&self, record: &Record<'_>, file: &EchoFile) {
        if self.is(Flaw::PinsOnFinish) {
            core::mem::forget(self.host.pin());
        }
        self.echo.finish(record, file);
    }

    fn discard(&self, record: &Record<'_>, scope: &mut RetrieveScope<'_>) {
        if self.is(Flaw::DiscardsNothing) {
            return;
        }
        let Record { version, mut payload } = *record;
        if self.has_extra_word() {
            payload = payload.split_last_chunk::<8>().map_or(payload, |(rest, _)| rest);
        }
        self.echo.discard(&Record { version, payload }, scope);
    }
}

fn fixture(flaw: Flaw, lengths: &[usize]) -> impl Fixture {
    let attempts = Arc::new(AtomicU64::new(0));
    let make = move |host: &EchoHost| {
        let (echo, host, attempts) = (Echo::new(host), host.clone(), Arc::clone(&attempts));
        Lawless { echo, host, flaw, attempts }
    };
    EchoFixture::new(make).lengths(lengths)
}

fn tried(flaw: Flaw) -> Report {
    conformance::report_on(&mut fixture(flaw, &[0, 24]), &SimGround::kexec())
}

/// Exactly these laws are broken.
#[track_caller]
fn breaks(flaw: Flaw, laws: &[Law]) {
    let report = tried(flaw);
    assert_eq!(report.broken(), laws, "{flaw:?}\n{report}");
    for finding in report.findings().iter().filter(|finding| laws.contains(&finding.law)) {
        let Outcome::Broken { how } = &finding.outcome else { panic!("{finding}") };
        assert!(
            how.starts_with("file ") || how.starts_with("all files") || how.starts_with("refused"),
            "{how}"
        );
        assert!(report.to_string().contains(finding.law.statement()));
    }
}

#[test]
fn a_leak_when_the_file_is_given_up() {
    breaks(Flaw::KeepsPin, &[Law::DropUnpreserves]);
}

#[test]
fn a_leak_when_the_update_is_cancelled() {
    breaks(Flaw::KeepsPinOfPrepare, &[Law::CancelLeavesNoTrace, Law::BackendFaults]);
}

#[test]
fn a_leak_when_preserve_fails() {
    breaks(Flaw::KeepsPinOfFailedPreserve, &[Law::HostFaults]);
}

#[test]
fn a_change_that_gets_lost() {
    breaks(Flaw::SkipsFirstFreeze, &[Law::ChangesWhilePrepared]);
    breaks(Flaw::FreezesOnce, &[Law::ChangesWhileThawed]);
}

#[test]
fn a_payload_that_is_never_the_same() {
    breaks(Flaw::CountsAttempts, &[Law::Determinism]);
}

#[test]
fn a_frame_that_nobody_preserved() {
    breaks(Flaw::NamesBareFrame, &[Law::UnpreservedFrames]);
}

#[test]
fn trust_in_bytes() {
    breaks(Flaw::TrustsLength, &[Law::TornPayloads]);
    breaks(Flaw::TrustsCursor, &[Law::DamagedPayloads]);
    // A damaged name may be that of another array.
    breaks(Flaw::TrustsArray, &[Law::DamagedPayloads, Law::DamagedFrames]);
}

#[test]
fn an_old_version_that_is_misread() {
    breaks(Flaw::MisreadsOldVersion, &[Law::EveryVersion]);
}

#[test]
fn a_failed_retrieve_that_leaves_something() {
    breaks(Flaw::KeepsFailedFile, &[Law::FailedRetrieve]);
}

#[test]
fn frames_that_nobody_discards() {
    breaks(Flaw::DiscardsNothing, &[Law::Discard]);
}

#[test]
fn a_finish_that_keeps_something() {
    breaks(Flaw::PinsOnFinish, &[Law::Discard, Law::Finish]);
}

#[test]
fn a_no_without_a_reason() {
    breaks(Flaw::GivesNoReason, &[Law::HonestJudge]);
}

#[test]
fn two_files_with_one_identity() {
    let mut alike = fixture(Flaw::KnowsFilesByLength, &[24, 24]);
    let report = conformance::report_on(&mut alike, &SimGround::exec());
    assert_eq!(report.broken().first(), Some(&Law::Identity), "{report}");
}

#[test]
#[should_panic(expected = "laws broken: drop unpreserves")]
fn check_names_the_broken_law() {
    conformance::check_on(&mut fixture(Flaw::KeepsPin, &[24]), &SimGround::exec());
}
