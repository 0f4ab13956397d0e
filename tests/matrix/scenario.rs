//! Scenarios: what is preserved, and which **turn** the update takes on its way.

/// One.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) turn: Turn,
    /// Sessions with the tokens of their files. Where a scenario wants many, there are as many as the argument says.
    sessions: fn(usize) -> Sessions,
}

/// By name.
pub(crate) type Sessions = Vec<(String, Vec<u64>)>;

/// What happens on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Nothing.
    Straight,
    /// The update is prepared, frozen and taken back, and then done.
    TakenBack,
    /// The successor refuses; the next one does not.
    Refused,
    /// The successor gives up the first file of each session.
    Discarded,
}

fn named(sessions: &[(&str, &[u64])]) -> Sessions {
    sessions.iter().map(|(name, tokens)| ((*name).to_owned(), tokens.to_vec())).collect()
}

/// All of them.
pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "kexec_simple",
        turn: Turn::Straight,
        sessions: |_| named(&[("test-session", &[0x1A])]),
    },
    Scenario {
        name: "multi_session",
        turn: Turn::Straight,
        sessions: |_| {
            named(&[
                ("multi-test-empty-1", &[]),
                ("multi-test-empty-2", &[]),
                ("multi-test-files-1", &[0x1001]),
                ("multi-test-files-2", &[0x2002, 0x3003]),
            ])
        },
    },
    Scenario {
        name: "stress_files",
        turn: Turn::Straight,
        sessions: |many| vec![("stress".to_owned(), (0..many as u64).collect())],
    },
    Scenario {
        name: "stress_sessions",
        turn: Turn::Straight,
        sessions: |_| (0..2000).map(|number| (format!("stress-{number}"), Vec::new())).collect(),
    },
    Scenario { name: "taken_back", turn: Turn::TakenBack, sessions: |_| named(&[("s", &[1, 2, 3])]) },
    Scenario { name: "refused", turn: Turn::Refused, sessions: |_| named(&[("s", &[1, 2, 3])]) },
    Scenario {
        name: "discarded",
        turn: Turn::Discarded,
        sessions: |_| named(&[("one", &[1, 2]), ("two", &[1, 2, 3])]),
    },
];

impl Scenario {
    /// Sessions with the tokens of their files.
    pub(crate) fn sessions(&self, many: usize) -> Sessions {
        (self.sessions)(many)
    }
}
