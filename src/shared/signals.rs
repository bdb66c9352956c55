//! What is read without the lock: which apps are not open, and whose line moves.
//!
//! Written under the lock only. A request that finds its app's gate open passes; it came before
//! whatever is being changed at that moment. One that finds it closed asks again under the lock.
#![forbid(unsafe_code)]

use crate::ids::{AppId, Epoch, NameHash};
use crate::shared::health::Health;
use crate::sync::{crash_point, AtomicU32, AtomicU64, Ordering};
use crate::time::Msec;

/// A word per app, and one for all of them.
#[derive(Clone, Copy, Debug)]
pub struct Signals<'z> {
    /// How many apps are not open.
    pub not_open: &'z AtomicU32,
    /// Per app: its name's hash while it is not open, else 0.
    pub names: &'z [AtomicU64],
    /// A bit per app: set while those held may go on, or are to be turned away.
    pub moving: &'z [AtomicU64],
    /// When the first lease ends, on the monotonic clock in ms; 0 where there is none.
    pub lease: &'z AtomicU64,
    /// The newest [`Epoch`].
    pub epoch: &'z AtomicU64,
    /// How many pauses have ended.
    pub endings: &'z AtomicU64,
    /// A bit per remainder of a name's hash: set once a request of such a name has come.
    pub heard: &'z [AtomicU64],
    /// Per remainder of a name's hash: how long requests of such a name are held before they go on to
    /// the app, the shortest time that was said since the last pause ended.
    pub expiries: &'z [AtomicU32],
    /// How many callers wait for an app to be quiet, or drained.
    pub waiting: &'z AtomicU32,
    /// The state file's [`Health`]; it is written without the lock.
    pub state_file: &'z AtomicU64,
}

impl Signals<'_> {
    /// Whether all apps are open: one load.
    #[inline]
    pub fn all_open(&self) -> bool {
        // Who sees a gate open sees what was written before it opened.
        self.not_open.load(Ordering::Acquire) == 0
    }

    /// The first app that is not open and may have this name.
    pub fn find(&self, name: NameHash) -> Option<AppId> {
        self.names.iter().position(|gate| gate.load(Ordering::Acquire) == name.0).map(AppId::at)
    }

    /// Whether anybody's line moves.
    pub fn any_moving(&self) -> bool {
        self.moving.iter().any(|word| word.load(Ordering::Relaxed) != 0)
    }

    /// When the first lease ends, if one is running.
    pub fn next_lease(&self) -> Option<Msec> {
        Some(Msec(self.lease.load(Ordering::Relaxed))).filter(|end| *end != Msec(0))
    }

    /// What workers must have seen for their counts to be believed.
    pub fn epoch(&self) -> Epoch {
        Epoch(self.epoch.load(Ordering::Acquire))
    }

    /// Changes before anybody is released, or passes, whom a pause would have held.
    pub fn endings(&self) -> u64 {
        self.endings.load(Ordering::Relaxed)
    }

    /// Whether anybody waits for what the workers count.
    pub fn anybody_waits(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) != 0
    }

    /// Whether the state file keeps the pauses.
    pub fn state_file(&self) -> Health {
        Health::unpack(self.state_file.load(Ordering::Relaxed))
    }

    /// Says whether it does.
    pub fn set_state_file(&self, health: Health) {
        self.state_file.store(health.pack(), Ordering::Relaxed);
    }

    /// The apps whose line moves, from the one behind `last` on, around to it.
    pub fn moving_after(&self, last: AppId) -> impl Iterator<Item = AppId> + '_ {
        let count = self.names.len();
        let start = if last.index() < count { last.index() + 1 } else { 0 };
        let order = (start..count).chain(0..start.min(count));
        order.map(AppId::at).filter(|id| self.is_moving(*id))
    }

    /// A request of this name comes. Written once for each name.
    pub fn hear(&self, name: NameHash) {
        let (word, bit) = self.heard_bit(name);
        if let Some(word) = word.filter(|word| word.load(Ordering::Relaxed) & bit == 0) {
            word.fetch_or(bit, Ordering::Relaxed);
        }
    }

    /// Whether a request of this name, or of another with a like hash, ever came.
    pub fn has_heard(&self, name: NameHash) -> bool {
        let (word, bit) = self.heard_bit(name);
        word.is_some_and(|word| word.load(Ordering::Relaxed) & bit != 0)
    }

    /// A request of this name would go on to the app when it was held for so long.
    pub fn expires(&self, name: NameHash, after: Msec) {
        // 0 is none, and the shortest time has the greatest value.
        let value = u32::MAX - u32::try_from(after.0).unwrap_or(u32::MAX - 1);
        if let Some(word) = self.expiry(name).filter(|word| word.load(Ordering::Relaxed) < value) {
            word.fetch_max(value, Ordering::Relaxed);
        }
    }

    /// How long requests of this name, or of another with a like hash, are held before they go on to
    /// the app; none where that is not known of any.
    pub fn expire_after(&self, name: NameHash) -> Option<Msec> {
        let value = self.expiry(name)?.load(Ordering::Relaxed);
        (value != 0).then(|| Msec(u64::from(u32::MAX - value)))
    }

    fn expiry(&self, name: NameHash) -> Option<&AtomicU32> {
        let count = (self.expiries.len() as u64).max(1);
        usize::try_from((name.0 >> 1) % count).ok().and_then(|at| self.expiries.get(at))
    }

    fn heard_bit(&self, name: NameHash) -> (Option<&AtomicU64>, u64) {
        // The lowest bit of a hash is always set.
        let number = name.0 >> 1;
        let words = (self.heard.len() as u64).max(1);
        let word = usize::try_from(number / 64 % words).ok().and_then(|at| self.heard.get(at));
        (word, 1 << (number % 64))
    }

    fn is_moving(&self, id: AppId) -> bool {
        let word = self.moving.get(id.index() / 64);
        word.is_some_and(|word| word.load(Ordering::Relaxed) & bit(id) != 0)
    }

    /// Under the lock: closes an app's gate to requests of this name, or opens it.
    pub(crate) fn set_gate(&self, id: AppId, closed_for: Option<NameHash>) {
        let Some(gate) = self.names.get(id.index()) else {
            return;
        };
        let value = closed_for.map_or(0, |name| name.0);
        let before = gate.load(Ordering::Relaxed);
        if before == value {
            return;
        }
        // Before anybody passes, and says it anew.
        if let Some(word) = self.expiry(NameHash(before)).filter(|_| value == 0) {
            word.store(0, Ordering::Relaxed);
        }
        gate.store(value, Ordering::Release);
        crash_point();
        let count = self.not_open.load(Ordering::Relaxed);
        match (before, value) {
            (0, _) => self.not_open.store(count.saturating_add(1), Ordering::Release),
            (_, 0) => self.not_open.store(count.saturating_sub(1), Ordering::Release),
            _ => {}
        }
    }

    /// Under the lock: says that an app's line moves.
    pub(crate) fn line_moves(&self, id: AppId) {
        self.change_moving(id, |word| word | bit(id));
    }

    /// Under the lock: says that an app's line does not move.
    pub(crate) fn line_stands(&self, id: AppId) {
        self.change_moving(id, |word| word & !bit(id));
    }

    fn change_moving(&self, id: AppId, change: impl FnOnce(u64) -> u64) {
        if let Some(word) = self.moving.get(id.index() / 64) {
            word.store(change(word.load(Ordering::Relaxed)), Ordering::Relaxed);
        }
    }

    /// Under the lock: says when the first lease ends.
    pub(crate) fn set_lease(&self, end: Option<Msec>) {
        self.lease.store(end.map_or(0, |end| end.0.max(1)), Ordering::Relaxed);
    }

    /// Under the lock: workers are to see what has changed up to now.
    pub(crate) fn next_epoch(&self) -> Epoch {
        let epoch = Epoch(self.epoch.load(Ordering::Relaxed).wrapping_add(1));
        self.epoch.store(epoch.0, Ordering::Release);
        epoch
    }

    /// Under the lock, before the gate opens or the line moves: a pause has ended.
    pub(crate) fn pause_ended(&self) {
        self.endings.store(self.endings().wrapping_add(1), Ordering::Relaxed);
        crash_point();
    }

    /// Under the lock: says how many callers wait.
    pub(crate) fn set_waiting(&self, count: usize) {
        self.waiting.store(u32::try_from(count).unwrap_or(u32::MAX), Ordering::Relaxed);
    }

    /// Under the lock, where a worker died: counts the closed gates anew. None opens meanwhile, for
    /// others read them.
    pub(crate) fn recount(&self) {
        let signals = self.names.iter();
        let closed = signals.filter(|gate| gate.load(Ordering::Relaxed) != 0);
        let count = u32::try_from(closed.count()).unwrap_or(u32::MAX);
        self.not_open.store(count, Ordering::Relaxed);
    }
}

fn bit(id: AppId) -> u64 {
    1 << (id.0 % 64)
}
