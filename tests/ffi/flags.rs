//! The bit-fields of the bindings, compared with the C compiler's, for the nginx that this is built for.
//!
//! bindgen misplaces some of them for some nginx. The module reads and sets flags by C functions; no
//! source file of it may use a flag that the bindings misplace.

use std::mem::MaybeUninit;
use std::path::{Path, PathBuf};

#[link(name = "intermission_compare", kind = "static")]
extern "C" {}

fn bytes<T>(value: &MaybeUninit<T>) -> &[u8] {
    // SAFETY: plain C data that was all zero at first.
    unsafe { std::slice::from_raw_parts(value.as_ptr().cast(), size_of::<T>()) }
}

macro_rules! compare {
    ($misplaced:ident, $structure:ident, $get:ident, $set:ident, $fill:ident) => {{
        extern "C" {
            fn $fill(of: *mut nginx_sys::$structure);
        }
        let mut by_c = MaybeUninit::<nginx_sys::$structure>::zeroed();
        let mut by_rust = MaybeUninit::<nginx_sys::$structure>::zeroed();
        // SAFETY: plain C data, for which all zero is a valid value.
        unsafe {
            $fill(by_c.as_mut_ptr());
            let value = (*by_c.as_ptr()).$get();
            (*by_rust.as_mut_ptr()).$set(value);
        }
        assert!(bytes(&by_c).iter().any(|byte| *byte != 0));
        if bytes(&by_c) != bytes(&by_rust) {
            $misplaced.push((stringify!($structure), stringify!($get), stringify!($set)));
        }
    }};
}

#[test]
fn no_flag_that_the_bindings_misplace_is_used() {
    let mut misplaced = Vec::new();
    let compared = include!(concat!(env!("OUT_DIR"), "/compare.rs"));
    assert!(compared > 100, "only {compared} flags were found");
    println!("{compared} flags compared, {} misplaced: {misplaced:?}", misplaced.len());
    let sources = sources(Path::new("src/ffi"));
    assert!(sources.len() > 20, "only {} source files were found", sources.len());
    for file in sources {
        let text = std::fs::read_to_string(&file).expect("a source file");
        for (structure, get, set) in &misplaced {
            for call in [format!(".{get}() !="), format!(".{get}() =="), format!(".{set}(")] {
                assert!(!text.contains(&call), "{file:?}: {call} of {structure}");
            }
        }
    }
}

/// All files below a folder.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder").flatten().map(|entry| entry.path());
    entries.flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] }).collect()
}
