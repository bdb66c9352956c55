//! Requests that no pause holds, and what nginx answers them while the app cannot be reached.

use nginx_sys::ngx_http_request_t;

use crate::ffi::nginx::log::{cycle_log, write, Level};
use crate::ffi::request::failed::failed;
use crate::ffi::request::mark::Mark;
use crate::ffi::worker::workers::ThisWorker;
use crate::ffi::worker::zone::Named;
use crate::ids::NameHash;
use crate::text::AppName;

/// A request that went by is finished. That it failed while its app is not open is told, at most once
/// a second: nginx may take the app's servers for dead, and the release find none.
pub(crate) fn finished(this: &ThisWorker, mark: &Mark, r: &ngx_http_request_t) {
    if this.zone.signals().all_open() || !failed(r) {
        return;
    }
    let Ok(name) = AppName::new(mark.app_name()) else { return };
    let app = this.zone.signals().find(NameHash::of(name.as_bytes()));
    let report = app.and_then(|app| this.zone.visit(|zone| zone.bypass_failed(app, &name)));
    if let Some(count) = report {
        let line = format_args!(
            "intermission: {}: {count} bypassed and failed while it is not open: nginx may take \
             its servers for dead (\"max_fails\") when they are back; see \
             \"intermission_health_check\"",
            Named(&name)
        );
        write(Level::Warn, cycle_log(), line);
    }
}
