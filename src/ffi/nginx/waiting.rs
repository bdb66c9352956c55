//! Letting a request wait, and having it go on.

use nginx_sys::{
    ngx_event_t, ngx_http_block_reading, ngx_http_core_run_phases, ngx_http_test_reading,
    ngx_int_t, ngx_msec_t, NGX_OK,
};

use super::callbacks::on_request;
use super::event::Event;
use super::flags::{event, Flag};
use super::posting::{Post, LONGEST_TIMER};
use super::request::Request;
use super::{functions, pointers, Failed};

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
        self.start_timer(longest);
        let (rev, wev) = self.events()?;
        if event::ERROR.is_set(&wev) {
            wev.post(Post::Now);
        }
        if event::READY.is_set(&rev) {
            // The client may have closed in the very event that brought the request.
            rev.post(Post::Now);
            return Ok(());
        }
        self.rearm_read()
    }

    /// From now on the request waits for at most so many milliseconds.
    pub(crate) fn start_timer(self, longest: ngx_msec_t) {
        if let Ok((_, wev)) = self.events() {
            wev.update(|wev| event::DELAYED.set(wev));
            functions::add_timer(wev, longest.min(LONGEST_TIMER));
        }
    }

    /// The request waits no longer: no timer calls its handler any more.
    pub(crate) fn stop_timer(self) {
        if let Ok((_, wev)) = self.events() {
            wev.update(|wev| {
                event::DELAYED.clear(wev);
                event::TIMEDOUT.clear(wev);
            });
            functions::del_timer(wev);
        }
    }

    /// Whether the time of a request that waits is not over.
    pub(crate) fn is_waiting(self) -> bool {
        self.writes(&event::DELAYED)
    }

    /// Whether the client wants no answer any more. Over HTTP/3 it says so on the side that nginx
    /// writes to.
    pub(crate) fn has_write_error(self) -> bool {
        self.writes(&event::ERROR)
    }

    /// Whether nginx may write to the client.
    pub(crate) fn is_writable(self) -> bool {
        self.writes(&event::READY)
    }

    fn writes(self, flag: &Flag<ngx_event_t>) -> bool {
        self.events().is_ok_and(|(_, wev)| flag.is_set(&wev))
    }

    /// nginx is to tell again when it may write to the client.
    pub(crate) fn rearm_write(self) -> Result<(), Failed> {
        match functions::ngx_handle_write_event(self.events()?.1, 0) as u32 {
            NGX_OK => Ok(()),
            _ => Err(Failed),
        }
    }

    /// nginx reads on from a client that it had stopped reading from.
    pub(crate) fn rearm_read(self) -> Result<(), Failed> {
        match functions::ngx_handle_read_event(self.events()?.0, 0) as u32 {
            NGX_OK => Ok(()),
            _ => Err(Failed),
        }
    }

    /// A request that waits has its handler called within this call, which may end it and others: nginx
    /// sets the log's request, and runs what the request posts.
    pub(crate) fn wake(self) {
        self.stop_timer();
        if let Ok((_, wev)) = self.events() {
            functions::handle(wev);
        }
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

    /// Over HTTP/2 nginx takes a body in an event that it posts, however long that body has been there:
    /// does that now, within this call, which may end the request.
    pub(crate) fn read_if_posted(self) {
        if let Ok((rev, _)) = self.events() {
            rev.handle_if_posted();
        }
    }

    /// The events of its connection: nginx reads by the first, and writes by the second.
    fn events(self) -> Result<(Event, Event), Failed> {
        let connection = pointers::connection(&self).ok_or(Failed)?;
        Ok((Event::read(connection)?, Event::write(connection)?))
    }
}
