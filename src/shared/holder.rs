//! Who has the zone's lock: a process leaves its name there as long as it has it.
//!
//! The lock itself says the process's number only, which another process may have by now.
#![forbid(unsafe_code)]

use crate::ids::Process;
use crate::sync::{AtomicU64, Ordering};

/// How many bits the number of a process has at the most (proc(5), pid_max).
const PID_BITS: u32 = 22;

/// A process in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Name(pub u64);

impl Name {
    /// Of this one.
    pub fn of(process: Process) -> Self {
        Self(process.started << PID_BITS | u64::from(process.pid.unsigned_abs()))
    }

    /// The process's number.
    pub fn pid(self) -> i32 {
        i32::try_from(self.0 & ((1 << PID_BITS) - 1)).unwrap_or(0)
    }

    fn process(self) -> Process {
        Process { pid: self.pid(), started: self.0 >> PID_BITS }
    }
}

/// The word where the name is; 0 is nobody's.
#[repr(transparent)]
#[derive(Debug, Default)]
pub struct Holder(AtomicU64);

impl Holder {
    /// This process has just taken the lock.
    pub fn begins(&self, name: Name) {
        self.0.store(name.0, Ordering::Relaxed);
    }

    /// The process that has the lock is about to give it up. After that it would take away the name of
    /// the next one.
    pub fn ends(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    /// The process with this number has the lock: which one that is. If it has no name here, it started
    /// at tick 0: then it has just taken the lock, or is about to give it up.
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
    fn who_has_the_lock_is_known_by_more_than_a_number() {
        let holder = Holder::default();
        for process in [A, Process { pid: (1 << PID_BITS) - 1, started: (1 << 42) - 1 }] {
            holder.begins(Name::of(process));
            assert_eq!(holder.process(process.pid), process);
            assert_eq!(Name::of(process).pid(), process.pid);
        }
    }

    #[test]
    fn who_has_not_left_its_name_yet_is_not_taken_for_one_that_had_the_same_number() {
        let holder = Holder::default();
        holder.begins(Name::of(A));
        holder.ends();
        assert_eq!(holder.process(A.pid), Process { started: 0, ..A });
        holder.begins(Name::of(A));
        assert_eq!(holder.process(11), Process { pid: 11, started: 0 });
    }
}
