//! Log lines that each request may cause: of each kind a worker writes one a second at most.

use core::cell::Cell;

use crate::ffi::nginx::cycle::now;
use crate::ffi::nginx::log;
use crate::ffi::nginx::per_worker::PerWorker;
use crate::ffi::nginx::request::Request;
use crate::log_lines::variables::BadValue;
use crate::time::Msec;

/// The kinds of such lines.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Complaint {
    AppName,
    MaxTime,
    OddPattern,
    CostlyPattern,
}

/// When a line of each kind was last written, on the monotonic clock; 0 if never.
static WRITTEN: PerWorker<[Cell<Msec>; 4]> = PerWorker::new([const { Cell::new(Msec(0)) }; 4]);

/// Writes a line about a request, unless this worker has written one of its kind within a second.
pub(crate) fn write(r: Request, what: Complaint, line: BadValue<'_>) {
    let Some(last) = WRITTEN.get(what as usize) else { return };
    let now = now().monotonic;
    if last.get() == Msec(0) || now.since(last.get()) >= Msec(1000) {
        last.set(now);
        log::write(r.log(), &line);
    }
}
