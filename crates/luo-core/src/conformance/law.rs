//! The names of the laws, and what they say.

use core::fmt;

use super::bench::{Bench, Result};
use super::fixture::Fixture;
use super::ground::Ground;
use super::laws;

macro_rules! laws {
    ($($(#[doc = $statement:literal])+ $law:ident = $name:literal, $trial:path, $needs:literal;)*) => {
        /// What every file handler owes to its users. The sentence at each is its statement.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Law {
            $($(#[doc = $statement])+ $law,)*
        }

        impl Law {
            /// Every law, in the order in which they are tried.
            pub const ALL: &[Self] = &[$(Self::$law),*];

            /// Its name, as reports have it.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$law => $name,)*
                }
            }

            /// What it says.
            pub fn statement(self) -> &'static str {
                match self {
                    $(Self::$law => concat!($($statement),+).trim_ascii(),)*
                }
            }

            /// What a fixture has to have for it to have a case.
            pub(super) const fn needs(self) -> &'static str {
                match self {
                    $(Self::$law => $needs,)*
                }
            }

            pub(super) fn try_on<F: Fixture, G: Ground>(self, bench: &Bench<'_, F, G>) -> Result {
                match self {
                    $(Self::$law => $trial(bench),)*
                }
            }
        }
    };
}

laws! {
    /// A handler reads what it writes, writes newest first, and puts down exactly the versions that it is asked for.
    HonestVersions = "honest versions", laws::honest_versions, "a file";
    /// A handler takes its own files, refuses with a reason what cannot travel, passes over what is somebody else's,
    /// and changes nothing by looking.
    HonestJudge = "honest judge", laws::honest_judge, "a file";
    /// Each file has an identity of its own, the same by every reference and in every phase, so that no file gets two
    /// tokens.
    Identity = "identity", laws::identity, "a file";
    /// A file that crosses is on the far side what it was on the near side, and can cross again.
    RoundTrip = "round trip", laws::round_trip, "a file";
    /// A file crosses in each version that both sides know, whether that one alone was written or all side by side.
    EveryVersion = "every version", laws::every_version, "a version that both sides know";
    /// The same file saved twice from the same state gives the same payloads in the same frames.
    Determinism = "determinism", laws::determinism, "a file";
    /// Giving a preserved file up, in whatever way, gives back all that was taken for it.
    DropUnpreserves = "drop unpreserves", laws::drop_unpreserves, "a file";
    /// An update that is cancelled leaves no trace, however often, and the next one goes through.
    CancelLeavesNoTrace = "cancel leaves no trace", laws::cancel, "a file";
    /// Whichever call of the host fails in preserve, prepare or freeze, all is as before the step, which can be tried
    /// again.
    HostFaults = "every host call may fail", laws::host_faults, "a host of which calls can fail";
    /// Whichever call of the memory fails in prepare or freeze, all is as before the step, which can be tried again.
    BackendFaults = "every backend call may fail", laws::backend_faults, "a handler that uses preserved memory";
    /// Freeze takes no memory, and unfreeze gives none back.
    LightFreeze = "light freeze", laws::light_freeze, "a file";
    /// A change between prepare and freeze is carried, or freeze refuses and the next prepare carries it.
    ChangesWhilePrepared = "changes while prepared", laws::changed_while_prepared, "changes that the host allows";
    /// A change after unfreeze is carried by the next freeze, or that refuses and the next prepare carries it.
    ChangesWhileThawed = "changes while thawed", laws::changed_while_thawed, "changes that the host allows";
    /// A file is retrieved when it is asked for, once.
    RetrieveOnce = "retrieve once", laws::retrieve_once, "a file";
    /// A retrieve that fails leaves no claim and nothing on the host, is remembered, and concerns no other file.
    FailedRetrieve = "failed retrieve", laws::failed_retrieve, "calls that can fail in retrieve";
    /// Every adopter of an offer, and of one that was revoked and made again, sees the same.
    SecondAdopter = "second adopter", laws::second_adopter, "a file";
    /// On the far side only frames are read that were preserved.
    UnpreservedFrames = "unpreserved frames are never read", laws::unpreserved_frames, "a file";
    /// A payload that is cut short or goes on too long is refused, or read as what was written; it never panics.
    TornPayloads = "torn payloads", laws::torn_payloads, "a payload";
    /// A payload with a damaged byte is refused without a trace, or makes some file that can be given up; it never
    /// panics.
    DamagedPayloads = "damaged payloads", laws::damaged_payloads, "a payload with bytes in it";
    /// A file whose frames are damaged is refused without a trace, or makes some file that can be given up; it never
    /// panics.
    DamagedFrames = "damaged frames", laws::damaged_frames, "a handler that uses preserved memory";
    /// Discarding a file frees exactly what its prepare took, even if a call fails on the way.
    Discard = "discard", laws::discard, "a file";
    /// Finishing a file releases what carried it and nothing else, and leaves the file as it was.
    Finish = "finish", laws::finish, "a file";
}

impl fmt::Display for Law {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
