//! The template: the files of a new handler, with its name left open.

use super::Name;

macro_rules! template {
    ($($path:literal <- $from:literal;)*) => {
        &[$(($path, include_str!(concat!("../../template/handler/", $from)))),*]
    };
}

/// Where each file goes, and its text.
const FILES: &[(&str, &str)] = template! {
    "crates/luo-@name@/Cargo.toml" <- "Cargo.toml.in";
    "crates/luo-@name@/README.md" <- "README.md.in";
    "crates/luo-@name@/src/lib.rs" <- "src/lib.rs.in";
    "crates/luo-@name@/src/state.rs" <- "src/state.rs.in";
    "crates/luo-@name@/src/port.rs" <- "src/port.rs.in";
    "crates/luo-@name@/src/error.rs" <- "src/error.rs.in";
    "crates/luo-@name@/src/judge.rs" <- "src/judge.rs.in";
    "crates/luo-@name@/src/preserve.rs" <- "src/preserve.rs.in";
    "crates/luo-@name@/src/prepare.rs" <- "src/prepare.rs.in";
    "crates/luo-@name@/src/freeze.rs" <- "src/freeze.rs.in";
    "crates/luo-@name@/src/abi.rs" <- "src/abi.rs.in";
    "crates/luo-@name@/src/retrieve.rs" <- "src/retrieve.rs.in";
    "crates/luo-@name@/src/discard.rs" <- "src/discard.rs.in";
    "crates/luo-@name@/src/handler.rs" <- "src/handler.rs.in";
    "crates/luo-@name@/src/sim.rs" <- "src/sim.rs.in";
    "tests/src/@snake@.rs" <- "fixture.rs.in";
    "tests/tests/@snake@_laws.rs" <- "laws.rs.in";
};

/// What the golden payload holds.
const ONE: u64 = 0x0123_4567_89AB_CDEF;

/// All files of the handler, from the root.
pub(super) fn files(name: &Name) -> Vec<(String, Vec<u8>)> {
    let text = |(path, text): &(&str, &str)| (named(path, name), named(text, name).into_bytes());
    let golden = (format!("tests/golden/{}-v1/one.bin", name.kebab), ONE.to_le_bytes().to_vec());
    FILES.iter().map(text).chain([golden]).collect()
}

fn named(text: &str, name: &Name) -> String {
    let Name { kebab, snake, camel } = name;
    text.replace("@name@", kebab).replace("@snake@", snake).replace("@Camel@", camel)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_is_left_open() {
        for (path, bytes) in files(&Name::new("vfio-pci").unwrap()) {
            assert!(!path.contains('@'), "{path}");
            assert!(!String::from_utf8_lossy(&bytes).contains('@'), "{path}");
        }
    }
}
