//! The bindings' bit-fields, held against the C compiler's, on the nginx that this is built for.
//!
//! bindgen misplaces some of them on some nginx. The module reads and sets all of its flags by C
//! functions; no source of it may use one that the bindings have wrong.

use std::mem::MaybeUninit;

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
        // SAFETY: plain C data, for which all zero is a value.
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
    for file in std::fs::read_dir("src/ffi").expect("src/ffi").flatten() {
        let text = std::fs::read_to_string(file.path()).expect("a source");
        for (structure, get, set) in &misplaced {
            for call in [format!(".{get}() !="), format!(".{get}() =="), format!(".{set}(")] {
                assert!(!text.contains(&call), "{:?}: {call} of {structure}", file.path());
            }
        }
    }
}
