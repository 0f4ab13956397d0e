//! The pool: an object that files share. It counts them.
//!
//! On the near side a **share** is held by each prepared file; the pool's record says how many there were. On the far
//! side each file that is made again **arrives**; the record says how many there can be.

use std::sync::Arc;

use luo_core::{
    FreezeScope, Kind, PrepareScope, Record, Refusal, RetrieveScope, SharedObject, Version, VersionRange,
};
use luo_kho::ByteLen;

use crate::journal::{Act, Pen, Who};
use crate::keeper::Speech;
use crate::payload::{bytes_of, words_of};

/// Makes pools.
#[derive(Debug)]
pub struct PoolMaker {
    speech: Speech,
    pen: Pen,
}

/// The live pool. Dropping it unpreserves.
#[derive(Debug)]
pub struct Pool {
    who: Who,
    pen: Pen,
    side: Side,
}

#[derive(Debug)]
enum Side {
    Near { shares: Arc<()>, departed: bool },
    Far { expected: u64, arrived: Vec<u64> },
}

/// One prepared file's share of a pool. Dropping it gives it back.
#[derive(Debug)]
pub struct Share {
    _counted: Arc<()>,
}

impl PoolMaker {
    pub(crate) fn new(speech: Speech, pen: Pen) -> Self {
        Self { speech, pen }
    }

    fn who(&self) -> Who {
        Who::Shared(self.speech.kind)
    }
}

impl Pool {
    /// A share for one more prepared file.
    pub fn share(&mut self) -> Share {
        match &self.side {
            Side::Near { shares, .. } => Share { _counted: Arc::clone(shares) },
            Side::Far { .. } => panic!("files are prepared on the near side"),
        }
    }

    /// How many prepared files there are.
    pub fn shares(&self) -> u64 {
        match &self.side {
            Side::Near { shares, .. } => Arc::strong_count(shares) as u64 - 1,
            Side::Far { .. } => panic!("files are prepared on the near side"),
        }
    }

    /// One more file was made again.
    pub fn arrive(&mut self, mark: u64) {
        match &mut self.side {
            Side::Far { expected, arrived } => {
                assert!(!arrived.contains(&mark), "file {mark} arrives once");
                arrived.push(mark);
                assert!(arrived.len() as u64 <= *expected, "more files arrive than were prepared");
            }
            Side::Near { .. } => panic!("files arrive on the far side"),
        }
    }
}

fn encode(version: Version, files: u64) -> Vec<u8> {
    let mut words = vec![files];
    words.extend((1..version.0).map(|_| 0));
    bytes_of(&words)
}

impl SharedObject for PoolMaker {
    type Object = Pool;

    fn kind(&self) -> Kind {
        self.speech.kind
    }

    fn reads(&self) -> VersionRange {
        self.speech.reads
    }

    fn writes(&self) -> Vec<Version> {
        self.speech.writes.clone()
    }

    fn preserve(&self) -> Result<Pool, Refusal> {
        let who = self.who();
        self.pen.ask(who, Act::Preserve, || Ok(()))?;
        Ok(Pool { who, pen: self.pen.clone(), side: Side::Near { shares: Arc::default(), departed: false } })
    }

    fn prepare(&self, pool: &mut Pool, scope: &mut PrepareScope<'_>) -> Result<(), Refusal> {
        self.pen.ask(self.who(), Act::Prepare, || {
            for version in scope.versions().to_vec() {
                scope.reserve(version, ByteLen::of(8 * usize::from(version.0)))?;
                scope.put(version, &encode(version, pool.shares()))?;
            }
            Ok(())
        })
    }

    fn cancel(&self, _pool: &mut Pool) {
        self.pen.tell(self.who(), Act::Cancel);
    }

    fn freeze(&self, pool: &mut Pool, scope: &mut FreezeScope<'_>) -> Result<(), Refusal> {
        self.pen.ask(self.who(), Act::Freeze, || {
            for version in scope.versions().to_vec() {
                scope.put(version, &encode(version, pool.shares()))?;
            }
            Ok(())
        })
    }

    fn unfreeze(&self, _pool: &mut Pool) {
        self.pen.tell(self.who(), Act::Unfreeze);
    }

    fn depart(&self, mut pool: Pool) {
        if let Side::Near { departed, .. } = &mut pool.side {
            *departed = true;
        }
        self.pen.tell(self.who(), Act::Depart);
    }

    fn retrieve(&self, record: &Record<'_>, _scope: &mut RetrieveScope<'_>) -> Result<Pool, Refusal> {
        let who = self.who();
        let expected = self.pen.ask(who, Act::Retrieve, || {
            let words = words_of(record.payload).filter(|words| words.len() == usize::from(record.version.0));
            let first = words.and_then(|words| words.first().copied());
            first.ok_or_else(|| Refusal::because("the payload is not that of a pool"))
        })?;
        Ok(Pool { who, pen: self.pen.clone(), side: Side::Far { expected, arrived: Vec::new() } })
    }

    fn finish(&self, pool: Pool) {
        self.pen.tell(pool.who, Act::Finish);
    }

    fn discard(&self, _record: &Record<'_>, _scope: &mut RetrieveScope<'_>) {
        self.pen.tell(self.who(), Act::Discard);
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        if let Side::Near { departed: false, .. } = self.side {
            self.pen.tell(self.who, Act::Unpreserve);
        }
    }
}
