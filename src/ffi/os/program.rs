//! The program that this process runs.

use std::fs::File;
use std::io::Read;

/// A larger program is not read to its end.
const MOST: u64 = 64 << 20;

/// The program's file, even if it has been replaced since. None if it cannot be read, as without `/proc`.
pub(crate) fn image() -> Option<Vec<u8>> {
    let mut image = Vec::new();
    File::open("/proc/self/exe").ok()?.take(MOST).read_to_end(&mut image).ok()?;
    Some(image)
}
