//! The state file as the operating system has it: who may use it, and its two records. Nothing here
//! calls nginx: the writer's thread uses it.

use core::sync::atomic::{AtomicU32, Ordering};
use std::borrow::Cow;
use std::ffi::OsStr;
use std::fs::{self, File, Metadata, OpenOptions, Permissions};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::ffi::os::file_lock::{self, Mode};
use crate::refusals::UnfitFolder;
use crate::saved::{self, Snapshot};
use crate::shared::health::Problem;

/// How long a write waits for a process that has the file locked and does not belong to this nginx.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often it tries to lock the file.
const PAUSE: Duration = Duration::from_millis(10);

/// The bits of a mode that let others than the owner do anything, and those that let them write.
const OTHERS: u32 = 0o077;
const OTHERS_WRITE: u32 = 0o022;
/// In a folder with this bit no user but root can rename or remove what another user owns.
const STICKY: u32 = libc::S_ISVTX;

/// An open state file, fit to be written.
#[derive(Debug)]
pub(crate) struct Disk(File);

impl Disk {
    /// Opens the file, or makes it.
    pub(crate) fn open(path: &Path) -> Result<Self, Problem> {
        let mut options = OpenOptions::new();
        let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY;
        options.read(true).write(true).mode(0o600).custom_flags(flags);
        let file = if exists(path)? {
            options.open(path).map_err(unopened)?
        } else {
            let file = options.create_new(true).open(path).map_err(unopened)?;
            // Whatever the umask is.
            file.set_permissions(Permissions::from_mode(0o600)).map_err(unopened)?;
            // A file system that cannot sync a folder needs no sync: a failure is ignored.
            let _ = File::open(folder_of(path)).and_then(|folder| folder.sync_all());
            file
        };
        check(&file.metadata().map_err(unopened)?, &[user()])?;
        Ok(Self(file))
    }

    /// Reads all of it.
    pub(crate) fn read(&self) -> Result<Vec<u8>, Problem> {
        let mut content = Vec::new();
        let read = (&self.0).take(2 * saved::RECORD as u64).read_to_end(&mut content);
        read.map_err(|error| Problem::Unread(number(&error)))?;
        Ok(content)
    }

    /// Identifies the file among all that exist at a time; never 0.
    pub(crate) fn identity(&self) -> u64 {
        self.0.metadata().map_or(1, |found| found.dev().rotate_left(32) ^ found.ino()).max(1)
    }

    /// Writes a record, and returns when it is on the disk. `snapshot` is called while no other process
    /// writes; if it returns None, nothing is written. Each process of this nginx notes in `writer` that
    /// it writes: for such a process this one waits for `longest`.
    pub(crate) fn write<'s>(
        &self,
        writer: &AtomicU32,
        longest: Duration,
        snapshot: impl FnOnce() -> Option<Cow<'s, Snapshot>>,
    ) -> Result<(), Problem> {
        let _lock = Lock::take(&self.0, writer, longest)?;
        let Some(snapshot) = snapshot() else { return Ok(()) };
        let [even, odd] = saved::PLACES.map(|place| self.record_at(place));
        let number = saved::next_number([&even?, &odd?]);
        let record = saved::record(number, &snapshot).ok_or(Problem::TooLarge)?;
        self.0.write_all_at(&record, saved::place(number) as u64).map_err(unwritten)?;
        self.0.sync_data().map_err(unwritten)?;
        match self.0.metadata().map_err(unwritten)?.nlink() {
            0 => Err(Problem::Removed),
            _ => Ok(()),
        }
    }

    /// What is read as a record at this place, in bytes from the beginning. It need not be a whole one.
    fn record_at(&self, place: usize) -> Result<Vec<u8>, Problem> {
        let read_at = |record: &mut [u8]| self.0.read_at(record, place as u64).map_err(unwritten);
        let mut record = vec![0; saved::LINE];
        let read = read_at(&mut record)?;
        let length = saved::length(record.get(..read).unwrap_or_default());
        record.resize(length, 0);
        let read = read_at(&mut record)?;
        record.truncate(read);
        Ok(record)
    }
}

/// Whether there is a file. If there is, and it is not fit to be the state file, fails. Root may own the
/// file although another user asks: `nginx -t` need not be run by root.
pub(crate) fn exists(path: &Path) -> Result<bool, Problem> {
    match fs::symlink_metadata(path) {
        Ok(found) => check(&found, &[0, user()]).map(|()| true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(unopened(error)),
    }
}

/// Only the user that starts nginx may have any right to the file: nginx believes what stands in it.
fn check(found: &Metadata, owners: &[u32]) -> Result<(), Problem> {
    match found {
        _ if found.is_symlink() => Err(Problem::Link),
        _ if !found.is_file() => Err(Problem::NotRegular),
        _ if !owners.contains(&found.uid()) => Err(Problem::Owner),
        _ if found.nlink() != 1 => Err(Problem::Names),
        _ if found.mode() & OTHERS != 0 => Err(Problem::Mode),
        _ => Ok(()),
    }
}

/// Checks that only root and the user that starts nginx can put a file at this path: by the owner and
/// the mode of its folder and of all folders above.
pub(crate) fn check_folder(path: &Path) -> Result<(), UnfitFolder> {
    let folder = folder_of(path);
    let missing = |error| UnfitFolder::Missing(folder.into(), error);
    let real = folder.canonicalize().map_err(missing)?;
    if !real.is_dir() {
        return Err(missing(io::Error::from_raw_os_error(libc::ENOTDIR)));
    }
    let all = folder.ancestors().chain(real.ancestors());
    for one in all.filter(|one| !one.as_os_str().is_empty()) {
        let found = fs::metadata(one).map_err(missing)?;
        let is_last = one == folder || one == real;
        let guarded = found.mode() & STICKY != 0 && !is_last;
        let written = found.mode() & OTHERS_WRITE != 0 && !guarded;
        if written || ![0, user()].contains(&found.uid()) {
            return Err(UnfitFolder::Open(one.into()));
        }
    }
    Ok(())
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A path, by its bytes as nginx has them.
pub(crate) fn path(bytes: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(bytes))
}

fn user() -> u32 {
    rustix::process::geteuid().as_raw()
}

fn number(error: &io::Error) -> i32 {
    error.raw_os_error().unwrap_or(libc::EIO)
}

fn unopened(error: io::Error) -> Problem {
    match number(&error) {
        libc::ELOOP => Problem::Link,
        number => Problem::Unopened(number),
    }
}

fn unwritten(error: io::Error) -> Problem {
    Problem::Unwritten(number(&error))
}

/// While it lives, this process has the file locked.
struct Lock<'a>(&'a File);

impl<'a> Lock<'a> {
    fn take(file: &'a File, writer: &AtomicU32, longest: Duration) -> Result<Self, Problem> {
        let began = Instant::now();
        let mut end = began + PATIENCE;
        while let Err(error) = file_lock::try_lock(file, Mode::Exclusive) {
            match number(&error) {
                libc::EACCES | libc::EAGAIN | libc::EINTR => {}
                number => return Err(Problem::Unwritten(number)),
            }
            let now = Instant::now();
            let holder = file_lock::holder(file).ok().flatten().unwrap_or(0);
            if holder > 0 && holder.cast_unsigned() == writer.load(Ordering::Relaxed) {
                end = (now + PATIENCE).min(began + longest);
            }
            if now >= end {
                return Err(Problem::Locked);
            }
            std::thread::sleep(PAUSE);
        }
        writer.store(std::process::id(), Ordering::Relaxed);
        Ok(Self(file))
    }
}

impl Drop for Lock<'_> {
    fn drop(&mut self) {
        file_lock::unlock(self.0);
    }
}
