//! Requests that bypassed a pause and that nginx itself answered with 502, 503 or 504: counted, and logged
//! once a second.

use crate::ffi::nginx::cycle;
use crate::ffi::nginx::log::write;
use crate::ffi::request::failed::failed;
use crate::ffi::request::mark::Mark;
use crate::ffi::worker::this_worker::ThisWorker;
use crate::ids::NameHash;
use crate::log_lines::requests::RequestEvent;
use crate::log_lines::About;
use crate::text::AppName;

/// A request that bypassed a pause is finished. If it failed and its app is still not open, that is
/// logged: nginx may put the app's servers out of service, and then released requests fail too.
pub(crate) fn count_if_failed(this: &ThisWorker, mark: &Mark) {
    if this.zone.signals().all_open() || !failed(&mark.r()) {
        return;
    }
    let Ok(name) = AppName::new(mark.app_name()) else { return };
    let app = this.zone.signals().find(NameHash::of(name.as_bytes()));
    let report = app.and_then(|app| this.zone.visit(|zone| zone.bypass_failed(app, &name)));
    if let Some(count) = report {
        write(cycle::log(), &About(&name, RequestEvent::BypassedFailed { count }));
    }
}
