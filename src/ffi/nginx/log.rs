//! Lines in nginx's error log.

use core::cell::Cell;
use core::ffi::c_char;
use core::fmt;
use core::mem::MaybeUninit;

use nginx_sys::{ngx_conf_log_error, ngx_conf_t, ngx_http_request_t, ngx_log_t, ngx_uint_t};
use ngx::core::NGX_CONF_ERROR;

use crate::ffi::worker::zone::Named;
use crate::shared::app::{Ended, Unreported};
use crate::time::Msec;

/// nginx's levels, those that are used here.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Level {
    Emerg = nginx_sys::NGX_LOG_EMERG as isize,
    Error = nginx_sys::NGX_LOG_ERR as isize,
    Warn = nginx_sys::NGX_LOG_WARN as isize,
    Notice = nginx_sys::NGX_LOG_NOTICE as isize,
    Info = nginx_sys::NGX_LOG_INFO as isize,
}

/// Writes a line, if the log wants lines of this level. `log` is one that nginx handed out.
pub(crate) fn write(level: Level, log: *mut ngx_log_t, message: fmt::Arguments<'_>) {
    // SAFETY: nginx's logs live as long as what they belong to: a request, a connection, a cycle.
    let wanted = unsafe { log.as_ref() }.is_some_and(|log| log.log_level >= level as ngx_uint_t);
    if wanted {
        let mut buffer = [const { MaybeUninit::uninit() }; ngx::log::LOG_BUFFER_SIZE];
        let line = ngx::log::write_fmt(&mut buffer, message);
        // SAFETY: as above; the line is copied.
        unsafe { ngx::log::log_error(level as ngx_uint_t, log, 0, line) };
    }
}

/// What requests can bring up again and again: a line a second each, per worker.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Complaint {
    AppName,
    MaxTime,
    OddPattern,
    CostlyPattern,
}

/// When each was last written.
#[derive(Debug, Default)]
pub(crate) struct Complaints([Cell<Msec>; 4]);

impl Complaints {
    /// Whether a line is due now, on the monotonic clock; if so it counts as written.
    pub(crate) fn due(&self, what: Complaint, now: Msec) -> bool {
        let last = self.0.get(what as usize);
        last.is_some_and(|last| {
            let due = last.get() == Msec(0) || now.since(last.get()) >= Msec(1000);
            if due {
                last.set(now);
            }
            due
        })
    }
}

/// Says how a pause ended; `behind` ends the line.
pub(crate) fn write_ended(
    log: *mut ngx_log_t,
    name: &Named<'_>,
    what: fmt::Arguments<'_>,
    ended: &Ended,
    behind: &str,
) {
    let (held, lasted, pace) = (ended.held, ended.lasted.seconds(), ended.pace);
    let line =
        format_args!("intermission: {name}: {what}, after {lasted} s, {held} held{pace}{behind}");
    write(Level::Notice, log, line);
    let unreported = Unreported { rejected: ended.rejected, expired: ended.expired, failed: 0 };
    write_unsaid(log, name, &unreported);
}

/// Says how many there were whom no line has told yet.
pub(crate) fn write_unsaid(log: *mut ngx_log_t, name: &Named<'_>, unreported: &Unreported) {
    let failed = "bypassed requests failed";
    let counts = [
        (unreported.rejected, "rejected"),
        (unreported.expired, "expired"),
        (unreported.failed, failed),
    ];
    for (count, what) in counts {
        if count > 0 {
            let line = format_args!("intermission: {name}: {count} more {what}");
            write(Level::Warn, log, line);
        }
    }
}

/// The log of a request's connection.
pub(crate) fn log_of(r: &ngx_http_request_t) -> *mut ngx_log_t {
    // SAFETY: a live request has a connection.
    unsafe { (*r.connection).log }
}

/// The log of the configuration that this process runs on.
pub(crate) fn cycle_log() -> *mut ngx_log_t {
    // SAFETY: nginx sets the cycle before it loads any module and never unsets it.
    unsafe { nginx_sys::ngx_cycle.as_ref() }.map_or(core::ptr::null_mut(), |cycle| cycle.log)
}

/// Says what is wrong with the configuration, and where; returns what a directive's handler
/// returns then. `cf` is what nginx passed to it.
pub(crate) fn conf_error(cf: *mut ngx_conf_t, message: fmt::Arguments<'_>) -> *mut c_char {
    let mut buffer = [const { MaybeUninit::uninit() }; ngx::log::LOG_BUFFER_SIZE];
    let line = ngx::log::write_fmt(&mut buffer, message);
    let level = Level::Emerg as ngx_uint_t;
    // SAFETY: `%*s` takes a length and that many bytes, which are copied.
    unsafe { ngx_conf_log_error(level, cf, 0, c"%*s".as_ptr(), line.len(), line.as_ptr()) };
    NGX_CONF_ERROR
}
