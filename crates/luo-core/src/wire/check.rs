//! Why an image is not believed.

use luo_kho::StoreError;

use crate::{Kind, SessionName, Token};

/// Why a handover as a whole is not believed. Nothing of it was touched.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// Root or image cannot be reached.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The bytes end too early.
    #[error("the handover ends inside its {section}")]
    Truncated {
        /// The block.
        section: &'static str,
    },
    /// Bytes after the last block.
    #[error("the handover goes on for {bytes} bytes after its end")]
    TrailingBytes {
        /// How many.
        bytes: u64,
    },
    /// The block is another one, or none.
    #[error("the {section} of the handover begin with {found:#x} where {wanted:#x} should stand")]
    NotABlock {
        /// The block that should stand here.
        section: &'static str,
        /// What stands here.
        found: u64,
        /// What should.
        wanted: u64,
    },
    /// A version of the records that this build does not read.
    #[error("the handover is written in version {found} of the records; this build reads version 1")]
    Version {
        /// What stands there.
        found: u16,
    },
    /// Checksum and bytes disagree.
    #[error("the {section} of the handover are damaged: checksum {found:#010x}, bytes {computed:#010x}")]
    Checksum {
        /// The block.
        section: &'static str,
        /// What stands there.
        found: u32,
        /// What the bytes give.
        computed: u32,
    },
    /// A field says something that cannot be.
    #[error("the {section} of the handover are impossible: {why}")]
    Impossible {
        /// The block.
        section: &'static str,
        /// Which field, and why it cannot be so.
        why: &'static str,
    },
    /// Two participants, or two features, of one name.
    #[error("`{kind}` is named twice")]
    DuplicateName {
        /// The name.
        kind: Kind,
    },
    /// Two sessions of one name.
    #[error("the handover has two sessions `{session}`")]
    DuplicateSession {
        /// The name.
        session: SessionName,
    },
    /// One token twice in a session.
    #[error("session `{session}` of the handover has token {token} twice")]
    DuplicateToken {
        /// The session.
        session: SessionName,
        /// The token.
        token: Token,
    },
    /// The root belongs to another moment than the image.
    #[error("root and image of the handover belong to different moments: {root_turn} and {image_turn}")]
    MixedMoments {
        /// The turn in the root.
        root_turn: u64,
        /// The turn in the image.
        image_turn: u64,
    },
}
