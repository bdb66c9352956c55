//! Lines in nginx's error log.

use core::cell::Cell;
use core::ffi::c_char;
use core::fmt;
use core::mem::MaybeUninit;

use nginx_sys::{
    ngx_conf_log_error, ngx_conf_t, ngx_http_request_t, ngx_log_t, ngx_uint_t, NGX_LOG_EMERG,
    NGX_LOG_ERR, NGX_LOG_INFO, NGX_LOG_NOTICE, NGX_LOG_WARN,
};
use ngx::core::NGX_CONF_ERROR;

use crate::log_lines::{Level, Line};
use crate::time::Msec;

/// Writes a line, if the log wants lines of its level; else it is not formatted. `log` is one that
/// nginx handed out.
pub(crate) fn write(log: *mut ngx_log_t, line: &impl Line) {
    let level = number(line.level());
    // SAFETY: nginx's logs live as long as what they belong to: a request, a connection, a cycle.
    let wanted = unsafe { log.as_ref() }.is_some_and(|log| log.log_level >= level);
    if wanted {
        let mut buffer = [const { MaybeUninit::uninit() }; ngx::log::LOG_BUFFER_SIZE];
        let line = ngx::log::write_fmt(&mut buffer, format_args!("{line}"));
        // SAFETY: as above; the line is copied.
        unsafe { ngx::log::log_error(level, log, 0, line) };
    }
}

/// What nginx has for this level.
fn number(level: Level) -> ngx_uint_t {
    let number = match level {
        Level::Emerg => NGX_LOG_EMERG,
        Level::Error => NGX_LOG_ERR,
        Level::Warn => NGX_LOG_WARN,
        Level::Notice => NGX_LOG_NOTICE,
        Level::Info => NGX_LOG_INFO,
    };
    number as ngx_uint_t
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
    let level = number(Level::Emerg);
    // SAFETY: `%*s` takes a length and that many bytes, which are copied.
    unsafe { ngx_conf_log_error(level, cf, 0, c"%*s".as_ptr(), line.len(), line.as_ptr()) };
    NGX_CONF_ERROR
}
