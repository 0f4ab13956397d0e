//! The handler: every moment in the life of a preserved file, and the room where it is told.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use luo_core::{
    CopyWhen, FileHandler, FreezeScope, Identity, Irrevocable, Kind, PrepareScope, Record, Refusal, Registry,
    RegistryError, RetrieveScope, Travel, Verdict, Version, VersionRange,
};

use crate::copy::Strandings;
use crate::options::Options;
use crate::preserve::Held;
use crate::preserved::{self, CountPages};
use crate::{
    FreeTo, HeadRoom, HugetlbError, Need, Port, Progress, abi, discard, finish, freeze, judge, prepare,
    preserve, retrieve,
};

/// Carries files of huge pages of one host.
pub struct HugetlbFiles<P: Port> {
    port: Arc<P>,
    options: Options<P>,
}

impl<P: Port> HugetlbFiles<P> {
    /// By reference where that is possible, by copy where it is not.
    pub fn new(port: P) -> Self {
        let port = Arc::new(port);
        let options = Options::new(Strandings::new(Arc::clone(&port)));
        Self { port, options }
    }

    /// When to copy.
    #[must_use]
    pub fn copying(mut self, when: CopyWhen) -> Self {
        self.options.copy = when;
        self
    }

    /// What prepare reserves for a copy beyond what is populated then.
    #[must_use]
    pub fn head_room(mut self, head_room: HeadRoom) -> Self {
        self.options.head_room = head_room;
        self
    }

    /// Where a file has to be copied, each of its pages is freed as soon as it was copied: for hosts that have no room
    /// for it twice. This happens in freeze and cannot be taken back for certain; see [`strandings`](Self::strandings).
    #[must_use]
    pub fn freeing(mut self, to: FreeTo, _irrevocable: Irrevocable) -> Self {
        self.options.freeing = Some(to);
        self
    }

    /// Tells `listener` how far copying is, from the thread that copies.
    #[must_use]
    pub fn on_progress(mut self, listener: impl Fn(Progress<'_>) + Send + Sync + 'static) -> Self {
        self.options.progress = Some(Arc::new(listener));
        self
    }

    /// Pages that were freed and could not be had again when an update was taken back. Ask before users go on.
    pub fn strandings(&self) -> Strandings<P> {
        self.options.strandings.clone()
    }

    /// What a copy of `file` takes from the successor's pool, against what this host's has.
    /// [`plan`](luo_core::Luo::plan) says the same in words.
    ///
    /// # Errors
    ///
    /// [`HugetlbError::Poisoned`], [`HugetlbError::Host`].
    pub fn need(&self, file: &P::File) -> Result<Need, HugetlbError> {
        judge::need(&*self.port, &self.options, file)
    }

    /// Registers this handler, and before it an object for each page size of the host, which counts the preserved pages
    /// of that size. Both sides have to do it the same way.
    ///
    /// # Errors
    ///
    /// As [`Registry::handler`] and [`Registry::shared`]. A host that cannot be asked has no sizes.
    pub fn register_counting(mut self, registry: &mut Registry) -> Result<&mut Registry, RegistryError> {
        for pool in self.port.pools().unwrap_or_default() {
            registry.shared(CountPages::new(pool.page_size, pool.nodes.len()))?;
            self.options.counted.push(pool.page_size);
        }
        registry.handler(self)
    }

    /// The host.
    pub fn port(&self) -> &P {
        &self.port
    }

    fn hands(&self) -> (&P, &Options<P>) {
        (&self.port, &self.options)
    }
}

impl<P: Port> FileHandler for HugetlbFiles<P> {
    type File = P::File;
    type Held = Held<P>;

    fn kind(&self) -> Kind {
        Kind::literal("hugetlb")
    }

    fn reads(&self) -> VersionRange {
        abi::READS
    }

    fn writes(&self) -> Vec<Version> {
        abi::WRITES.to_vec()
    }

    fn leans_on(&self) -> Vec<Kind> {
        self.options.counted.iter().map(|page_size| preserved::kind(*page_size)).collect()
    }

    fn judge(&self, file: &P::File) -> Verdict {
        judge::judge(&*self.port, file)
    }

    fn identity(&self, file: &P::File) -> Identity {
        self.port.identity(file)
    }

    fn travel(&self, file: &P::File) -> Travel {
        judge::travel(&*self.port, &self.options, file)
    }

    fn preserve(&self, file: &P::File) -> Result<Held<P>, Refusal> {
        Ok(preserve::preserve(&*self.port, file)?)
    }

    /// Nothing: whether pages have to be searched for is not known before prepare.
    fn survey(&self, _: &P::File, _: &mut Held<P>) -> Result<(), Refusal> {
        Ok(())
    }

    fn prepare(
        &self,
        file: &P::File,
        held: &mut Held<P>,
        scope: &mut PrepareScope<'_>,
    ) -> Result<(), Refusal> {
        prepare::prepare(self.hands(), file, held, scope)
    }

    fn cancel(&self, _: &P::File, held: &mut Held<P>) {
        prepare::cancel(held);
    }

    fn freeze(&self, file: &P::File, held: &mut Held<P>, scope: &mut FreezeScope<'_>) -> Result<(), Refusal> {
        freeze::freeze(self.hands(), file, held, scope)
    }

    fn unfreeze(&self, _: &P::File, held: &mut Held<P>) {
        freeze::unfreeze(self.hands(), held);
    }

    /// Lets go by dropping: the far side has the memory, or a copy of it.
    fn depart(&self, _: P::File, _: Held<P>) {}

    fn retrieve(&self, record: &Record<'_>, scope: &mut RetrieveScope<'_>) -> Result<P::File, Refusal> {
        retrieve::retrieve(self.hands(), record, scope)
    }

    /// Always: what was handed over is not used any more once the file is there.
    fn can_finish(&self, _: &Record<'_>, _: &P::File) -> Result<(), Refusal> {
        Ok(())
    }

    fn finish(&self, record: &Record<'_>, file: &P::File) {
        finish::finish(&*self.port, record, file);
    }

    fn discard(&self, record: &Record<'_>, scope: &mut RetrieveScope<'_>) {
        discard::discard(&*self.port, record, scope);
    }
}

impl<P: Port> fmt::Debug for HugetlbFiles<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HugetlbFiles").field("options", &self.options).finish_non_exhaustive()
    }
}
