//! What the scenarios share: a machine that can be updated inside a test.
