//! The state file of a configuration. The master opens it. Workers have no right to: they inherit it
//! open.

use std::borrow::Cow;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use nginx_sys::ngx_log_t;

use crate::ffi::nginx::cycle::now;
use crate::ffi::nginx::log::write;
use crate::ffi::worker::disk::{self, Disk};
use crate::ffi::worker::writer::Job;
use crate::ffi::worker::zone::SharedZone;
use crate::ids::Token;
use crate::log_lines::state_file::{self as log_lines, FileIs, RestoreEvent};
use crate::log_lines::About;
use crate::saved::{self, Saved, SavedToken, Snapshot, Unusable, Written};
use crate::shared::app::{App, State};
use crate::shared::health::{Health, Problem};

/// How long a start or a reload waits for other processes of this nginx that write the file.
const AT_START: Duration = Duration::from_secs(5);
/// How long a worker's writer waits for them.
const LONGEST: Duration = Duration::from_secs(60);

/// The state file of a configuration.
#[derive(Debug)]
pub(crate) struct StateFile {
    disk: Result<Arc<Disk>, Problem>,
    path: PathBuf,
    /// The kernel's identifier for this start of the machine; empty if it cannot be read.
    boot: Arc<str>,
}

/// What is restored from the file when it is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Restore {
    /// Its pauses, into a new zone.
    Pauses,
    /// Nothing: the zone has the pauses from before the reload.
    Nothing,
}

impl StateFile {
    /// Opens the file, or makes it. Whatever is wrong with it is logged.
    pub(crate) fn open(
        path: &[u8],
        zone: &SharedZone,
        restore: Restore,
        log: *mut ngx_log_t,
    ) -> Self {
        let path = disk::path(path);
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let boot: Arc<str> = boot.trim().into();
        let disk = Disk::open(path).and_then(|disk| {
            match saved::newest(&disk.read()?) {
                Ok((_, snapshot)) => {
                    zone.visit(|zone| zone.pauses_seen(snapshot.pauses));
                    if restore == Restore::Pauses {
                        restore_into(zone, path, &snapshot, &boot, log);
                    }
                }
                Err(Unusable::Foreign) => return Err(Problem::Foreign),
                Err(Unusable::Broken) => {
                    say(path, log, FileIs::Broken);
                }
            }
            Ok(Arc::new(disk))
        });
        if let Err(problem) = disk {
            say(path, log, FileIs::Wrong(problem));
        }
        Self { disk, path: path.into(), boot }
    }

    /// For `nginx -t`: logs what is wrong with the file, if there is one already. Makes and opens none.
    pub(crate) fn test(path: &[u8], log: *mut ngx_log_t) {
        let path = disk::path(path);
        if let Err(problem) = disk::exists(path) {
            say(path, log, FileIs::Wrong(problem));
        }
    }

    /// This is the newest configuration's file from now on. Writes the pauses as they are, and returns
    /// when they are on the disk. A failure is logged; the pauses go on all the same.
    pub(crate) fn take_over(&self, zone: &SharedZone, log: *mut ngx_log_t) {
        let (status, file) = (zone.file(), self.file());
        status.begin(file);
        let mut version = 0;
        let written = self.disk.as_ref().map_err(|problem| *problem).and_then(|disk| {
            disk.write(&status.writer, AT_START, || {
                let (snapshot, at) = self.snapshot(zone);
                version = at;
                Some(Cow::Owned(snapshot))
            })
        });
        status.note(file, version, zone.signals(), written);
        if let Some(problem) = written.err().filter(|_| self.disk.is_ok()) {
            self.complain(log, problem);
        }
    }

    /// The newest configuration has no state file.
    pub(crate) fn turn_off(zone: &SharedZone) {
        zone.file().retire();
        zone.signals().set_state_file(Health::Off);
    }

    /// Whether this is the newest configuration's file. The files of earlier ones are not written.
    pub(crate) fn is_newest(&self, zone: &SharedZone) -> bool {
        zone.file().is_newest(self.file())
    }

    /// Whether the file does not have the pauses as they are now.
    pub(crate) fn is_behind(&self, zone: &SharedZone) -> bool {
        let version = zone.visit(|zone| zone.version());
        !zone.file().has(self.file(), version)
    }

    /// A job that writes the pauses as they are now, unless newer ones are written before it is done.
    /// None if the file cannot be used.
    pub(crate) fn job(&self, zone: &SharedZone) -> Option<Job> {
        let disk = Arc::clone(self.disk.as_ref().ok()?);
        let (snapshot, version) = self.snapshot(zone);
        let (status, signals, file) = (zone.file(), zone.signals(), self.file());
        Some(Box::new(move || {
            let overtaken = || status.has(file, version);
            let written = disk.write(&status.writer, LONGEST, || {
                (!overtaken()).then_some(Cow::Borrowed(&snapshot))
            });
            status.note(file, version, signals, written);
            written
        }))
    }

    /// The pauses as they are, and the zone's version.
    fn snapshot(&self, zone: &SharedZone) -> (Snapshot, u64) {
        let mut apps: Vec<App> = Vec::with_capacity(zone.max_apps());
        let (pauses, version, now) = zone.visit(|zone| {
            let is_kept = |app: &&App| app.is_paused_or_stopped() || app.token() > Token(0);
            apps.extend(zone.apps.iter().filter(is_kept));
            (zone.pauses(), zone.version(), zone.now)
        });
        let saved = apps.iter().filter_map(|app| Saved::of(app, now)).collect();
        let tokens = apps.iter().filter_map(SavedToken::of).collect();
        (Snapshot { pauses, written: Written::at(now, &self.boot), saved, tokens }, version)
    }

    fn file(&self) -> u64 {
        self.disk.as_ref().map_or(0, |disk| disk.identity())
    }

    pub(crate) fn complain(&self, log: *mut ngx_log_t, problem: Problem) {
        say(&self.path, log, FileIs::Wrong(problem));
    }

    pub(crate) fn is_good_again(&self, log: *mut ngx_log_t) {
        say(&self.path, log, FileIs::GoodAgain);
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
            write(log, &About(&saved.name(), RestoreEvent::LeaseOver));
            continue;
        };
        let (name, pause, state) = (app.name().copied(), app.pause(), app.state());
        let path = path.as_os_str().as_bytes();
        let event = match zone.visit(|zone| zone.restore(app)) {
            None => RestoreEvent::NoRoom,
            Some(_) if state == State::Stopped => RestoreEvent::Stopped { pause, path },
            Some(_) => RestoreEvent::Paused { pause, path },
        };
        write(log, &About(&name.unwrap_or_default(), event));
    }
    for (name, token) in snapshot.tokens.iter().filter_map(SavedToken::restore) {
        zone.visit(|zone| zone.restore_token(&name, token));
    }
}

fn say(path: &Path, log: *mut ngx_log_t, is: FileIs) {
    write(log, &log_lines::StateFile { path: path.as_os_str().as_bytes(), is });
}
