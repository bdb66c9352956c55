//! What nginx keeps for the whole process: its cycle, its clock, what it was told.

use core::ffi::CStr;
use core::ptr;

use nginx_sys::{
    ngx_core_conf_t, ngx_cycle_t, ngx_event_conf_t, ngx_log_t, ngx_pid_t, ngx_uint_t,
    NGX_PROCESS_HELPER,
};

use crate::time::{Msec, Now};

/// The cycle that this process runs on; while a configuration is read, the one before it. None
/// before nginx has made one.
#[inline]
pub(crate) fn running() -> Option<&'static ngx_cycle_t> {
    // SAFETY: nginx sets it before it loads any module, and frees none that a process may run on.
    unsafe { nginx_sys::ngx_cycle.cast_const().as_ref() }
}

/// The log of that cycle; null before nginx has made one.
#[inline]
pub(crate) fn log() -> *mut ngx_log_t {
    running().map_or(ptr::null_mut(), |cycle| cycle.log)
}

/// nginx's cached time on both clocks.
#[inline]
pub(crate) fn now() -> Now {
    // SAFETY: nginx sets both before anything else, and updates them on this thread only.
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
    /// The one that forked it, as it was then.
    pub parent: ngx_pid_t,
    /// Whether it only tests a configuration.
    pub tests: bool,
    /// Whether it is a cache manager or loader, which serves nobody.
    pub helps: bool,
    /// Whether it was told to leave when its requests are done.
    pub leaves: bool,
    /// The descriptor of the channel from the master; -1 if there is none.
    pub channel: core::ffi::c_int,
    /// How many processors there are.
    pub processors: ngx_pid_t,
}

/// As it is now.
pub(crate) fn process() -> ThisProcess {
    // SAFETY: plain values, which nginx sets on this thread or in a signal's handler.
    unsafe {
        ThisProcess {
            pid: nginx_sys::ngx_pid,
            parent: nginx_sys::ngx_parent,
            tests: nginx_sys::ngx_test_config != 0,
            helps: nginx_sys::ngx_process == NGX_PROCESS_HELPER as ngx_uint_t,
            leaves: nginx_sys::ngx_quit != 0 || nginx_sys::ngx_exiting != 0,
            channel: nginx_sys::ngx_channel,
            processors: nginx_sys::ngx_ncpu as ngx_pid_t,
        }
    }
}

/// How many connections this worker has, and how many of them are free, or are as good as that: nginx
/// closes idle clients for a newcomer.
pub(crate) fn connections() -> (usize, usize) {
    running().map_or((0, 0), |cycle| {
        (cycle.connection_n, cycle.free_connection_n + cycle.reusable_connections_n)
    })
}

/// What the configuration says outside of any block.
pub(crate) fn core_conf(cycle: &ngx_cycle_t) -> &ngx_core_conf_t {
    // SAFETY: the core module has a configuration in every cycle.
    unsafe { &*cycle.conf_ctx.add(nginx_sys::ngx_core_module.index).read().cast() }
}

/// The event method that the configuration uses, such as `epoll`.
pub(crate) fn event_method(cycle: &ngx_cycle_t) -> &[u8] {
    // SAFETY: the event core has a configuration in every cycle, with the name of its method.
    unsafe {
        let events = cycle.conf_ctx.add(nginx_sys::ngx_events_module.index).read();
        let table = events.read().cast::<*mut ngx_event_conf_t>();
        let conf = table.add(nginx_sys::ngx_event_core_module.ctx_index).read();
        CStr::from_ptr((*conf).name.cast()).to_bytes()
    }
}
