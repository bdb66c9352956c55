//! Whether the running nginx has the structures that this module was built for.

use crate::ffi::nginx::conf::Conf;
use crate::ffi::nginx::{functions, Failed};
use crate::ffi::os::program;
use crate::product::Product;
use crate::refusals::Refusal;

/// Fails, and says why, if it has not. No structure of nginx is read for that. A program that does not say
/// which product it is passes.
pub(crate) fn check(cf: Conf) -> Result<(), Failed> {
    let text = functions::product();
    let image = program::image().unwrap_or_default();
    let (Some(built_for), Some(running)) =
        (Product::parse(text.as_bytes()), Product::of_program(&image))
    else {
        return Ok(());
    };
    if !built_for.has_structures_of(&running) {
        cf.error(Refusal::OtherProduct { built_for, running });
        return Err(Failed);
    }
    Ok(())
}
