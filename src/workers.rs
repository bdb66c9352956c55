//! The table of worker processes that may hold requests: an entry each, from its start to its end.
#![forbid(unsafe_code)]

use crate::ids::{Process, WorkerId};

/// A worker process. All zero is an unused entry.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Worker {
    process: Process,
    generation: u32,
    /// How many held requests are its.
    pub held: u32,
}

impl Worker {
    /// The process, if this entry is used.
    pub fn process(&self) -> Option<Process> {
        (self.process.pid != 0).then_some(self.process)
    }

    /// Which configuration it serves: counts reloads.
    pub fn generation(&self) -> u32 {
        self.generation
    }
}

/// Gives a process an unused entry; none where all are used.
pub fn register(workers: &mut [Worker], process: Process, generation: u32) -> WorkerId {
    let Some((index, worker)) = workers
        .iter_mut()
        .enumerate()
        .find(|(_, worker)| worker.process().is_none())
    else {
        return WorkerId::NONE;
    };
    worker.generation = generation;
    worker.held = 0;
    worker.process.started = process.started;
    crate::sync::step();
    worker.process.pid = process.pid;
    WorkerId::at(index)
}

/// Makes an entry unused again, if it is still this process's.
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

    const A: Process = Process {
        pid: 10,
        started: 1,
    };
    const B: Process = Process {
        pid: 11,
        started: 2,
    };

    #[test]
    fn an_entry_is_used_again_once_its_process_is_forgotten() {
        let mut workers = [Worker::default(); 2];
        assert_eq!(register(&mut workers, A, 1), WorkerId(0));
        assert_eq!(register(&mut workers, B, 1), WorkerId(1));
        assert_eq!(register(&mut workers, A, 1), WorkerId::NONE);
        forget(&mut workers, WorkerId(0), A);
        assert_eq!(register(&mut workers, B, 2), WorkerId(0));
    }

    #[test]
    fn a_pid_that_came_back_is_another_process() {
        let mut workers = [Worker::default(); 1];
        let id = register(&mut workers, A, 1);
        forget(&mut workers, id, Process { started: 9, ..A });
        assert_eq!(workers[0].process(), Some(A));
    }
}
