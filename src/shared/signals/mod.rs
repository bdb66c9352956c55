//! What workers read without the lock: above all which apps are not open, and whose lines move.
//!
//! Each app has a gate. A request that finds it open passes: it counts as earlier than any change
//! that is being made. A request that finds it closed asks again under the lock. All words are
//! written under the lock, unless their comment says otherwise.
#![forbid(unsafe_code)]

mod writer;

pub use writer::SignalsWriter;

use crate::ids::{AppId, Epoch, NameHash};
use crate::shared::health::Health;
use crate::shared::in_flight::Notice;
use crate::sync::{AtomicU32, AtomicU64, Ordering};
use crate::time::Msec;

/// References to the words in shared memory.
#[derive(Clone, Copy, Debug)]
pub struct Signals<'z> {
    /// How many apps are not open.
    pub not_open: &'z AtomicU32,
    /// The gates, one per app: the hash of its name while the app is not open, else 0.
    pub names: &'z [AtomicU64],
    /// A bit per app: set while its held requests may be released, or are to be turned away.
    pub moving: &'z [AtomicU64],
    /// When the first lease ends, in ms on the monotonic clock; 0 if there is none.
    pub lease: &'z AtomicU64,
    /// The newest [`Epoch`].
    pub epoch: &'z AtomicU64,
    /// How many pauses have ended.
    pub endings: &'z AtomicU64,
    /// Counts what a worker must not miss that has found an app open: gates that closed, pauses that
    /// ended, and epochs.
    pub changes: &'z AtomicU64,
    /// A bit per remainder of a name's hash: set once a request for such a name has come. Written
    /// without the lock.
    pub heard: &'z [AtomicU64],
    /// Per remainder of a name's hash: the shortest time after which a held request for such a name
    /// goes on to the app, since the last pause ended. Written without the lock.
    pub expiries: &'z [AtomicU32],
    /// How many callers wait.
    pub waiting: &'z AtomicU32,
    /// The state file's [`Health`]. Written without the lock.
    pub state_file: &'z AtomicU64,
    /// How each worker hears that its turn may have come. Written without the lock.
    pub notices: &'z [Notice],
}

impl Signals<'_> {
    /// Whether all apps are open. One load.
    #[inline]
    pub fn all_open(&self) -> bool {
        // Pairs with the stores in `set_gate`: a worker that sees all apps open sees what was written
        // before they opened.
        self.not_open.load(Ordering::Acquire) == 0
    }

    /// The app whose gate is closed for this name. Another app's name may have the same hash.
    pub fn find(&self, name: NameHash) -> Option<AppId> {
        // Pairs with the store in `set_gate`: a worker that sees the gate open sees what was written
        // before it opened.
        self.names.iter().position(|gate| gate.load(Ordering::Acquire) == name.0).map(AppId::at)
    }

    /// Whether the line of any app moves.
    pub fn any_moving(&self) -> bool {
        self.moving.iter().any(|word| word.load(Ordering::Relaxed) != 0)
    }

    /// When the first lease ends, on the monotonic clock.
    pub fn next_lease(&self) -> Option<Msec> {
        Some(Msec(self.lease.load(Ordering::Relaxed))).filter(|end| *end != Msec(0))
    }

    /// The newest epoch. Counts of a worker that has not seen it may be incomplete.
    pub fn epoch(&self) -> Epoch {
        // Pairs with the store in `next_epoch`: a worker that sees the epoch sees the gates that were
        // closed before it.
        Epoch(self.epoch.load(Ordering::Acquire))
    }

    /// How many pauses have ended. Changes before the first request passes or is released that the
    /// pause would have held.
    pub fn endings(&self) -> u64 {
        self.endings.load(Ordering::Relaxed)
    }

    /// While this count is the same, what a worker has found out about an app that is open still holds: it
    /// is open, its entry is the same, and no pause has ended.
    #[inline]
    pub fn changes(&self) -> u64 {
        // Pairs with the store in `changed`: a worker that sees the count sees what has changed.
        self.changes.load(Ordering::Acquire)
    }

    /// Whether any caller waits for what the workers count.
    pub fn any_caller_waits(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) != 0
    }

    /// Whether the state file keeps the pauses.
    pub fn state_file(&self) -> Health {
        Health::unpack(self.state_file.load(Ordering::Relaxed))
    }

    /// Sets what [`Self::state_file`] returns.
    pub fn set_state_file(&self, health: Health) {
        self.state_file.store(health.pack(), Ordering::Relaxed);
    }

    /// The apps whose lines move: those behind `last`, then those up to and including it.
    pub fn moving_after(&self, last: AppId) -> impl Iterator<Item = AppId> + '_ {
        let count = self.names.len();
        let start = if last.index() < count { last.index() + 1 } else { 0 };
        let order = (start..count).chain(0..start.min(count));
        order.map(AppId::at).filter(|id| self.is_moving(*id))
    }

    /// Notes that a request for this name has come. Writes only the first time.
    pub fn hear(&self, name: NameHash) {
        let (word, bit) = self.heard_bit(name);
        if let Some(word) = word.filter(|word| word.load(Ordering::Relaxed) & bit == 0) {
            word.fetch_or(bit, Ordering::Relaxed);
        }
    }

    /// Whether a request ever came for this name, or for another with the same remainder.
    pub fn has_heard(&self, name: NameHash) -> bool {
        let (word, bit) = self.heard_bit(name);
        word.is_some_and(|word| word.load(Ordering::Relaxed) & bit != 0)
    }

    /// Notes that a held request for this name goes on to the app after this time.
    pub fn expires(&self, name: NameHash, after: Msec) {
        // 0 is no time; the shortest time has the greatest value.
        let value = u32::MAX - u32::try_from(after.0).unwrap_or(u32::MAX - 1);
        if let Some(word) = self.expiry(name).filter(|word| word.load(Ordering::Relaxed) < value) {
            word.fetch_max(value, Ordering::Relaxed);
        }
    }

    /// The shortest time after which a held request for this name, or for another with the same
    /// remainder, goes on to the app. None if none is known.
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
}

fn bit(id: AppId) -> u64 {
    1 << (id.0 % 64)
}
