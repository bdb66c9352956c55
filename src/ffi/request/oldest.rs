//! Tells an operator which of this worker's requests have been in flight longest, and what they wait
//! for.

use nginx_sys::ngx_http_upstream_t;

use super::mark::{InFlightAs, Mark};
use crate::ffi::nginx::flags::{self, request};
use crate::ffi::nginx::{body, pointers};
use crate::ffi::worker::this_worker::ThisWorker;
use crate::ids::{AppId, Epoch, WorkerId};
use crate::shared::oldest::{Told, WaitsFor, MAX_TOLD};
use crate::text::{Address, Text};

/// Answers the question that was asked in this epoch. `in_flight` gives the oldest first.
pub(crate) fn tell(
    this: &ThisWorker,
    asked: Epoch,
    in_flight: impl Iterator<Item = &'static Mark>,
) {
    let mut told: Vec<(AppId, Told)> = Vec::new();
    let mut counts = vec![0; this.zone.max_apps()];
    for mark in in_flight {
        let InFlightAs::InFlight(app) = mark.in_flight_as.get() else { continue };
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
    let r = &mark.r();
    Told {
        owner,
        waits_for: waits_for(mark),
        since: mark.passed_on_at.get(),
        method: Text::front_of(r.method_name.as_bytes()),
        uri: Text::front_of(r.unparsed_uri.as_bytes()),
        client: Address::front_of(r.address()),
    }
}

fn waits_for(mark: &Mark) -> WaitsFor {
    if body::is_on_its_way(&mark.r()) {
        return WaitsFor::ClientsBody;
    }
    let header_sent = request::HEADER_SENT.is_set(&mark.r());
    match mark.upstream() {
        None if header_sent => WaitsFor::Client,
        None => WaitsFor::Nginx,
        Some(upstream) if upstream.cleanup.is_null() => WaitsFor::Nginx,
        Some(upstream) if header_sent => {
            if client_is_full(mark, upstream) {
                WaitsFor::Client
            } else {
                WaitsFor::App
            }
        }
        Some(upstream) => match pointers::upstream_connection(upstream) {
            Some(connection) if connection.sent > 0 => WaitsFor::App,
            _ => WaitsFor::Connection,
        },
    }
}

/// Whether nginx does not read from the upstream because the client does not take what it has read.
fn client_is_full(mark: &Mark, upstream: &ngx_http_upstream_t) -> bool {
    let blocked =
        pointers::pipe(upstream).is_some_and(|pipe| flags::pipe::UPSTREAM_BLOCKED.is_set(pipe));
    !mark.r().is_writable() && (!flags::upstream::BUFFERING.is_set(upstream) || blocked)
}
