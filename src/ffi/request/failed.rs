//! Released requests that nginx itself answered with 502, 503 or 504: counted, and logged once a second.

use nginx_sys::{
    ngx_http_request_t, ngx_http_upstream_t, ngx_msec_t, ngx_uint_t, NGX_HTTP_BAD_GATEWAY,
    NGX_HTTP_GATEWAY_TIME_OUT, NGX_HTTP_SERVICE_UNAVAILABLE,
};

use crate::ffi::nginx::cycle;
use crate::ffi::nginx::flags::request;
use crate::ffi::nginx::log::write;
use crate::ffi::nginx::timer::Timer;
use crate::ffi::nginx::{attempts, pointers};
use crate::ffi::request::mark::Mark;
use crate::ffi::worker::this_worker::ThisWorker;
use crate::log_lines::requests::RequestEvent;
use crate::log_lines::About;
use crate::text::AppName;
use crate::zone::Release;

/// Requests that no line has reported are reported after this many ms.
const TELLING_INTERVAL: ngx_msec_t = 1000;

static TIMER: Timer = Timer::new(on_timer);

/// Whether nginx itself answered with 502, 503 or 504. This goes by `$status`: not if the app's answer has
/// that status, and not if `error_page` gave another one.
pub(crate) fn failed(r: &ngx_http_request_t) -> bool {
    let (error, status) = (r.err_status, r.headers_out.status);
    let upstream = pointers::upstream(r);
    let status = if error == 0 || is_failed_post_action(r, upstream) { status } else { error };
    let unreached = [NGX_HTTP_BAD_GATEWAY, NGX_HTTP_SERVICE_UNAVAILABLE, NGX_HTTP_GATEWAY_TIME_OUT];
    unreached.iter().any(|one| *one as ngx_uint_t == status)
        && !upstream.is_some_and(|upstream| app_said(upstream, status))
}

/// Whether the request's error is that of its `post_action`, which no client sees.
fn is_failed_post_action(r: &ngx_http_request_t, upstream: Option<&ngx_http_upstream_t>) -> bool {
    let last = upstream.and_then(pointers::attempt);
    request::POST_ACTION.is_set(r) && last.is_some_and(|last| !attempts::is_answered(last))
}

/// Whether the app that was asked last answered with this status.
fn app_said(upstream: &ngx_http_upstream_t, status: ngx_uint_t) -> bool {
    match pointers::attempt(upstream) {
        // The upstream's own header may still be that of the attempt before.
        Some(last) => attempts::is_answered(last) && last.status == status,
        None => upstream.headers_in.status_n == status,
    }
}

/// A released request is finished: if it failed, that is counted.
pub(crate) fn count_if_failed(this: &ThisWorker, mark: &Mark) {
    if !failed(&mark.r()) {
        return;
    }
    let Ok(name) = AppName::new(mark.app_name()) else { return };
    let by = mark.hold().map_or(Release::NONE, |hold| hold.released_by.get());
    match this.zone.visit(|zone| zone.failed(&name, by)) {
        Some(count) => tell(&name, count),
        None => TIMER.start(TELLING_INTERVAL),
    }
}

/// A line may be due.
fn on_timer() {
    let Some(this) = ThisWorker::current() else { return };
    while let Some((name, count)) = this.zone.visit(|zone| zone.failures_due()) {
        tell(&name, count);
    }
    if this.zone.visit(|zone| zone.any_unreported_failures()) {
        TIMER.start(TELLING_INTERVAL);
    }
}

/// This worker ends, and its timer with it: reports what no line has reported.
pub(crate) fn tell_rest(this: &ThisWorker) {
    while let Some((name, count)) = this.zone.visit(|zone| zone.take_unreported_failures()) {
        tell(&name, count);
    }
}

fn tell(name: &AppName, count: u32) {
    write(cycle::log(), &About(name, RequestEvent::ReleasedFailed { count }));
}
