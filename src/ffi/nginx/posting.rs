//! Making events happen.

use nginx_sys::ngx_msec_t;

use super::event::Event;
use super::flags::event;
use super::functions;

/// nginx waits for its next timer by an `int` of milliseconds: no timer of ours is longer than a day.
pub(crate) const LONGEST_TIMER: ngx_msec_t = 24 * 60 * 60 * 1000;

/// When a posted event happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Post {
    /// Before the event loop turns.
    Now,
    /// When the event loop has turned, without a wait.
    NextTurn,
}

impl Event {
    /// It happens soon, unless it is posted already.
    pub(crate) fn post(self, when: Post) {
        match when {
            Post::Now => functions::post_now(self),
            Post::NextTurn => functions::post_next(self),
        }
    }

    /// It happens within this call if it was posted.
    pub(crate) fn handle_if_posted(self) {
        if event::POSTED.is_set(&self) {
            functions::delete_posted(self);
            functions::handle(self);
        }
    }
}
