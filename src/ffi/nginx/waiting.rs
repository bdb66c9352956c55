//! Letting a request wait, and having it go on.

use nginx_sys::{
    ngx_event_t, ngx_http_block_reading, ngx_http_core_run_phases, ngx_http_test_reading,
    ngx_int_t, ngx_msec_t, NGX_OK,
};

use super::callbacks::on_request;
use super::event::{self, Post};
use super::request::Request;
use super::{flags, functions, Failed};

impl Request {
    /// Lets it wait, as nginx's limit_req does, for at most so many milliseconds. `on_write` is called
    /// then, and whenever [`Request::wake`] is, and for no reason at all. A client that closes its
    /// connection ends the request.
    pub(crate) fn suspend(
        self,
        on_write: extern "C" fn(Request),
        longest: ngx_msec_t,
    ) -> Result<(), Failed> {
        self.update(|r| {
            r.read_event_handler = Some(ngx_http_test_reading);
            r.write_event_handler = on_request(on_write);
        });
        let (rev, wev) = self.events();
        self.start_timer(longest);
        if flags::event::ERROR.is_set(wev) {
            event::post(wev, Post::Now);
        }
        if flags::event::READY.is_set(rev) {
            // The client may have closed in the very event that brought the request.
            event::post(rev, Post::Now);
        } else if functions::ngx_handle_read_event(rev, 0) != NGX_OK as ngx_int_t {
            return Err(Failed);
        }
        Ok(())
    }

    /// From now on the request waits for at most so many milliseconds.
    pub(crate) fn start_timer(self, longest: ngx_msec_t) {
        let (_, wev) = self.events();
        flags::event::DELAYED.set(wev);
        event::start_timer(wev, longest.min(event::LONGEST_TIMER));
    }

    /// The time of a request that waits is not over.
    pub(crate) fn is_waiting(self) -> bool {
        flags::event::DELAYED.is_set(self.events().1)
    }

    /// Whether the client wants no answer any more. Over HTTP/3 it says so on the side that nginx
    /// writes to.
    pub(crate) fn has_write_error(self) -> bool {
        flags::event::ERROR.is_set(self.events().1)
    }

    /// Whether nginx may write to the client.
    pub(crate) fn is_writable(self) -> bool {
        flags::event::READY.is_set(self.events().1)
    }

    /// nginx is to tell again when it may write to the client.
    pub(crate) fn rearm_write(self) -> Result<(), Failed> {
        match functions::ngx_handle_write_event(self.events().1, 0) as u32 {
            NGX_OK => Ok(()),
            _ => Err(Failed),
        }
    }

    /// The request waits no longer: no timer calls its handler any more.
    pub(crate) fn stop_timer(self) {
        let (_, wev) = self.events();
        flags::event::DELAYED.clear(wev);
        flags::event::TIMEDOUT.clear(wev);
        event::stop_timer(wev);
    }

    /// A request that waits has its handler called within this call, which may end it and others: nginx
    /// sets the log's request, and runs what the request posts.
    pub(crate) fn wake(self) {
        self.stop_timer();
        let wev: *mut ngx_event_t = self.events().1;
        // SAFETY: the event of a live request.
        unsafe { event::handle(wev) };
    }

    /// As [`Request::wake`], with another handler than it was suspended with.
    pub(crate) fn wake_to(self, handler: extern "C" fn(Request)) {
        self.update(|r| r.write_event_handler = on_request(handler));
        self.wake();
    }

    /// The phases go on where they stand, within this call, which may end the request.
    pub(crate) fn run_phases(self) {
        self.update(|r| {
            r.read_event_handler = Some(ngx_http_block_reading);
            r.write_event_handler = Some(ngx_http_core_run_phases);
        });
        functions::ngx_http_core_run_phases(self);
    }

    /// Ends the request with what a handler returns, within this call.
    pub(crate) fn finalize(self, code: ngx_int_t) {
        self.update(|r| r.read_event_handler = Some(ngx_http_block_reading));
        functions::ngx_http_finalize_request(self, code);
    }

    /// nginx reads on from a client that it had stopped reading from.
    pub(crate) fn rearm_read(self) -> Result<(), Failed> {
        match functions::ngx_handle_read_event(self.events().0, 0) as u32 {
            NGX_OK => Ok(()),
            _ => Err(Failed),
        }
    }

    /// Over HTTP/2 nginx takes a body in an event that it posts, however long that body has been there:
    /// does that now, within this call, which may end the request.
    pub(crate) fn read_if_posted(self) {
        let (rev, _) = self.events();
        if event::unpost(rev) {
            let rev: *mut ngx_event_t = rev;
            // SAFETY: the event of a live request.
            unsafe { event::handle(rev) };
        }
    }
}
