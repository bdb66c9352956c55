//! A key: what `pause --key` remembers for `resume --key`, in a file that only its owner can read.
#![forbid(unsafe_code)]

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{
    flock, fstat, fsync, mkdir, open, openat, renameat, unlinkat, AtFlags, FlockOperation, Mode,
    OFlags,
};
use rustix::io::Errno;
use rustix::process::getuid;
use serde::{Deserialize, Serialize};

use crate::config::Wrong;
use crate::exit::Exit;

/// The pauses of a key.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Record {
    /// The caller's name at the endpoints.
    pub by: String,
    /// By then the pauses have ended by themselves: RFC 3339.
    pub until: String,
    pub pauses: Vec<Entry>,
}

/// A pause at a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    pub host: String,
    pub app: Option<String>,
    /// None: it was to begin, and it is not known whether it did.
    pub pause: Option<u64>,
}

/// A key that no other process uses meanwhile.
#[derive(Debug)]
pub struct Key {
    name: String,
    folder: OwnedFd,
    path: PathBuf,
    /// Locked as long as this lives.
    _lock: OwnedFd,
}

/// How long another call with the same key is waited for.
const PATIENCE: Duration = Duration::from_secs(60);
const AGAIN: Duration = Duration::from_millis(50);

const NEW_FILE: OFlags = OFlags::CREATE.union(OFlags::RDWR).union(SAFE);
const SAFE: OFlags = OFlags::NOFOLLOW.union(OFlags::CLOEXEC);

impl Key {
    /// Waits until no other call uses it.
    pub async fn open(name: &str) -> Result<Self, Wrong> {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if name.is_empty()
            || name.len() > 64
            || name.starts_with('.')
            || !name.chars().all(is_plain)
        {
            let text = format!("key \"{name}\": use at most 64 letters, digits, - and _");
            return Err(Wrong::usage(text));
        }
        let (path, folder) = folder()?;
        let lock = owned(
            openat(&folder, format!("{name}.lock"), NEW_FILE, Mode::from_raw_mode(0o600)),
            &path,
        )?;
        let end = Instant::now() + PATIENCE;
        while let Err(error) = flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            if !matches!(error, Errno::WOULDBLOCK | Errno::INTR) {
                return Err(wrong(&path, error.into()));
            }
            if Instant::now() >= end {
                let text = format!("key \"{name}\": another call uses it still");
                return Err(Wrong { exit: Exit::KEY, text });
            }
            tokio::time::sleep(AGAIN).await;
        }
        Ok(Self { name: name.to_owned(), folder, path, _lock: lock })
    }

    /// What is remembered. Returns None if nothing is.
    pub fn read(&self) -> Result<Option<Record>, Wrong> {
        let file = openat(&self.folder, self.file(), OFlags::RDONLY | SAFE, Mode::empty());
        if matches!(file, Err(Errno::NOENT)) {
            return Ok(None);
        }
        let mut text = String::new();
        let mut file = File::from(owned(file, &self.path)?);
        file.read_to_string(&mut text).map_err(|error| wrong(&self.path, error))?;
        let read = serde_json::from_str(&text);
        read.map(Some).map_err(|error| wrong(&self.path.join(self.file()), error.into()))
    }

    /// Remembers this. The file is whole at every moment.
    pub fn write(&self, record: &Record) -> Result<(), Wrong> {
        let wrong = |error: io::Error| wrong(&self.path, error);
        let text = serde_json::to_string(record).map_err(|error| wrong(error.into()))?;
        let new = format!("{}.new", self.name);
        let flags = NEW_FILE | OFlags::TRUNC;
        let file =
            owned(openat(&self.folder, &new, flags, Mode::from_raw_mode(0o600)), &self.path)?;
        let mut file = File::from(file);
        file.write_all(text.as_bytes()).map_err(wrong)?;
        fsync(&file).map_err(|error| wrong(error.into()))?;
        renameat(&self.folder, new, &self.folder, self.file()).map_err(|error| wrong(error.into()))
    }

    /// Forgets all. The lock's file stays: another call may hold it open.
    pub fn forget(&self) -> Result<(), Wrong> {
        match unlinkat(&self.folder, self.file(), AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(wrong(&self.path, error.into())),
        }
    }

    fn file(&self) -> String {
        format!("{}.json", self.name)
    }
}

fn wrong(path: &Path, error: io::Error) -> Wrong {
    Wrong { exit: Exit::KEY, text: format!("{}: {error}", path.display()) }
}

/// A file is used only if it is ours and no other user can write or read it.
fn owned(file: Result<OwnedFd, Errno>, path: &Path) -> Result<OwnedFd, Wrong> {
    let file = file.map_err(|error| wrong(path, error.into()))?;
    let stat = fstat(&file).map_err(|error| wrong(path, error.into()))?;
    match stat.st_uid == getuid().as_raw() && stat.st_mode & 0o077 == 0 {
        true => Ok(file),
        false => Err(foreign(path)),
    }
}

fn foreign(path: &Path) -> Wrong {
    let text = format!("{}: it must belong to this user, and be closed to others", path.display());
    Wrong { exit: Exit::KEY, text }
}

/// The first of the usual places that can be used.
fn folder() -> Result<(PathBuf, OwnedFd), Wrong> {
    if let Some(named) = std::env::var_os("INTERMISSION_RUNTIME_DIR") {
        return open_folder(PathBuf::from(named));
    }
    let user = getuid().as_raw();
    let own = PathBuf::from(format!("/run/user/{user}"));
    let mut places = vec![PathBuf::from("/run/intermission")];
    if user != 0 && own.is_dir() {
        places.insert(0, own.join("intermission"));
    }
    places.push(std::env::temp_dir().join(format!("intermission-{user}")));
    let mut last = Err(foreign(Path::new("/run/intermission")));
    for place in places {
        last = open_folder(place);
        if last.is_ok() {
            break;
        }
    }
    last
}

/// Makes the folder if it is not there.
fn open_folder(path: PathBuf) -> Result<(PathBuf, OwnedFd), Wrong> {
    match mkdir(&path, Mode::from_raw_mode(0o700)) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(error) => return Err(wrong(&path, error.into())),
    }
    let folder = open(&path, OFlags::RDONLY | OFlags::DIRECTORY | SAFE, Mode::empty());
    let folder = owned(folder, &path)?;
    Ok((path, folder))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{symlink, PermissionsExt};

    fn folder_for(name: &str) -> PathBuf {
        let path =
            std::env::temp_dir().join(format!("intermission-key-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        path
    }

    #[test]
    fn a_folder_that_others_can_use_is_refused() {
        let path = folder_for("open");
        assert!(open_folder(path.clone()).is_ok());
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
        assert!(open_folder(path.clone()).is_err());
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o700)).unwrap();
        let link = folder_for("link");
        let _ = std::fs::remove_file(&link);
        symlink(&path, &link).unwrap();
        assert!(open_folder(link.clone()).is_err());
        std::fs::remove_file(link).unwrap();
        std::fs::remove_dir_all(path).unwrap();
    }
}
