//! How much a rendering may take: counted as it is taken, so that nothing larger is ever held.

/// Most bytes a Secret may hold (`core/v1` `MaxSecretSize`), names of keys included.
const SIZE: usize = 1024 * 1024;
/// Most bytes that the templates of an object may look at and make on the way, all of them together:
/// far more than configuration files take.
const WORK: usize = 2 * 1024 * 1024;

/// What is left for a rendering of all keys.
///
/// Memory is bounded with it: whatever a template holds was spent before it was made.
pub(super) struct Bounds {
    size: usize,
    work: usize,
}

impl Bounds {
    /// Those of one object.
    pub(super) fn new() -> Self {
        Self { size: SIZE, work: WORK }
    }

    /// Counts bytes that the Secret is to hold, before they are copied.
    ///
    /// # Errors
    /// What to say when they are too many.
    pub(super) fn keep(&mut self, bytes: usize) -> Result<(), &'static str> {
        let left = self.size.checked_sub(bytes);
        self.size = left.ok_or("the Secret would hold more than Kubernetes' 1 MiB; make it smaller")?;
        Ok(())
    }

    /// Counts bytes of work: text that is looked at or made, and 1 for each step.
    ///
    /// # Errors
    /// What to say when it is too much.
    pub(super) fn spend(&mut self, bytes: usize) -> Result<(), &'static str> {
        let left = self.work.checked_sub(bytes);
        self.work =
            left.ok_or("the templates of an object may look at and make 2 MiB of text in all; make them simpler")?;
        Ok(())
    }
}
