//! Letting a request wait, and letting it go on.

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
    /// Lets the request wait for at most this many ms, as nginx's limit_req does. A client that closes its
    /// connection ends the request.
    ///
    /// `on_write` is called when the time is over, by [`Request::wake`], and at times for no reason.
    /// Within it, [`Request::is_waiting`] is false if the time is over.
    pub(crate) fn suspend(
        self,
        on_write: extern "C" fn(Request),
        longest: ngx_msec_t,
    ) -> Result<(), Failed> {
        let (rev, wev) = self.events()?;
        if event::READY.is_set(&rev) {
            // The event that brought the request may also have brought that the client closed.
            rev.post(Post::Now);
        } else {
            // Nothing has changed if this fails: nginx can still answer.
            self.rearm_read()?;
        }
        self.update(|r| {
            r.read_event_handler = Some(ngx_http_test_reading);
            r.write_event_handler = on_request(on_write);
        });
        self.start_timer(longest);
        if event::ERROR.is_set(&wev) {
            wev.post(Post::Now);
        }
        Ok(())
    }

    /// From now on the request waits for at most this many ms, and never longer than a day.
    pub(crate) fn start_timer(self, longest: ngx_msec_t) {
        if let Ok((_, wev)) = self.events() {
            wev.update(|wev| event::DELAYED.set(wev));
            functions::add_timer(wev, longest.min(LONGEST_TIMER));
        }
    }

    /// The request waits no longer: stops its timer.
    pub(crate) fn stop_timer(self) {
        if let Ok((_, wev)) = self.events() {
            wev.update(|wev| {
                event::DELAYED.clear(wev);
                event::TIMEDOUT.clear(wev);
            });
            functions::del_timer(wev);
        }
    }

    /// Whether the request waits, and its time is not over.
    pub(crate) fn is_waiting(self) -> bool {
        self.write_event_has(&event::DELAYED)
    }

    /// Whether nginx cannot write to the client any more. Over HTTP/3 only this tells that the client
    /// wants no answer.
    pub(crate) fn has_write_error(self) -> bool {
        self.write_event_has(&event::ERROR)
    }

    /// Whether nginx can write to the client at this moment.
    pub(crate) fn is_writable(self) -> bool {
        self.write_event_has(&event::READY)
    }

    /// Whether the event by which nginx writes has this flag.
    fn write_event_has(self, flag: &Flag<ngx_event_t>) -> bool {
        self.events().is_ok_and(|(_, wev)| flag.is_set(&wev))
    }

    /// Asks nginx to call the write event's handler when it can write to the client.
    pub(crate) fn rearm_write(self) -> Result<(), Failed> {
        match functions::ngx_handle_write_event(self.events()?.1, 0) as u32 {
            NGX_OK => Ok(()),
            _ => Err(Failed),
        }
    }

    /// Asks nginx to call the read event's handler when the client sends something.
    pub(crate) fn rearm_read(self) -> Result<(), Failed> {
        match functions::ngx_handle_read_event(self.events()?.0, 0) as u32 {
            NGX_OK => Ok(()),
            _ => Err(Failed),
        }
    }

    /// Calls the handler of a request that waits, within this call, which may end this request and
    /// others. The event's own handler calls it: so nginx sets the log's request, and runs posted
    /// subrequests.
    pub(crate) fn wake(self) {
        self.stop_timer();
        if let Ok((_, wev)) = self.events() {
            functions::handle(wev);
        }
    }

    /// As [`Request::wake`], but calls this handler instead of the one that [`Request::suspend`] got.
    pub(crate) fn wake_to(self, handler: extern "C" fn(Request)) {
        self.update(|r| r.write_event_handler = on_request(handler));
        self.wake();
    }

    /// Lets the phases go on where they stand, within this call, which may end the request.
    pub(crate) fn run_phases(self) {
        self.update(|r| {
            r.read_event_handler = Some(ngx_http_block_reading);
            r.write_event_handler = Some(ngx_http_core_run_phases);
        });
        functions::ngx_http_core_run_phases(self);
    }

    /// Finalizes the request with what a phase handler may return, within this call, which may end it.
    pub(crate) fn finalize(self, code: ngx_int_t) {
        self.update(|r| r.read_event_handler = Some(ngx_http_block_reading));
        functions::ngx_http_finalize_request(self, code);
    }

    /// Over HTTP/2 nginx takes a request's body in an event that it posts, even if all of the body is
    /// there. Makes that event happen now, within this call, which may end the request.
    pub(crate) fn read_if_posted(self) {
        if let Ok((rev, _)) = self.events() {
            rev.handle_if_posted();
        }
    }

    /// The events of its connection: the one by which nginx reads, and the one by which it writes.
    fn events(self) -> Result<(Event, Event), Failed> {
        let connection = pointers::connection(&self).ok_or(Failed)?;
        Ok((Event::read(connection)?, Event::write(connection)?))
    }
}
