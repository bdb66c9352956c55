//! Writes lines to nginx's error log.

use core::mem::MaybeUninit;

use nginx_sys::{
    ngx_log_t, ngx_uint_t, NGX_LOG_EMERG, NGX_LOG_ERR, NGX_LOG_INFO, NGX_LOG_NOTICE, NGX_LOG_WARN,
};

use super::pointers;
use crate::control::settings::LogLevel;
use crate::log_lines::{Level, Line};

/// Writes a line, if the log wants lines of its level; if not, the line is not even formatted. `log`
/// is one of nginx's logs, or null.
pub(crate) fn write(log: *mut ngx_log_t, line: &impl Line) {
    let level = number(line.level());
    // SAFETY: null, or the log of a cycle or of a connection that lives: callers ask for it and use it
    // at once. nginx copies the line.
    unsafe {
        if log.as_ref().is_some_and(|log| log.log_level >= level) {
            let mut buffer = [const { MaybeUninit::uninit() }; ngx::log::LOG_BUFFER_SIZE];
            let line = ngx::log::write_fmt(&mut buffer, format_args!("{line}"));
            ngx::log::log_error(level, log, 0, line);
        }
    }
}

/// From which level on these logs have lines: that of the one with the most. `first` is as for
/// [`write`]; the others follow it.
pub(crate) fn level(first: *mut ngx_log_t) -> LogLevel {
    // SAFETY: as in `write`.
    let first = unsafe { first.as_ref() };
    let all = core::iter::successors(first, |log| pointers::next_log(log));
    LogLevel::of(all.map(|log| log.log_level).max().unwrap_or(0))
}

/// nginx's number for this level.
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
