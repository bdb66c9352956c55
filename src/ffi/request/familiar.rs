//! What this worker said of its last request that passed: the next one is mostly like it, and then
//! there is nothing to say.

use core::cell::Cell;

use crate::ffi::conf::LocConf;

/// Longer names and values are said again each time.
const LONGEST: usize = 64;

#[derive(Clone, Copy)]
struct Said {
    conf: *const LocConf,
    /// How many pauses had ended: what was seen before counts no longer.
    endings: u64,
    name: usize,
    max_time: usize,
    /// The app's name, and `$intermission_max_time` behind it.
    text: [u8; LONGEST],
}

/// The last request that passed.
pub(crate) struct Familiar(Cell<Said>);

impl Familiar {
    pub(crate) const fn new() -> Self {
        let conf = core::ptr::null();
        Self(Cell::new(Said { conf, endings: 0, name: 0, max_time: 0, text: [0; LONGEST] }))
    }

    /// Whether all was said of a request like this one.
    pub(crate) fn knows(
        &self,
        conf: &LocConf,
        endings: u64,
        name: &[u8],
        max_time: Option<&[u8]>,
    ) -> bool {
        let max_time = max_time.unwrap_or_default();
        let said = self.0.get();
        let (old_name, rest) = said.text.split_at_checked(said.name).unwrap_or_default();
        core::ptr::eq(said.conf, conf)
            && said.endings == endings
            && old_name == name
            && rest.get(..said.max_time) == Some(max_time)
    }

    /// All was said of a request like this one.
    pub(crate) fn learn(&self, conf: &LocConf, endings: u64, name: &[u8], max_time: Option<&[u8]>) {
        let max_time = max_time.unwrap_or_default();
        let mut text = [0; LONGEST];
        let Some((place, rest)) = text.split_at_mut_checked(name.len()) else { return };
        let Some(rest) = rest.get_mut(..max_time.len()) else { return };
        place.copy_from_slice(name);
        rest.copy_from_slice(max_time);
        self.0.set(Said { conf, endings, name: name.len(), max_time: max_time.len(), text });
    }
}
