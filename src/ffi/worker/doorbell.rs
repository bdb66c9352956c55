//! Waking workers, from any worker, without polling.
//!
//! A doorbell is an eventfd that the master makes before it forks, so that its number means the
//! same to all workers, those of earlier and later reloads included. It is watched edge-triggered
//! and never read: every ring wakes whoever watches it. A few bells are shared by all workers:
//! ringing one wakes one in as many.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use nginx_sys::{
    ngx_close_connection, ngx_connection_t, ngx_event_actions, ngx_event_t, ngx_get_connection,
    ngx_int_t, ngx_uint_t, NGX_OK,
};

use crate::ffi::module::Failed;
use crate::ffi::nginx::flags::{connection, event, NGX_CLEAR_EVENT, NGX_READ_EVENT};
use crate::ffi::nginx::log::cycle_log;
use crate::ffi::request::release;
use crate::ffi::worker::workers;
use crate::ffi::worker::zone::SharedZone;
use crate::ids::WorkerId;
use crate::zone::Wake;

const COUNT: usize = 16;

/// The doorbells' file descriptors. All zero: none were made.
#[repr(C)]
pub(crate) struct Bells([RawFd; COUNT]);

/// The doorbells while they are open: the master's, and so everybody's whom it forks.
#[derive(Debug)]
pub(crate) struct OpenBells([OwnedFd; COUNT]);

impl OpenBells {
    /// Makes them.
    pub(crate) fn new() -> io::Result<Self> {
        let mut made = Vec::with_capacity(COUNT);
        for _ in 0..COUNT {
            // SAFETY: no pointers; a descriptor that is not negative is ours.
            made.push(unsafe {
                match libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) {
                    fd if fd >= 0 => OwnedFd::from_raw_fd(fd),
                    _ => return Err(io::Error::last_os_error()),
                }
            });
        }
        made.try_into().map(Self).map_err(|_| io::Error::other("too few"))
    }

    /// Their numbers, for the zone.
    pub(crate) fn numbers(&self) -> Bells {
        Bells(self.0.each_ref().map(AsRawFd::as_raw_fd))
    }
}

impl Bells {
    fn of(&self, worker: WorkerId) -> RawFd {
        self.0.get(number(worker)).copied().unwrap_or(-1)
    }
}

/// Wakes those who may have become able to release; this worker too, if it is one of them.
pub(crate) fn wake(zone: &SharedZone, whom: Wake) {
    match whom {
        Wake::Nobody => {}
        Wake::One(worker) if workers::is_this(worker) => release::schedule_next(),
        Wake::One(worker) => ring(zone.bells().of(worker)),
        Wake::All => zone.bells().0.iter().for_each(|bell| ring(*bell)),
    }
}

/// A worker's doorbell.
pub(crate) fn bell_of(zone: &SharedZone, worker: WorkerId) -> RawFd {
    zone.bells().of(worker)
}

/// Wakes the workers whose doorbell this is; any thread may.
pub(crate) fn ring(bell: RawFd) {
    let one = 1_u64;
    // SAFETY: eight bytes, as an eventfd takes. It fails only when the counter is full, and what
    // filled it has woken everybody.
    unsafe { libc::write(bell, (&raw const one).cast(), size_of::<u64>()) };
}

/// Which of the bells is a worker's.
pub(crate) fn number(worker: WorkerId) -> usize {
    worker.index() % COUNT
}

/// Adds this worker's bell to its event loop.
pub(crate) fn listen(zone: &SharedZone, worker: WorkerId) -> Result<(), Failed> {
    let log = cycle_log();
    // SAFETY: in init_process the event loop is ready; the connection is ours until the end.
    unsafe {
        let c = ngx_get_connection(zone.bells().of(worker), log);
        let connection = c.as_mut().ok_or(Failed)?;
        let (rev, wev) = (&mut *connection.read, &mut *connection.write);
        rev.log = log;
        wev.log = log;
        // Not a client's: nginx does not look for it when the worker leaves.
        event::CHANNEL.set(rev);
        event::CHANNEL.set(wev);
        // Idle: nginx calls its handler, with `close` set, when the worker is told to leave.
        connection::IDLE.set(connection);
        rev.handler = Some(on_ring);
        let add = ngx_event_actions.add.ok_or(Failed)?;
        if add(rev, NGX_READ_EVENT as ngx_int_t, NGX_CLEAR_EVENT as ngx_uint_t)
            != NGX_OK as ngx_int_t
        {
            give_up(c);
            return Err(Failed);
        }
    }
    Ok(())
}

/// # Safety
/// The connection is live, and its descriptor must stay open: it is everybody's.
unsafe fn give_up(c: *mut ngx_connection_t) {
    // SAFETY: the caller's.
    unsafe {
        (*c).fd = libc::dup((*c).fd);
        ngx_close_connection(c);
    }
}

extern "C" fn on_ring(rev: *mut ngx_event_t) {
    // SAFETY: the doorbell's own event, whose data is its connection.
    let connection = unsafe { &mut *(*rev).data.cast::<ngx_connection_t>() };
    if connection::CLOSE.is_set(connection) {
        connection::CLOSE.clear(connection);
        workers::on_leaving();
    }
    workers::on_ring();
}
