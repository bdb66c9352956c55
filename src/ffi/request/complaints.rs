//! What requests can bring up again and again: a line a second each, per worker.

use core::cell::Cell;

use crate::ffi::nginx::cycle::now;
use crate::ffi::nginx::log;
use crate::ffi::nginx::per_worker::PerWorker;
use crate::ffi::nginx::request::Request;
use crate::log_lines::variables::BadValue;
use crate::time::Msec;

/// What a line complains of.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Complaint {
    AppName,
    MaxTime,
    OddPattern,
    CostlyPattern,
}

/// When each was last written, on the monotonic clock; 0 if never.
static WRITTEN: PerWorker<[Cell<Msec>; 4]> = PerWorker::new([const { Cell::new(Msec(0)) }; 4]);

/// Writes a line about a request, unless this worker has complained of the same within a second.
pub(crate) fn write(r: Request, what: Complaint, line: BadValue<'_>) {
    let Some(last) = WRITTEN.get(what as usize) else { return };
    let now = now().monotonic;
    if last.get() == Msec(0) || now.since(last.get()) >= Msec(1000) {
        last.set(now);
        log::write(r.log(), &line);
    }
}
