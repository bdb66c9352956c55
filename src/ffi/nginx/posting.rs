//! Posting events: they happen soon, without a timer.

use nginx_sys::ngx_msec_t;

use super::event::Event;
use super::flags::event;
use super::functions;

/// In ms: a day. nginx waits for its next timer for an `int` of ms: a longer time may be too long for
/// that.
pub(crate) const LONGEST_TIMER: ngx_msec_t = 24 * 60 * 60 * 1000;

/// When a posted event happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Post {
    /// In this turn of the event loop.
    Now,
    /// In the next turn of the event loop, for which nginx then does not wait.
    NextTurn,
}

impl Event {
    /// Makes the event happen, unless it is posted already.
    pub(crate) fn post(self, when: Post) {
        match when {
            Post::Now => functions::post_now(self),
            Post::NextTurn => functions::post_next(self),
        }
    }

    /// If the event is posted, makes it happen now, within this call.
    pub(crate) fn handle_if_posted(self) {
        if event::POSTED.is_set(&self) {
            functions::delete_posted(self);
            functions::handle(self);
        }
    }
}
