//! The pool: an object that files share. It counts them.
//!
//! On the near side a **share** is held by each prepared file; a preserved array says how many there were. On the far
//! side each file that is made again **arrives**; the array says how many there can be. A pool may **ask** for a file
//! before it is made again.

use std::sync::Arc;

use luo_core::{
    FreezeScope, Kind, PrepareScope, Record, Refusal, RetrieveScope, SessionName, SharedObject, Token,
    Version, VersionRange,
};
use luo_kho::{PhysAddr, PreservedArray};

use crate::file::SimFile;
use crate::journal::{Act, Pen, Who};
use crate::keeper::Speech;
use crate::payload::{name_payload, named_len, one_word, words_of};

/// Makes pools.
#[derive(Debug)]
pub struct PoolMaker {
    speech: Speech,
    asks: Option<(SessionName, Token)>,
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
    Near { shares: Arc<()>, array: Option<PreservedArray<u8>>, departed: bool },
    Far { expected: u64, arrived: Vec<u64> },
}

/// One prepared file's share of a pool. Dropping it gives it back.
#[derive(Debug)]
pub struct Share {
    _counted: Arc<()>,
}

impl PoolMaker {
    pub(crate) fn new(speech: Speech, asks: Option<(SessionName, Token)>, pen: Pen) -> Self {
        Self { speech, asks, pen }
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

    fn array(&mut self) -> &mut Option<PreservedArray<u8>> {
        match &mut self.side {
            Side::Near { array, .. } => array,
            Side::Far { .. } => panic!("pools are prepared on the near side"),
        }
    }

    /// One more file was made again.
    ///
    /// # Errors
    ///
    /// More files arrive than were prepared: what says how many is not to be believed.
    pub fn arrive(&mut self, mark: u64) -> Result<(), Refusal> {
        let Side::Far { expected, arrived } = &mut self.side else { panic!("files arrive on the far side") };
        assert!(!arrived.contains(&mark), "file {mark} arrives once");
        if arrived.len() as u64 >= *expected {
            return Err(Refusal::because("more files arrive than were prepared"));
        }
        arrived.push(mark);
        Ok(())
    }
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
        Ok(Pool {
            who,
            pen: self.pen.clone(),
            side: Side::Near { shares: Arc::default(), array: None, departed: false },
        })
    }

    fn prepare(&self, pool: &mut Pool, scope: &mut PrepareScope<'_>) -> Result<(), Refusal> {
        let made = self.pen.ask(self.who(), Act::Prepare, || {
            let array = PreservedArray::from_bytes(scope.memory(), &pool.shares().to_le_bytes())?;
            for version in scope.versions().to_vec() {
                scope.reserve(version, named_len(version))?;
                scope.put(version, &name_payload(version, &array))?;
            }
            Ok(array)
        })?;
        let array = pool.array();
        assert!(array.is_none(), "it is prepared once");
        *array = Some(made);
        Ok(())
    }

    fn cancel(&self, pool: &mut Pool) {
        assert!(pool.array().take().is_some(), "what is cancelled was prepared");
        self.pen.tell(self.who(), Act::Cancel);
    }

    fn freeze(&self, pool: &mut Pool, scope: &mut FreezeScope<'_>) -> Result<(), Refusal> {
        let shares = pool.shares();
        let Some(array) = pool.array() else { panic!("what is frozen was prepared") };
        self.pen.ask(self.who(), Act::Freeze, || {
            array.write(scope.memory(), 0, &shares.to_le_bytes())?;
            Ok(array.seal(scope.memory())?)
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

    fn retrieve(&self, record: &Record<'_>, scope: &mut RetrieveScope<'_>) -> Result<Pool, Refusal> {
        let who = self.who();
        let expected = self.pen.ask(who, Act::Retrieve, || {
            if let Some((session, token)) = self.asks {
                scope.file_in::<SimFile>(session, token)?;
            }
            one_word(record, scope)
        })?;
        Ok(Pool { who, pen: self.pen.clone(), side: Side::Far { expected, arrived: Vec::new() } })
    }

    fn finish(&self, pool: Pool) {
        self.pen.tell(pool.who, Act::Finish);
    }

    fn discard(&self, record: &Record<'_>, scope: &mut RetrieveScope<'_>) {
        self.pen.tell(self.who(), Act::Discard);
        // Claimed for good, it is freed all the same; what is not claimed is released with all that nobody claimed.
        if let Some(name) = words_of(record.payload).unwrap_or_default().first() {
            let _ = scope.keep(PhysAddr::new(*name).frame().as_range());
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        if let Side::Near { departed: false, .. } = self.side {
            self.pen.tell(self.who, Act::Unpreserve);
        }
    }
}
