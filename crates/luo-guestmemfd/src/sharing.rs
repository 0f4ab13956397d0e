//! Which guest frames are private and which are shared: a [`luo_xarray`] from frames to attributes.
//!
//! - The **attributes** of a frame are those of `KVM_SET_MEMORY_ATTRIBUTES`: 0 for shared, 8 for private. A frame of
//!   which nobody said anything has none.
//! - A **run** is neighbouring frames that are alike.

use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;

use luo_xarray::XArray;
use luo_xarray::serial::{Builder, CONSTANT_BYTES, SerialView};

use crate::facts::FRAMES_END;
use crate::{RecordError, Sharing};

/// `KVM_MEMORY_ATTRIBUTE_PRIVATE`.
const PRIVATE: u64 = 1 << 3;
/// The most runs that are carried: 2 MiB of payload. A guest shares its buffers for devices, in some hundreds of runs;
/// a payload is read whole, and may have been written by anybody.
pub const RUNS_MAX: u64 = 1 << 16;
/// What one run takes at most when it is serialized: a record of its own.
const BYTES_PER_RUN: u64 = 32;

/// Who may touch which guest frame.
#[derive(Clone, Default)]
pub struct SharingMap(XArray<u64>);

impl SharingMap {
    /// Who may touch this frame, if anybody said.
    pub fn at(&self, frame: u64) -> Option<Sharing> {
        self.0.load(frame).map(|attributes| Sharing::of(*attributes))
    }

    /// Whether nobody said anything of any frame.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Runs, ascending; neighbours differ.
    pub fn runs(&self) -> impl Iterator<Item = (Range<u64>, Sharing)> {
        self.within(0..FRAMES_END)
    }

    /// How many runs there are.
    pub fn run_count(&self) -> u64 {
        self.runs().fold(0, |count, _| count + 1)
    }

    /// The private frames among these, ascending, not touching.
    pub fn private_within(&self, frames: Range<u64>) -> impl Iterator<Item = Range<u64>> {
        self.within(frames).filter(|(_, sharing)| *sharing == Sharing::Private).map(|(run, _)| run)
    }

    fn within(&self, frames: Range<u64>) -> impl Iterator<Item = (Range<u64>, Sharing)> {
        let clip = frames.clone();
        let mut entries = self
            .0
            .range(frames)
            .map(move |entry| {
                let (first, last) = (entry.block.first(), entry.block.last());
                (first.max(clip.start)..last.saturating_add(1).min(clip.end), Sharing::of(*entry.value))
            })
            .peekable();
        core::iter::from_fn(move || {
            let (mut run, sharing) = entries.next()?;
            while let Some((next, _)) =
                entries.next_if(|(next, like)| next.start == run.end && *like == sharing)
            {
                run.end = next.end;
            }
            Some((run, sharing))
        })
    }

    /// From now on these frames are for whom this says. They end at [`FRAMES_END`].
    pub(crate) fn set(&mut self, frames: Range<u64>, sharing: Sharing) {
        if frames.is_empty() {
            return;
        }
        if self.0.store_range(frames, sharing.attributes()).is_err() {
            unreachable!(
                "a range that is not empty, in an array that nobody else reserves in, can be stored"
            );
        }
    }

    /// The most bytes that so many runs take.
    pub(crate) const fn most_bytes(runs: u64) -> u64 {
        runs * BYTES_PER_RUN + 2 * CONSTANT_BYTES
    }

    /// The serialized array; nothing for an empty map.
    pub(crate) fn encode(&self) -> Vec<u8> {
        if self.is_empty() {
            return Vec::new();
        }
        let mut builder = Builder::new();
        for (run, sharing) in self.runs() {
            let pushed = builder.push_run(
                run.start..=run.end - 1,
                sharing.attributes(),
                luo_xarray::serial::Step::Flat,
            );
            if pushed.is_err() {
                unreachable!("runs ascend");
            }
        }
        builder.encode().to_vec()
    }

    /// What somebody else wrote.
    ///
    /// # Errors
    ///
    /// What the bytes say that cannot be.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        let impossible = RecordError::impossible;
        let mut map = Self::default();
        if bytes.is_empty() {
            return Ok(map);
        }
        let view = SerialView::open(&[bytes])?;
        view.verify()?;
        for (nth, run) in (0u64..).zip(view.runs()) {
            let run = run?;
            if nth >= RUNS_MAX {
                return Err(impossible("there are more runs of shared and private frames than are carried"));
            }
            let end = run.last().checked_add(1).filter(|end| *end <= FRAMES_END);
            let end = end.ok_or(impossible("no guest has such frames"))?;
            // The values of a run that is not flat go up or down by one: they are not all attributes, unless it is one.
            let alike = run.value_at(run.last()) == Some(run.value());
            let sharing = Sharing::checked(run.value()).filter(|_| alike);
            map.set(run.first()..end, sharing.ok_or(impossible("a guest frame has unknown attributes"))?);
        }
        if map.is_empty() { Err(impossible("an empty map takes no bytes")) } else { Ok(map) }
    }
}

impl Sharing {
    const fn attributes(self) -> u64 {
        match self {
            Self::Shared => 0,
            Self::Private => PRIVATE,
        }
    }

    const fn checked(attributes: u64) -> Option<Self> {
        match attributes {
            0 => Some(Self::Shared),
            PRIVATE => Some(Self::Private),
            _ => None,
        }
    }

    fn of(attributes: u64) -> Self {
        let Some(sharing) = Self::checked(attributes) else { unreachable!("only `set` stores attributes") };
        sharing
    }
}

impl PartialEq for SharingMap {
    fn eq(&self, other: &Self) -> bool {
        self.runs().eq(other.runs())
    }
}

impl Eq for SharingMap {}

impl fmt::Debug for SharingMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.runs()).finish()
    }
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeMap;

    use luo_xarray::serial::Step;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let mut map = SharingMap::default();
        assert_eq!(SharingMap::decode(&map.encode()), Ok(map.clone()));
        map.set(0..FRAMES_END, Sharing::Shared);
        map.set(7..8, Sharing::Private);
        map.set(100..1 << 40, Sharing::Private);
        assert_eq!(SharingMap::decode(&map.encode()), Ok(map.clone()));
        assert_eq!(
            (map.run_count(), map.at(7), map.at(99)),
            (5, Some(Sharing::Private), Some(Sharing::Shared))
        );
    }

    #[test]
    fn attributes_and_frames_that_cannot_be_are_refused() {
        let written = |indices: core::ops::RangeInclusive<u64>, value, step| {
            let mut builder = Builder::new();
            builder.push_run(indices, value, step).unwrap();
            alloc::format!("{}", SharingMap::decode(&builder.encode().to_vec()).unwrap_err())
        };
        assert!(written(0..=5, 4, Step::Flat).contains("unknown attributes"));
        assert!(written(0..=8, 0, Step::Up).contains("unknown attributes"));
        assert!(written(0..=FRAMES_END, 8, Step::Flat).contains("no guest has such frames"));
        assert!(written(u64::MAX..=u64::MAX, 8, Step::Flat).contains("no guest has such frames"));
        let empty = Builder::new().encode().to_vec();
        assert!(alloc::format!("{}", SharingMap::decode(&empty).unwrap_err()).contains("takes no bytes"));
    }

    proptest! {
        #[test]
        fn agrees_with_a_map_of_single_frames_and_keeps_to_its_bound(
            steps in prop::collection::vec((0u64..300, 0u64..70, any::<bool>()), 0..40)
        ) {
            let (mut map, mut model) = (SharingMap::default(), BTreeMap::new());
            for (from, len, private) in steps {
                let sharing = if private { Sharing::Private } else { Sharing::Shared };
                map.set(from..from + len, sharing);
                model.extend((from..from + len).map(|frame| (frame, sharing)));
            }
            let found: BTreeMap<_, _> = map.runs().flat_map(|(run, sharing)| run.map(move |frame| (frame, sharing))).collect();
            prop_assert_eq!(&found, &model);
            let private: Vec<_> = map.private_within(20..200).flatten().collect();
            let expected: Vec<_> = model.range(20..200).filter(|(_, like)| **like == Sharing::Private).map(|(frame, _)| *frame).collect();
            prop_assert_eq!(private, expected);
            let bytes = map.encode();
            prop_assert!(bytes.len() as u64 <= SharingMap::most_bytes(map.run_count()));
            prop_assert_eq!(SharingMap::decode(&bytes), Ok(map));
        }
    }
}
