//! What a test **needs** of the machine, in words:
//!
//! | word | what |
//! |---|---|
//! | `kvm` | `/dev/kvm`, and a share of the processors for guests |
//! | `kvm?` | the same where there is `/dev/kvm`; nothing where there is none |
//! | `root` | the user may do everything |
//! | `kernel` | a kernel image: the file that `LUO_KERNEL` names |
//! | `memory=512M` | so much memory |
//! | `huge-2M=8`, `huge-1G=1` | so many huge pages of this size, which the runner reserves |
//! | `pool` | the pools of huge pages to itself: it reserves what it needs |
//! | `deadline=600s` | longer than others before it hangs |
//!
//! A suite that is made of data says them in the kind of a test, where `--list` shows it: `[kvm memory=1G] name: test`.
//! For test functions the manifest of their package does: `[package.metadata.needs]` gives words to the beginning of a
//! test's path, `"target::module::function" = "kvm"`, with the target left out for unit tests.

use core::fmt;
use core::str::FromStr;
use core::time::Duration;
use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use anyhow::{Context as _, Result, bail};

/// Bytes.
pub(super) type Bytes = u64;

/// How much a test needs `/dev/kvm`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kvm {
    /// It runs guests where there is one.
    Welcome,
    /// It cannot do without.
    Must,
}

/// What one test needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Needs {
    pub(super) kvm: Option<Kvm>,
    pub(super) root: bool,
    pub(super) kernel: bool,
    pub(super) memory: Bytes,
    pub(super) pool: bool,
    /// Bytes of a page, and how many of them.
    pub(super) huge: BTreeMap<Bytes, u64>,
    pub(super) deadline: Option<Duration>,
}

impl Needs {
    /// Whether one of its words begins like this: `kvm`, `huge`.
    pub(super) fn has(&self, word: &str) -> bool {
        match word {
            "kvm" => self.kvm.is_some(),
            "root" => self.root,
            "kernel" => self.kernel,
            "memory" => self.memory > 0,
            "huge" => self.pool || !self.huge.is_empty(),
            _ => false,
        }
    }

    /// Both.
    pub(super) fn and(mut self, other: &Self) -> Self {
        self.kvm = self.kvm.max(other.kvm);
        self.root |= other.root;
        self.pool |= other.pool;
        self.kernel |= other.kernel;
        self.memory = self.memory.max(other.memory);
        self.deadline = self.deadline.max(other.deadline);
        for (size, count) in &other.huge {
            let own = self.huge.entry(*size).or_default();
            *own = (*own).max(*count);
        }
        self
    }

    /// Why the machine will never have it; what can be shared out is not asked for here.
    pub(super) fn missing(&self) -> Option<String> {
        let kvm = || File::options().read(true).write(true).open("/dev/kvm").err();
        if self.kvm == Some(Kvm::Must)
            && let Some(error) = kvm()
        {
            return Some(format!("needs /dev/kvm: {error}"));
        }
        if self.root && !nix::unistd::geteuid().is_root() {
            return Some("needs root".to_owned());
        }
        let image = std::env::var_os("LUO_KERNEL");
        if self.kernel && !image.is_some_and(|path| Path::new(&path).is_file()) {
            return Some("needs a kernel image: LUO_KERNEL names no file".to_owned());
        }
        None
    }
}

impl FromStr for Needs {
    type Err = anyhow::Error;

    fn from_str(words: &str) -> Result<Self> {
        let mut needs = Self::default();
        for word in words.split_whitespace() {
            let (name, amount) = word.split_once('=').unwrap_or((word, ""));
            match (name, amount) {
                ("kvm", "") => needs.kvm = Some(Kvm::Must),
                ("kvm?", "") => needs.kvm = needs.kvm.max(Some(Kvm::Welcome)),
                ("root", "") => needs.root = true,
                ("pool", "") => needs.pool = true,
                ("kernel", "") => needs.kernel = true,
                ("memory", amount) => needs.memory = bytes(amount)?,
                ("deadline", amount) => {
                    let seconds = amount.strip_suffix('s').context("a deadline is in seconds: 600s")?;
                    needs.deadline = Some(Duration::from_secs(seconds.parse()?));
                }
                _ if let Some(size) = name.strip_prefix("huge-") => {
                    let count = amount.parse().with_context(|| format!("`{word}`: how many?"))?;
                    needs.huge.insert(bytes(size)?, count);
                }
                _ => bail!("`{word}` is nothing that a test can need"),
            }
        }
        Ok(needs)
    }
}

impl fmt::Display for Needs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kvm, root, kernel, memory, pool, huge, deadline } = self;
        let kvm = kvm.map(|kvm| if kvm == Kvm::Must { "kvm" } else { "kvm?" });
        let words = [kvm, root.then_some("root"), kernel.then_some("kernel"), pool.then_some("pool")];
        let mut words: Vec<_> = words.into_iter().flatten().map(str::to_owned).collect();
        if *memory > 0 {
            words.push(format!("memory={}", word(*memory)));
        }
        words.extend(huge.iter().map(|(page, count)| format!("huge-{}={count}", word(*page))));
        words.extend(deadline.map(|deadline| format!("deadline={}s", deadline.as_secs())));
        f.write_str(&words.join(" "))
    }
}

/// `64K`, `512M`, `1G`.
fn word(bytes: Bytes) -> String {
    match bytes.trailing_zeros() {
        30.. => format!("{}G", bytes >> 30),
        20.. => format!("{}M", bytes >> 20),
        _ => format!("{}K", bytes >> 10),
    }
}

/// The other way round.
fn bytes(text: &str) -> Result<Bytes> {
    let shift = match text.chars().last() {
        Some('K') => 10,
        Some('M') => 20,
        Some('G') => 30,
        _ => bail!("`{text}` is no size: 64K, 512M, 1G"),
    };
    let count: Bytes = text.trim_end_matches(['K', 'M', 'G']).parse()?;
    count.checked_mul(1 << shift).context("so much memory there is nowhere")
}

/// As one would write it.
pub(super) fn size(bytes: Bytes) -> String {
    match bytes {
        bytes if bytes >= 1 << 30 && bytes.trailing_zeros() >= 30 => format!("{} GiB", bytes >> 30),
        bytes if bytes >= 1 << 20 => format!("{} MiB", bytes >> 20),
        bytes => format!("{} KiB", bytes >> 10),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read() {
        let needs: Needs = "kvm root pool huge-2M=8 huge-1G=1 memory=512M deadline=600s".parse().unwrap();
        assert!(needs.kvm == Some(Kvm::Must) && needs.root && !needs.kernel);
        assert_eq!(needs.huge, BTreeMap::from([(2 << 20, 8), (1 << 30, 1)]));
        assert_eq!((needs.memory, needs.deadline), (512 << 20, Some(Duration::from_mins(10))));
        assert!(needs.has("huge") && !Needs::default().has("huge"));
        assert_eq!(needs.to_string(), "kvm root pool memory=512M huge-2M=8 huge-1G=1 deadline=600s");
        assert_eq!("".parse::<Needs>().unwrap(), Needs::default());
    }

    #[test]
    fn what_is_no_word_is_refused() {
        for words in
            ["gpu", "kvm=2", "memory=much", "huge-2M", "huge-2=1", "deadline=10", "memory=99999999999G"]
        {
            assert!(words.parse::<Needs>().is_err(), "{words}");
        }
    }

    #[test]
    fn the_larger_of_two_is_needed() {
        let one: Needs = "huge-2M=8 memory=1G".parse().unwrap();
        let other: Needs = "huge-2M=4 huge-1G=1 kvm".parse().unwrap();
        assert_eq!(one.and(&other), "kvm memory=1G huge-2M=8 huge-1G=1".parse().unwrap());
    }

    #[test]
    fn what_is_missing_is_named() {
        let needs = Needs { kernel: true, ..Needs::default() };
        let image = std::env::var_os("LUO_KERNEL").is_some();
        assert_eq!(needs.missing().is_some(), !image);
        assert_eq!(Needs { kvm: Some(Kvm::Welcome), ..Needs::default() }.missing(), None);
        assert_eq!(Needs::default().missing(), None);
    }
}
