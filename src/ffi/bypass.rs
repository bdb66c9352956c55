//! Requests that no pause holds, and what nginx answers them while the app cannot be reached.

use nginx_sys::ngx_http_request_t;

use super::failed::failed;
use super::log::{cycle_log, write, Level};
use super::mark::Mark;
use super::workers::ThisWorker;
use super::zone::Named;
use crate::gates::NameHash;
use crate::text::AppName;

/// A request that went by is finished. That it failed while its app is not open is told, at most once
/// a second: nginx may take the app's servers for dead, and the release find none.
pub(super) fn finished(this: &ThisWorker, mark: &Mark, r: &ngx_http_request_t) {
    if this.zone.gates().all_open() || !failed(r) {
        return;
    }
    let Ok(name) = AppName::new(mark.app_name()) else { return };
    let app = this.zone.gates().find(NameHash::of(name.as_bytes()));
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
