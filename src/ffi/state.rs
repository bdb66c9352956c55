//! The state file on disk. The master opens it; the workers, who may not, inherit it open.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::log::{cycle_log, write, Level};
use super::zone::{Named, SharedZone};
use crate::app::App;
use crate::ids::AppId;
use crate::state::{self, Saved, Snapshot};

/// An open state file.
#[derive(Debug)]
pub(super) struct StateFile {
    file: File,
    path: PathBuf,
}

impl StateFile {
    /// Opens the file, or makes it, and restores what it says into a zone that is new. Whatever is
    /// wrong with it is logged; none where it cannot be used.
    pub(super) fn open(path: &[u8], zone: &SharedZone, restore: bool) -> Option<Self> {
        let path = Path::new(std::ffi::OsStr::from_bytes(path));
        let result = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(libc::O_NONBLOCK)
            .open(path);
        let state = result.map(|file| Self { file, path: path.into() });
        let state = match state.and_then(Self::regular) {
            Ok(state) => state,
            Err(error) => {
                complain(path, format_args!("cannot be used: {error}: pauses are not kept"));
                return None;
            }
        };
        match state.read() {
            Ok(Ok(snapshot)) => {
                zone.visit(|zone| zone.pauses_seen(snapshot.pauses));
                if restore {
                    restore_into(zone, path, &snapshot);
                }
            }
            Ok(Err(unusable)) => {
                complain(path, format_args!("{unusable}"));
                if unusable == state::Unusable::Foreign {
                    return None;
                }
            }
            Err(error) => complain(path, format_args!("cannot be read: {error}")),
        }
        Some(state)
    }

    fn regular(self) -> io::Result<Self> {
        match self.file.metadata()?.is_file() {
            true => Ok(self),
            false => Err(io::Error::other("not a regular file")),
        }
    }

    fn read(&self) -> io::Result<Result<Snapshot, state::Unusable>> {
        let mut content = Vec::new();
        (&self.file).take(2 * state::RECORD as u64).read_to_end(&mut content)?;
        Ok(state::newest(&content).map(|(_, snapshot)| snapshot))
    }

    /// The record at a place, whole or not.
    fn record_at(&self, place: usize) -> io::Result<Vec<u8>> {
        let mut record = vec![0; state::LINE];
        let read = self.file.read_at(&mut record, place as u64)?;
        let length = state::length(record.get(..read).unwrap_or_default());
        record.resize(length, 0);
        let read = self.file.read_at(&mut record, place as u64)?;
        record.truncate(read);
        Ok(record)
    }

    /// Writes the pauses as they are now; they are on the disk when it returns. A failure is
    /// logged, and the pauses go on in memory.
    pub(super) fn save(&self, zone: &SharedZone) {
        if let Err(error) = self.try_save(zone) {
            let problem = format_args!("cannot be written: {error}: a restart may forget pauses");
            complain(&self.path, problem);
        }
    }

    fn try_save(&self, zone: &SharedZone) -> io::Result<()> {
        // One process at a time, so that the newest state is the one that is written last.
        let _lock = Lock::take(&self.file)?;
        let [even, odd] = state::PLACES.map(|place| self.record_at(place));
        let number = state::next_number([&even?, &odd?]);
        let mut apps: Vec<App> = Vec::with_capacity(zone.most_apps());
        let pauses = zone.visit(|zone| {
            apps.extend(zone.apps.iter().filter(|app| app.is_shut()));
            zone.pauses()
        });
        let snapshot = Snapshot { pauses, saved: apps.iter().filter_map(Saved::of).collect() };
        let record = state::record(number, &snapshot);
        let record = record.ok_or_else(|| io::Error::other("too many pauses"))?;
        self.file.write_all_at(&record, state::place(number) as u64)?;
        self.file.sync_data()
    }
}

fn restore_into(zone: &SharedZone, path: &Path, snapshot: &Snapshot) {
    for saved in &snapshot.saved {
        let Some(app) = saved.restore(super::zone::now()) else {
            let line = format_args!(
                "intermission: {}: its lease ended before nginx started: open",
                Named(&saved.name())
            );
            write(Level::Notice, cycle_log(), line);
            continue;
        };
        let (name, pause, state) = (app.name().copied(), app.pause(), app.state());
        let room: Option<AppId> = zone.visit(|zone| zone.restore(app));
        let name = name.unwrap_or_default();
        match room {
            Some(_) => {
                let what = if state == crate::app::State::Stopped { "stopped" } else { "paused" };
                let line = format_args!(
                    "intermission: {}: still {what}, pause {}, restored from \"{}\"",
                    Named(&name),
                    pause.0,
                    path.display()
                );
                write(Level::Notice, cycle_log(), line);
            }
            None => {
                let line = format_args!(
                    "intermission: {}: the table of apps is full: not restored",
                    Named(&name)
                );
                write(Level::Error, cycle_log(), line);
            }
        }
    }
}

fn complain(path: &Path, problem: core::fmt::Arguments<'_>) {
    let path = path.as_os_str().as_bytes().escape_ascii();
    let line = format_args!("intermission: \"intermission_state_file\" \"{path}\" {problem}");
    write(Level::Error, cycle_log(), line);
}

/// A record lock on the whole file; ends with the process at the latest.
struct Lock<'a>(&'a File);

impl<'a> Lock<'a> {
    fn take(file: &'a File) -> io::Result<Self> {
        set_lock(file, libc::F_WRLCK)?;
        Ok(Self(file))
    }
}

impl Drop for Lock<'_> {
    fn drop(&mut self) {
        // It cannot fail: it gives up what this process has.
        let _ = set_lock(self.0, libc::F_UNLCK);
    }
}

fn set_lock(file: &File, kind: libc::c_int) -> io::Result<()> {
    // SAFETY: plain C data, for which all zero is a value.
    let mut lock: libc::flock = unsafe { core::mem::zeroed() };
    lock.l_type = kind as libc::c_short;
    lock.l_whence = libc::SEEK_SET as libc::c_short;
    loop {
        // SAFETY: an open file and a live struct.
        if unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLKW, &raw const lock) } == 0 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}
