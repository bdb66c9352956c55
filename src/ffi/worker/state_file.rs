//! The state file. The master opens it; the workers, who may not, inherit it open.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::borrow::Cow;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use nginx_sys::ngx_log_t;

use crate::ffi::nginx::log::write;
use crate::ffi::worker::disk::{self, Disk};
use crate::ffi::worker::writer::Job;
use crate::ffi::worker::zone::{now, SharedZone};
use crate::log_lines::state_file::{self as log_lines, FileIs, RestoreEvent};
use crate::log_lines::About;
use crate::saved::{self, Saved, Snapshot, Unusable, Written};
use crate::shared::app::{App, State};
use crate::shared::health::{Health, Problem};
use crate::shared::signals::Signals;

/// For so long others of this nginx may take to write: a start or a reload waits for them, or an
/// operator does.
const AT_START: Duration = Duration::from_secs(5);
const LONGEST: Duration = Duration::from_secs(60);

/// The state file of a configuration.
#[derive(Debug)]
pub(crate) struct StateFile {
    disk: Result<Arc<Disk>, Problem>,
    path: PathBuf,
    /// The kernel's name for the machine's start.
    boot: Arc<str>,
}

/// What is restored from the file when it is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Restore {
    /// Its pauses, into a new zone.
    Pauses,
    /// Nothing: the zone has lived through a reload.
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

    /// Says what is wrong with the file, if there is one already.
    pub(crate) fn test(path: &[u8], log: *mut ngx_log_t) {
        let path = disk::path(path);
        if let Err(problem) = disk::exists(path) {
            say(path, log, FileIs::Wrong(problem));
        }
    }

    /// This is the configuration's file from now on. Writes the pauses as they are; they are on the
    /// disk when it returns. A failure is logged, and the pauses go on in memory.
    pub(crate) fn take_over(&self, zone: &SharedZone, log: *mut ngx_log_t) {
        let (words, file) = (zone.file(), self.file());
        words.file.store(file, Ordering::Relaxed);
        words.written.store(0, Ordering::Relaxed);
        words.owed.store(0, Ordering::Relaxed);
        let mut version = 0;
        let written = self.disk.as_ref().map_err(|problem| *problem).and_then(|disk| {
            disk.write(&words.writer, AT_START, || {
                let (snapshot, at) = self.snapshot(zone);
                version = at;
                Some(Cow::Owned(snapshot))
            })
        });
        words.note(file, version, zone.signals(), written);
        if let Some(problem) = written.err().filter(|_| self.disk.is_ok()) {
            self.complain(log, problem);
        }
    }

    /// No file is the configuration's.
    pub(crate) fn give_up(zone: &SharedZone) {
        zone.file().file.store(0, Ordering::Relaxed);
        zone.signals().set_state_file(Health::Off);
    }

    /// Whether this is the newest configuration's file: those of earlier ones are not written.
    pub(crate) fn is_newest(&self, zone: &SharedZone) -> bool {
        zone.file().file.load(Ordering::Relaxed) == self.file()
    }

    /// Whether the file does not have the pauses as they are now.
    pub(crate) fn lags(&self, zone: &SharedZone) -> bool {
        let version = zone.visit(|zone| zone.version());
        !zone.file().has(self.file(), version)
    }

    /// What writes the pauses as they are now, unless newer ones have been written until then. None
    /// if the file cannot be used.
    pub(crate) fn job(&self, zone: &SharedZone) -> Option<Job> {
        let disk = Arc::clone(self.disk.as_ref().ok()?);
        let (snapshot, version) = self.snapshot(zone);
        let (words, signals, file) = (zone.file(), zone.signals(), self.file());
        Some(Box::new(move || {
            let overtaken = || words.has(file, version);
            let written = disk.write(&words.writer, LONGEST, || {
                (!overtaken()).then_some(Cow::Borrowed(&snapshot))
            });
            words.note(file, version, signals, written);
            written
        }))
    }

    /// The pauses as they are, and the zone's version.
    fn snapshot(&self, zone: &SharedZone) -> (Snapshot, u64) {
        let mut apps: Vec<App> = Vec::with_capacity(zone.max_apps());
        let (pauses, version, now) = zone.visit(|zone| {
            apps.extend(zone.apps.iter().filter(|app| app.is_paused_or_stopped()));
            (zone.pauses(), zone.version(), zone.now)
        });
        let saved = apps.iter().filter_map(|app| Saved::of(app, now)).collect();
        (Snapshot { pauses, written: Written::at(now, &self.boot), saved }, version)
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

/// What workers that have the file are to write for one that has not; the default is nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Owed(u64);

/// What all workers know of the file, in the zone. Zero is the value before the first one.
#[repr(C)]
pub(crate) struct Words {
    /// The newest configuration's file; 0 if it has none. Workers of earlier ones may have another.
    file: AtomicU64,
    /// The process that wrote last, or is writing.
    writer: AtomicU32,
    /// One more than the version of the zone that it has; 0 if that is not known.
    written: AtomicU64,
    /// The same of the version that it is to have, which a worker left that does not have it open.
    owed: AtomicU64,
}

impl Words {
    /// Whether the file has this version of the zone, or a newer one, or need not have it: it is not
    /// the newest configuration's.
    fn has(&self, file: u64, version: u64) -> bool {
        let written = self.written.load(Ordering::Relaxed);
        file != self.file.load(Ordering::Relaxed) || written > version
    }

    /// A worker that does not have the newest configuration's file open leaves it to others to write
    /// what it changed: returns what they owe it. None if there is no such file.
    pub(crate) fn owe(&self, version: u64) -> Option<Owed> {
        if self.file.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let owed = version.wrapping_add(1);
        self.owed.fetch_max(owed, Ordering::Relaxed);
        Some(Owed(owed))
    }

    /// Whether anything is left to those who have the file.
    pub(crate) fn is_owed(&self) -> bool {
        self.owed.load(Ordering::Relaxed) > self.written.load(Ordering::Relaxed)
    }

    /// Whether that has been written, or there is no file any more that it could be written to.
    pub(crate) fn has_paid(&self, owed: Owed) -> bool {
        self.written.load(Ordering::Relaxed) >= owed.0 || self.file.load(Ordering::Relaxed) == 0
    }

    /// A newer configuration has a zone of its own: what is late in this one is not written over that.
    pub(crate) fn retire(&self) {
        self.file.store(0, Ordering::Relaxed);
    }

    /// This version has been written to the file, or could not be.
    fn note(&self, file: u64, version: u64, signals: Signals<'_>, written: Result<(), Problem>) {
        if file != self.file.load(Ordering::Relaxed) {
            return;
        }
        match written {
            Ok(()) => {
                self.written.fetch_max(version.wrapping_add(1), Ordering::Relaxed);
                signals.set_state_file(Health::Good);
            }
            Err(problem) => signals.set_state_file(Health::Bad(problem)),
        }
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
}

fn say(path: &Path, log: *mut ngx_log_t, is: FileIs) {
    write(log, &log_lines::StateFile { path: path.as_os_str().as_bytes(), is });
}
