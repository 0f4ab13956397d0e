//! The simulated machine against a model that knows one thing about each frame.

use alloc::collections::BTreeMap;

use proptest::prelude::*;

use super::super::*;
use super::*;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Use {
    Allocated,
    Preserved,
    Unclaimed,
    Claimed,
}

#[derive(Clone, Debug)]
enum Step {
    Alloc(u64),
    Free(FrameRange),
    Preserve(FrameRange),
    Unpreserve(FrameRange),
    Write(FrameRange, u8),
    Reclaim(FrameRange),
    Forgo(FrameRange),
    HandOver { kexec: bool },
}

/// What is known of each frame that is taken, and the byte of which it is full.
#[derive(Default)]
struct Model {
    taken: BTreeMap<u64, (Use, u8)>,
    /// Claimed in this adoption and given up since.
    spent: Vec<u64>,
}

impl Model {
    fn uses(&self, range: FrameRange) -> Vec<Option<Use>> {
        range.frames().map(|frame| self.taken.get(&frame.get()).map(|&(now, _)| now)).collect()
    }

    fn set(&mut self, range: FrameRange, to: Use) {
        range.frames().for_each(|frame| self.taken.entry(frame.get()).or_insert((to, 0)).0 = to);
    }

    /// Which error a call must return; `None` if it must succeed.
    fn refusal(&self, step: &Step, scratch: FrameRange) -> Option<&'static str> {
        let any = |range, what: &[Use]| self.uses(range).into_iter().flatten().any(|now| what.contains(&now));
        let all = |range, what: &[Use]| {
            self.uses(range).iter().all(|now| now.is_some_and(|now| what.contains(&now)))
        };
        let taken = |range| self.uses(range).iter().all(Option::is_some);
        let spent = |range: FrameRange| self.spent.iter().any(|&frame| range.contains(pfn(frame)));
        let kept = [Use::Preserved, Use::Unclaimed, Use::Claimed];
        match *step {
            Step::Free(range) if any(range, &kept) => Some("StillPreserved"),
            Step::Free(range) | Step::Write(range, _) if !taken(range) => Some("NotAllocated"),
            Step::Preserve(range) if scratch.intersection(range).is_some() => Some("InScratch"),
            Step::Preserve(range) if !taken(range) => Some("NotAllocated"),
            Step::Preserve(range) if all(range, &kept) => Some("AlreadyPreserved"),
            Step::Preserve(range) if any(range, &kept) => Some("Overlap"),
            Step::Unpreserve(range) if any(range, &[Use::Unclaimed]) => Some("NotReclaimed"),
            Step::Unpreserve(range) if !all(range, &kept) => Some("NotPreserved"),
            Step::Reclaim(range) if any(range, &[Use::Claimed]) || spent(range) => Some("AlreadyReclaimed"),
            Step::Reclaim(range) if !all(range, &[Use::Unclaimed]) => Some("NotPreserved"),
            Step::Forgo(range) if !all(range, &[Use::Claimed]) => Some("NotReclaimed"),
            _ => None,
        }
    }

    /// What a call that succeeds does.
    fn apply(&mut self, step: &Step) {
        match *step {
            Step::Alloc(_) => unreachable!("the caller knows what was handed out"),
            Step::Free(range) => self.taken.retain(|&frame, _| !range.contains(pfn(frame))),
            Step::Preserve(range) => self.set(range, Use::Preserved),
            Step::Unpreserve(range) => {
                let was = range.frames().zip(self.uses(range));
                self.spent
                    .extend(was.filter(|(_, now)| *now == Some(Use::Claimed)).map(|(frame, _)| frame.get()));
                self.set(range, Use::Allocated);
            }
            Step::Write(range, byte) => {
                range.frames().for_each(|frame| self.taken.get_mut(&frame.get()).unwrap().1 = byte);
            }
            Step::Reclaim(range) => self.set(range, Use::Claimed),
            Step::Forgo(range) => self.set(range, Use::Unclaimed),
            Step::HandOver { .. } => {
                self.taken.retain(|_, (now, _)| *now != Use::Allocated);
                self.taken.values_mut().for_each(|(now, _)| *now = Use::Unclaimed);
                self.spent.clear();
            }
        }
    }

    fn agrees_with(&self, kho: &SimKho) {
        let census = kho.census().unwrap();
        let set =
            |runs: &[FrameRange]| runs.iter().flat_map(|run| run.frames()).map(Pfn::get).collect::<Vec<_>>();
        let having = |what: &[Use]| {
            self.taken
                .iter()
                .filter(|(_, (now, _))| what.contains(now))
                .map(|(&frame, _)| frame)
                .collect::<Vec<_>>()
        };
        assert_eq!(
            set(&census.allocated),
            having(&[Use::Allocated, Use::Preserved, Use::Unclaimed, Use::Claimed])
        );
        assert_eq!(set(&census.preserved), having(&[Use::Preserved, Use::Unclaimed, Use::Claimed]));
        assert_eq!(set(&census.claimed), having(&[Use::Claimed]));
        for (&frame, &(_, byte)) in &self.taken {
            assert_eq!(kho.read(pfn(frame).as_range()).unwrap(), page(byte), "frame {frame:#x}");
        }
    }
}

fn run(step: &Step, kho: &mut SimKho) -> Result<(), KhoError> {
    match *step {
        Step::Alloc(_) | Step::HandOver { .. } => unreachable!("done by the caller"),
        Step::Free(range) => kho.free(range),
        Step::Preserve(range) => kho.preserve(range),
        Step::Unpreserve(range) => kho.unpreserve(range),
        Step::Write(range, byte) => {
            kho.write(range.addr(), &alloc::vec![byte; range.bytes().unwrap().as_usize()])
        }
        Step::Reclaim(range) => kho.reclaim(range),
        Step::Forgo(range) => kho.forgo(range),
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    // Scratch of a machine with 128 frames is 32..40.
    let range = || (0u64..48, 1u64..6).prop_map(|(start, len)| frames(start, start + len));
    let step = prop_oneof![
        4 => (1u64..12).prop_map(Step::Alloc),
        2 => range().prop_map(Step::Free),
        4 => range().prop_map(Step::Preserve),
        2 => range().prop_map(Step::Unpreserve),
        3 => (range(), 1u8..).prop_map(|(range, byte)| Step::Write(range, byte)),
        3 => range().prop_map(Step::Reclaim),
        1 => range().prop_map(Step::Forgo),
        1 => any::<bool>().prop_map(|kexec| Step::HandOver { kexec }),
    ];
    prop::collection::vec(step, 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]
    #[test]
    fn agrees_with_the_model(
        steps in steps(),
        mode in prop::sample::select(alloc::vec![
            Fragmentation::Contiguous,
            Fragmentation::Single,
            Fragmentation::Descending,
            Fragmentation::Random,
        ]),
        seed in any::<u64>(),
    ) {
        let config = MachineConfig::default().frames(count(128)).fragmentation(mode).seed(seed);
        let (machine, mut kho, mut owned) = founded(config);
        let scratch = kho.scratch()[0];
        let mut model = Model::default();
        for step in &steps {
            match *step {
                Step::Alloc(want) => match kho.alloc(count(want)) {
                    Ok(range) => {
                        prop_assert!(range.count() <= count(want));
                        prop_assert!(model.uses(range).iter().all(Option::is_none), "handed out twice");
                        model.set(range, Use::Allocated);
                    }
                    Err(error) => prop_assert_eq!(error, KhoError::OutOfFrames { want: count(want) }),
                },
                Step::HandOver { kexec } => {
                    ownership::offer(&mut kho, owned).unwrap();
                    if kexec {
                        machine.kexec();
                    }
                    kho = machine.successor().unwrap();
                    owned = commit(&mut kho).unwrap();
                    model.apply(step);
                }
                _ => match (run(step, &mut kho), model.refusal(step, scratch)) {
                    (Ok(()), None) => model.apply(step),
                    // Splitting blocks, or recording them, may need a frame for a node.
                    (Err(KhoError::OutOfFrames { .. }), None) => {
                        prop_assert!(matches!(step, Step::Preserve(_) | Step::Unpreserve(_)));
                    }
                    (Err(error), Some(refusal)) => {
                        let name = alloc::format!("{error:?}");
                        prop_assert!(name.starts_with(refusal), "{step:?}: {name} instead of {refusal}");
                    }
                    (result, refusal) => prop_assert!(false, "{step:?}: {result:?} instead of {refusal:?}"),
                },
            }
            model.agrees_with(&kho);
        }
        prop_assert_eq!(machine.violations(), []);
    }
}
