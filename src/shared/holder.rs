//! Which process holds the zone's lock: it leaves its name here while it holds it.
//!
//! The lock itself contains only the pid, which may be another process's by now.
#![forbid(unsafe_code)]

use crate::ids::Process;
use crate::sync::{AtomicU64, Ordering};

/// A pid has at most this many bits (proc(5), pid_max).
const PID_BITS: u32 = 22;

/// A [`Process`] in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Name(pub u64);

impl Name {
    pub fn of(process: Process) -> Self {
        Self(process.started << PID_BITS | u64::from(process.pid.unsigned_abs()))
    }

    pub fn pid(self) -> i32 {
        i32::try_from(self.0 & ((1 << PID_BITS) - 1)).unwrap_or(0)
    }

    fn process(self) -> Process {
        Process { pid: self.pid(), started: self.0 >> PID_BITS }
    }
}

/// The word for the holder's name; 0 while no process holds the lock.
#[repr(transparent)]
#[derive(Debug, Default)]
pub struct Holder(AtomicU64);

impl Holder {
    /// Called by a process that has just taken the lock.
    pub fn begins(&self, name: Name) {
        self.0.store(name.0, Ordering::Relaxed);
    }

    /// Called by the holder just before it gives the lock up; later it would erase the name of the
    /// next holder.
    pub fn ends(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    /// The process that holds the lock, which is known to contain `pid`. If its name is not here, it
    /// has just taken the lock or is about to give it up; `started` is 0 then.
    pub fn process(&self, pid: i32) -> Process {
        let named = Name(self.0.load(Ordering::Relaxed)).process();
        Process { pid, started: if named.pid == pid { named.started } else { 0 } }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const A: Process = Process { pid: 10, started: 1 };

    #[test]
    fn the_holder_is_known_by_more_than_its_pid() {
        let holder = Holder::default();
        for process in [A, Process { pid: (1 << PID_BITS) - 1, started: (1 << 42) - 1 }] {
            holder.begins(Name::of(process));
            assert_eq!(holder.process(process.pid), process);
            assert_eq!(Name::of(process).pid(), process.pid);
        }
    }

    #[test]
    fn a_holder_without_a_name_yet_is_not_an_earlier_process_with_its_pid() {
        let holder = Holder::default();
        holder.begins(Name::of(A));
        holder.ends();
        assert_eq!(holder.process(A.pid), Process { started: 0, ..A });
        holder.begins(Name::of(A));
        assert_eq!(holder.process(11), Process { pid: 11, started: 0 });
    }
}
