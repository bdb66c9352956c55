//! Which of this worker's requests have been in flight longest, and what they wait for.

use nginx_sys::{ngx_http_request_t, ngx_http_upstream_t};

use crate::ffi::nginx::flags::{self, event, request};
use crate::ffi::request::in_flight::Counted;
use crate::ffi::request::mark::Mark;
use crate::ffi::worker::workers::ThisWorker;
use crate::ids::{AppId, Epoch, WorkerId};
use crate::shared::oldest::{Told, WaitsFor, MAX_TOLD};
use crate::text::{Address, Text};

/// Answers the question that was asked then.
pub(crate) fn tell(this: &ThisWorker, asked: Epoch) {
    let mut told: Vec<(AppId, Told)> = Vec::new();
    let mut counts = vec![0; this.zone.max_apps()];
    // Those that were passed on first come first.
    for mark in this.in_flight.iter() {
        let Counted::InFlight(app) = mark.counted_as.get() else { continue };
        let Some(count) = counts.get_mut(app.index()).filter(|count| **count < MAX_TOLD) else {
            continue;
        };
        *count += 1;
        told.push((app, of(this.id(), mark)));
    }
    if !told.is_empty() {
        this.zone.visit(|zone| zone.tell(asked, &told));
    }
}

fn of(owner: WorkerId, mark: &Mark) -> Told {
    let r = mark.request();
    // SAFETY: a live request's connection.
    let client = unsafe { (*r.connection).addr_text };
    Told {
        owner,
        waits_for: waits_for(r, mark.upstream()),
        since: mark.set_out_at.get(),
        method: Text::front_of(r.method_name.as_bytes()),
        uri: Text::front_of(r.unparsed_uri.as_bytes()),
        client: Address::front_of(client.as_bytes()),
    }
}

fn waits_for(r: &ngx_http_request_t, upstream: Option<&ngx_http_upstream_t>) -> WaitsFor {
    // SAFETY: a live request has a body that is read, or null.
    if unsafe { r.request_body.as_ref() }.is_some_and(|body| body.rest > 0) {
        return WaitsFor::ClientsBody;
    }
    let header_sent = request::HEADER_SENT.is_set(r);
    match upstream {
        None if header_sent => WaitsFor::Client,
        None => WaitsFor::Nginx,
        Some(upstream) if upstream.cleanup.is_null() => WaitsFor::Nginx,
        Some(upstream) if header_sent => {
            if client_is_full(r, upstream) {
                WaitsFor::Client
            } else {
                WaitsFor::App
            }
        }
        // SAFETY: an upstream's connection is live as long as it is there.
        Some(upstream) => match unsafe { upstream.peer.connection.as_ref() } {
            Some(connection) if connection.sent > 0 => WaitsFor::App,
            _ => WaitsFor::Connection,
        },
    }
}

/// Whether the upstream is not read from because the client does not take what was read.
fn client_is_full(r: &ngx_http_request_t, upstream: &ngx_http_upstream_t) -> bool {
    // SAFETY: a live request's connection and its events; a pipe is the request's, or null.
    unsafe {
        let is_ready = event::READY.is_set(&*(*r.connection).write);
        let blocked =
            upstream.pipe.as_ref().is_some_and(|pipe| flags::pipe::UPSTREAM_BLOCKED.is_set(pipe));
        !is_ready && (!flags::upstream::BUFFERING.is_set(upstream) || blocked)
    }
}
