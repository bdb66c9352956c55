//! Requests that no pause holds, and what nginx answers them while the app cannot be reached.

use crate::ffi::nginx::cycle;
use crate::ffi::nginx::log::write;
use crate::ffi::request::failed::failed;
use crate::ffi::request::mark::Mark;
use crate::ffi::worker::this::ThisWorker;
use crate::ids::NameHash;
use crate::log_lines::requests::RequestEvent;
use crate::log_lines::About;
use crate::text::AppName;

/// A request that went by is finished. That it failed while its app is not open is told, at most once
/// a second: nginx may take the app's servers for dead, and the release find none.
pub(crate) fn finish(this: &ThisWorker, mark: &Mark) {
    if this.zone.signals().all_open() || !failed(&mark.r) {
        return;
    }
    let Ok(name) = AppName::new(mark.app_name()) else { return };
    let app = this.zone.signals().find(NameHash::of(name.as_bytes()));
    let report = app.and_then(|app| this.zone.visit(|zone| zone.bypass_failed(app, &name)));
    if let Some(count) = report {
        write(cycle::log(), &About(&name, RequestEvent::BypassedFailed { count }));
    }
}
