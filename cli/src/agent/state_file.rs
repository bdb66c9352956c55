//! nginx's state file, while nginx is down. Its format is the module's own.
#![forbid(unsafe_code)]

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use intermission::saved::{self, Snapshot, Unusable};
use intermission::time::{Msec, Now};
use rustix::fs::{fcntl_lock, FlockOperation, OFlags};
use rustix::time::{clock_gettime, ClockId};

/// How long a process is waited for that writes the file.
const PATIENCE: Duration = Duration::from_secs(1);

/// The state file of an nginx that does not run. The errors name it.
#[derive(Debug)]
pub struct StateFile<'a> {
    path: &'a Path,
}

impl<'a> StateFile<'a> {
    pub fn at(path: &'a Path) -> Self {
        Self { path }
    }

    /// What stands in it: nothing if there is none, or if it is broken.
    pub fn read(&self) -> Result<Snapshot, String> {
        let mut options = OpenOptions::new();
        let mut file = match self.open(options.read(true)) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Snapshot::default()),
            Err(error) => return Err(self.wrong(error)),
        };
        self.check(&file)?;
        let mut content = Vec::new();
        let limit = u64::try_from(2 * saved::RECORD).unwrap_or(u64::MAX);
        (&mut file).take(limit).read_to_end(&mut content).map_err(|error| self.wrong(error))?;
        match saved::newest(&content) {
            Ok((_, snapshot)) => Ok(snapshot),
            Err(Unusable::Broken) => Ok(Snapshot::default()),
            Err(Unusable::Foreign) => Err(self.wrong("it is not a state file")),
        }
    }

    /// Writes what nginx is to start with. When this returns, it is on the disk.
    pub fn write(&self, snapshot: &Snapshot) -> Result<(), String> {
        let mut options = OpenOptions::new();
        let file = self.open(options.read(true).write(true).create(true).mode(0o600));
        let file = file.map_err(|error| self.wrong(error))?;
        self.check(&file)?;
        self.lock(&file)?;
        let all = || -> io::Result<bool> {
            let mut records = Vec::new();
            for place in saved::PLACES {
                records.push(record_at(&file, u64::try_from(place).unwrap_or(u64::MAX))?);
            }
            let [even, odd] = records.as_slice() else { return Ok(false) };
            let number = saved::next_number([even, odd]);
            let Some(record) = saved::record(number, snapshot) else { return Ok(false) };
            let place = u64::try_from(saved::place(number)).unwrap_or(u64::MAX);
            file.write_all_at(&record, place)?;
            file.sync_all()?;
            Ok(true)
        };
        match all() {
            Ok(true) => {}
            Ok(false) => return Err(self.wrong("there are too many pauses")),
            Err(error) => return Err(self.wrong(error)),
        }
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        // A file system that cannot sync a folder needs no sync.
        let _ = File::open(folder.unwrap_or(Path::new("."))).and_then(|folder| folder.sync_all());
        Ok(())
    }

    fn open(&self, options: &mut OpenOptions) -> io::Result<File> {
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
        options.custom_flags(flags.bits().cast_signed()).open(self.path)
    }

    /// nginx takes no other file than one that only its own user can change.
    fn check(&self, file: &File) -> Result<(), String> {
        let found = file.metadata().map_err(|error| self.wrong(error))?;
        let why = match found {
            _ if !found.is_file() => "it is not a regular file",
            _ if found.uid() != rustix::process::geteuid().as_raw() => {
                "it does not belong to the user that starts nginx"
            }
            _ if found.nlink() != 1 => "it has more than one hard link",
            _ if found.mode() & 0o077 != 0 => {
                "other users may read or write it (its mode must be 600)"
            }
            _ => return Ok(()),
        };
        Err(self.wrong(why))
    }

    fn lock(&self, file: &File) -> Result<(), String> {
        let end = Instant::now() + PATIENCE;
        while let Err(error) = fcntl_lock(file, FlockOperation::NonBlockingLockExclusive) {
            if Instant::now() >= end {
                return Err(self.wrong(format!("it cannot be locked: {error}")));
            }
            sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    fn wrong(&self, why: impl std::fmt::Display) -> String {
        format!("the state file {}: {why}", PathBuf::from(self.path).display())
    }
}

/// What is read as a record at this place. It need not be a whole one.
fn record_at(file: &File, place: u64) -> io::Result<Vec<u8>> {
    let mut record = vec![0; saved::LINE];
    let read = file.read_at(&mut record, place)?;
    let length = saved::length(record.get(..read).unwrap_or_default());
    record.resize(length, 0);
    let read = file.read_at(&mut record, place)?;
    record.truncate(read);
    Ok(record)
}

/// Now, on the clocks that the module uses.
pub fn now() -> Now {
    let ms = |clock| {
        let time = clock_gettime(clock);
        let (seconds, rest) = (u64::try_from(time.tv_sec), u64::try_from(time.tv_nsec));
        Msec(seconds.unwrap_or(0) * 1000 + rest.unwrap_or(0) / 1_000_000)
    };
    Now { monotonic: ms(ClockId::Monotonic), wall: ms(ClockId::Realtime) }
}

/// The kernel's name for this start of the machine; empty if it is not known.
pub fn boot() -> String {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    boot.trim().to_owned()
}
