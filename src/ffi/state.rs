//! The state file. The master opens it; the workers, who may not, inherit it open.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nginx_sys::ngx_log_t;

use super::disk::{self, Disk};
use super::log::{write, Level};
use super::zone::{now, Named, SharedZone};
use crate::app::{App, State};
use crate::state::health::Problem;
use crate::state::{self, Saved, Snapshot, Unusable, Written};

/// The state file of a configuration.
#[derive(Debug)]
pub(super) struct StateFile {
    disk: Result<Arc<Disk>, Problem>,
    path: PathBuf,
    /// The kernel's name for the machine's start.
    boot: Arc<str>,
}

impl StateFile {
    /// Opens the file, or makes it, and restores what it says into a zone that is new. Whatever is
    /// wrong with it is logged.
    pub(super) fn open(path: &[u8], zone: &SharedZone, restore: bool, log: *mut ngx_log_t) -> Self {
        let path = disk::path(path);
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let boot: Arc<str> = boot.trim().into();
        let disk = Disk::open(path).and_then(|disk| {
            match state::newest(&disk.read()?) {
                Ok((_, snapshot)) => {
                    zone.visit(|zone| zone.pauses_seen(snapshot.pauses));
                    if restore {
                        restore_into(zone, path, &snapshot, &boot, log);
                    }
                }
                Err(Unusable::Foreign) => return Err(Problem::Foreign),
                Err(Unusable::Broken) => {
                    complain(path, log, format_args!("{}", Unusable::Broken));
                }
            }
            Ok(Arc::new(disk))
        });
        if let Err(problem) = &disk {
            complain(path, log, format_args!("{problem}"));
        }
        Self { disk, path: path.into(), boot }
    }

    /// Says what is wrong with the file, if there is one already.
    pub(super) fn test(path: &[u8], log: *mut ngx_log_t) {
        let path = disk::path(path);
        if let Err(problem) = disk::exists(path) {
            complain(path, log, format_args!("{problem}"));
        }
    }

    /// Writes the pauses as they are now; they are on the disk when it returns. A failure is
    /// logged, and the pauses go on in memory.
    pub(super) fn save(&self, zone: &SharedZone, log: *mut ngx_log_t) {
        let Ok(disk) = &self.disk else { return };
        if let Err(problem) = disk.write(|| self.snapshot(zone)) {
            complain(&self.path, log, format_args!("{problem}"));
        }
    }

    fn snapshot(&self, zone: &SharedZone) -> Snapshot {
        let mut apps: Vec<App> = Vec::with_capacity(zone.most_apps());
        let (pauses, now) = zone.visit(|zone| {
            apps.extend(zone.apps.iter().filter(|app| app.is_shut()));
            (zone.pauses(), zone.now)
        });
        let saved = apps.iter().filter_map(|app| Saved::of(app, now)).collect();
        Snapshot { pauses, written: Written::at(now, &self.boot), saved }
    }
}

fn restore_into(
    zone: &SharedZone,
    path: &Path,
    snapshot: &Snapshot,
    boot: &str,
    log: *mut ngx_log_t,
) {
    let age = snapshot.written.age(now(), boot);
    for saved in &snapshot.saved {
        let Some(app) = saved.restore(age, now()) else {
            let line = format_args!(
                "intermission: {}: its lease ended before nginx started: open",
                Named(&saved.name())
            );
            write(Level::Notice, log, line);
            continue;
        };
        let (name, pause, state) = (app.name().copied(), app.pause(), app.state());
        let room = zone.visit(|zone| zone.restore(app));
        let name = name.unwrap_or_default();
        match room {
            Some(_) => {
                let what = if state == State::Stopped { "stopped" } else { "paused" };
                let path = path.as_os_str().as_bytes().escape_ascii();
                let line = format_args!(
                    "intermission: {}: still {what}, pause {}, restored from \"{path}\"",
                    Named(&name),
                    pause.0,
                );
                write(Level::Notice, log, line);
            }
            None => {
                let line = format_args!(
                    "intermission: {}: the table of apps is full: not restored",
                    Named(&name)
                );
                write(Level::Error, log, line);
            }
        }
    }
}

fn complain(path: &Path, log: *mut ngx_log_t, problem: core::fmt::Arguments<'_>) {
    let path = path.as_os_str().as_bytes().escape_ascii();
    let line = format_args!("intermission: \"intermission_state_file\" \"{path}\" {problem}");
    write(Level::Error, log, line);
}
