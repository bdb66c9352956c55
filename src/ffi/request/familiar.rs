//! What this worker noted in shared memory about the last request that passed. The next one is mostly
//! like it: then there is nothing to note, and nothing is written that other workers read.

use core::cell::Cell;

use crate::ffi::conf::LocConf;

/// In bytes, an app's name and its max_time together: if they are longer, they are noted each time.
const LONGEST: usize = 64;

#[derive(Clone, Copy)]
struct Said {
    conf: *const LocConf,
    /// How many pauses had ended. After the end of one everything is noted again.
    endings: u64,
    /// How long the two texts are, in bytes.
    name: usize,
    max_time: Option<usize>,
    /// The app's name, and `$intermission_max_time` behind it.
    text: [u8; LONGEST],
}

/// The last request that passed.
pub(crate) struct Familiar(Cell<Said>);

impl Familiar {
    pub(crate) const fn new() -> Self {
        let conf = core::ptr::null();
        Self(Cell::new(Said { conf, endings: 0, name: 0, max_time: None, text: [0; LONGEST] }))
    }

    /// Whether the last request was like this one, so that all is noted.
    pub(crate) fn knows(
        &self,
        conf: &LocConf,
        endings: u64,
        name: &[u8],
        max_time: Option<&[u8]>,
    ) -> bool {
        let said = self.0.get();
        let (old_name, rest) = said.text.split_at_checked(said.name).unwrap_or_default();
        core::ptr::eq(said.conf, conf)
            && said.endings == endings
            && old_name == name
            && said.max_time.map(|len| rest.get(..len).unwrap_or_default()) == max_time
    }

    /// All is noted about a request like this one.
    pub(crate) fn learn(&self, conf: &LocConf, endings: u64, name: &[u8], max_time: Option<&[u8]>) {
        let (length, max_time) = (max_time.map(<[u8]>::len), max_time.unwrap_or_default());
        let mut text = [0; LONGEST];
        let Some((place, rest)) = text.split_at_mut_checked(name.len()) else { return };
        let Some(rest) = rest.get_mut(..max_time.len()) else { return };
        place.copy_from_slice(name);
        rest.copy_from_slice(max_time);
        self.0.set(Said { conf, endings, name: name.len(), max_time: length, text });
    }
}
