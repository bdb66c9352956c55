//! The table of worker processes that may hold requests. A worker has an entry from its start to its
//! end.
#![forbid(unsafe_code)]

use crate::flag::Flag;
use crate::ids::{Generation, Process, WorkerId};
use crate::shared::room::Room;

/// A worker process. All zero is an unused entry.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Worker {
    process: Process,
    generation: Generation,
    /// Whether it was told to quit when its requests are done.
    leaving: Flag,
    /// How many slots its requests have.
    pub slots: u32,
    /// How many more requests it can hold, as it said last.
    pub room: Room,
}

/// What the master wants of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Orders {
    Stay,
    /// It exits when its requests are done.
    Leave,
}

impl Worker {
    /// Returns None if the entry is unused.
    pub fn process(&self) -> Option<Process> {
        (self.process.pid != 0).then_some(self.process)
    }
}

/// Notes that a worker was told to quit.
pub fn told_to_leave(workers: &mut [Worker], id: WorkerId) {
    if let Some(worker) = workers.get_mut(id.index()) {
        worker.leaving = Flag::ON;
    }
}

/// Whether the newest configuration has workers, and all of them were told to quit.
pub fn all_leave(workers: &[Worker], newest: Generation) -> bool {
    let is_newest = |worker: &&Worker| worker.process().is_some() && worker.generation == newest;
    let mut current = workers.iter().filter(is_newest).peekable();
    current.peek().is_some() && current.all(|worker| worker.leaving.is_on())
}

/// How many more requests the workers of the newest configuration can hold. Those that were told to
/// leave do not count.
pub fn room(workers: &[Worker], newest: Generation) -> u32 {
    let accepts = |worker: &&Worker| {
        worker.process().is_some() && worker.generation == newest && !worker.leaving.is_on()
    };
    let rooms = workers.iter().filter(accepts).map(|worker| worker.room.of_any_kind());
    rooms.fold(0, u32::saturating_add)
}

/// Gives a process an unused entry. Returns [`WorkerId::NONE`] if the table is full.
pub fn register(
    workers: &mut [Worker],
    process: Process,
    generation: Generation,
    orders: Orders,
) -> WorkerId {
    let Some((index, worker)) =
        workers.iter_mut().enumerate().find(|(_, worker)| worker.process().is_none())
    else {
        return WorkerId::NONE;
    };
    worker.generation = generation;
    worker.slots = 0;
    worker.room = Room::NONE;
    worker.leaving = Flag::from(orders == Orders::Leave);
    worker.process.started = process.started;
    crate::sync::crash_point();
    worker.process.pid = process.pid;
    WorkerId::at(index)
}

/// Frees the entry `id` if it belongs to `process`.
pub fn forget(workers: &mut [Worker], id: WorkerId, process: Process) {
    if let Some(worker) = workers.get_mut(id.index()) {
        if worker.process == process {
            *worker = Worker::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Process = Process { pid: 10, started: 1 };
    const B: Process = Process { pid: 11, started: 2 };

    fn register(workers: &mut [Worker], process: Process, generation: u32) -> WorkerId {
        super::register(workers, process, Generation(generation), Orders::Stay)
    }

    #[test]
    fn an_entry_can_be_used_again_when_its_process_is_forgotten() {
        let mut workers = [Worker::default(); 2];
        assert_eq!(register(&mut workers, A, 1), WorkerId(0));
        assert_eq!(register(&mut workers, B, 1), WorkerId(1));
        assert_eq!(register(&mut workers, A, 1), WorkerId::NONE);
        forget(&mut workers, WorkerId(0), A);
        assert_eq!(register(&mut workers, B, 2), WorkerId(0));
    }

    #[test]
    fn nginx_quits_when_all_workers_of_the_newest_configuration_leave() {
        let mut workers = [Worker::default(); 3];
        let [old, a, b] = [(A, 1), (A, 2), (B, 2)].map(|(p, g)| register(&mut workers, p, g));
        let mut told = |id| {
            told_to_leave(&mut workers, id);
            all_leave(&workers, Generation(2))
        };
        assert!(!told(old), "a reload");
        assert!(!told(a), "one of two");
        assert!(told(b), "nginx quits");
    }

    #[test]
    fn only_workers_that_stay_have_room() {
        let mut workers = [Worker::default(); 4];
        let all = [(A, 1), (A, 2), (B, 2)].map(|(p, g)| register(&mut workers, p, g));
        for id in all {
            workers[id.index()].room = Room { connections: 10, streams: 7 };
        }
        assert_eq!(room(&workers, Generation(2)), 14, "the old worker's room does not count");
        told_to_leave(&mut workers, all[1]);
        assert_eq!(room(&workers, Generation(2)), 7);
        forget(&mut workers, all[2], B);
        assert_eq!(register(&mut workers, B, 2), all[2]);
        assert_eq!(room(&workers, Generation(2)), 0, "a new worker has not said anything yet");
    }

    #[test]
    fn a_process_with_the_pid_of_an_earlier_one_is_another() {
        let mut workers = [Worker::default(); 1];
        let id = register(&mut workers, A, 1);
        forget(&mut workers, id, Process { started: 9, ..A });
        assert_eq!(workers[0].process(), Some(A));
    }
}
