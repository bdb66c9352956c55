//! What nginx keeps for the whole process: its cycle, its clock, and what it knows of this process.

use core::ffi::CStr;
use core::ptr;

use nginx_sys::{
    ngx_core_conf_t, ngx_cycle_t, ngx_event_conf_t, ngx_log_t, ngx_pid_t, ngx_uint_t,
    NGX_PROCESS_HELPER,
};

use crate::time::{Msec, Now};

/// The cycle that this process runs on. While nginx makes a cycle it is the one before that. None before
/// nginx has any.
#[inline]
pub(crate) fn running() -> Option<&'static ngx_cycle_t> {
    // SAFETY: null, or a cycle. nginx frees one when it sets the next one, and calls nothing in
    // between that asks for it. Nothing of ours keeps the reference over a reload.
    unsafe { nginx_sys::ngx_cycle.cast_const().as_ref() }
}

/// The log of that cycle; null before nginx has any.
#[inline]
pub(crate) fn log() -> *mut ngx_log_t {
    running().map_or(ptr::null_mut(), |cycle| cycle.log)
}

/// nginx's cached time on both clocks.
#[inline]
pub(crate) fn now() -> Now {
    // SAFETY: nginx sets its clock before it loads any module, and updates it on this thread only.
    unsafe {
        let time = &*nginx_sys::ngx_cached_time;
        let wall = u64::try_from(time.sec).unwrap_or(0) * 1000 + u64::from(time.msec as u16);
        Now { monotonic: Msec(nginx_sys::ngx_current_msec as u64), wall: Msec(wall) }
    }
}

/// What nginx knows of this process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ThisProcess {
    pub pid: ngx_pid_t,
    /// The process that forked it. That one may have ended.
    pub parent: ngx_pid_t,
    /// Whether it only tests the configuration (`nginx -t`).
    pub only_tests: bool,
    /// Whether it is a cache manager or a cache loader: these serve no requests.
    pub is_helper: bool,
    /// Whether it was told to leave when its requests are done.
    pub is_leaving: bool,
    /// The descriptor of the channel from the master; 0 if nginx runs without a master.
    pub channel: core::ffi::c_int,
    /// How many processors there are.
    pub processors: ngx_pid_t,
}

/// What nginx knows of this process now.
pub(crate) fn process() -> ThisProcess {
    // SAFETY: numbers that nginx sets on this thread, or in a signal handler that interrupts it.
    unsafe {
        ThisProcess {
            pid: nginx_sys::ngx_pid,
            parent: nginx_sys::ngx_parent,
            only_tests: nginx_sys::ngx_test_config != 0,
            is_helper: nginx_sys::ngx_process == NGX_PROCESS_HELPER as ngx_uint_t,
            is_leaving: nginx_sys::ngx_quit != 0 || nginx_sys::ngx_exiting != 0,
            channel: nginx_sys::ngx_channel,
            processors: nginx_sys::ngx_ncpu as ngx_pid_t,
        }
    }
}

/// How many connections this worker has, and how many of them a new client can have: free ones, and
/// those of idle clients, which nginx closes for a new one.
pub(crate) fn connections() -> (usize, usize) {
    running().map_or((0, 0), |cycle| {
        (cycle.connection_n, cycle.free_connection_n + cycle.reusable_connections_n)
    })
}

/// What the configuration says outside of all blocks.
pub(crate) fn core_conf(cycle: &ngx_cycle_t) -> &ngx_core_conf_t {
    // SAFETY: nginx makes the core module's configuration for each cycle, before it reads any directive.
    unsafe { &*cycle.conf_ctx.add(nginx_sys::ngx_core_module.index).read().cast() }
}

/// The event method that the configuration uses, such as `epoll`.
pub(crate) fn event_method(cycle: &ngx_cycle_t) -> &[u8] {
    // SAFETY: nginx refuses a configuration without an `events` block. With one it makes the event
    // core's configuration, and gives it the name of a method before it makes the zones.
    unsafe {
        let events = cycle.conf_ctx.add(nginx_sys::ngx_events_module.index).read();
        let table = events.read().cast::<*mut ngx_event_conf_t>();
        let conf = table.add(nginx_sys::ngx_event_core_module.ctx_index).read();
        CStr::from_ptr((*conf).name.cast()).to_bytes()
    }
}
