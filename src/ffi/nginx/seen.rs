//! Variables' values that are kept, to find that another request has the same ones.

use nginx_sys::{__BindgenBitfieldUnit, ngx_http_variable_value_t, ngx_uint_t};

use super::evaluate;
use super::request::Request;
use crate::text;

/// A variable's value as a request had it: whether nginx had made it, and up to `N` bytes.
pub(crate) struct Seen<const N: usize> {
    index: ngx_uint_t,
    head: Head,
    /// How many bytes it has; at most `N`.
    length: usize,
    bytes: [u8; N],
}

impl<const N: usize> Seen<N> {
    /// As it is for this request. `value` is what it has, and empty if nginx has not made one. None if
    /// that is too long.
    pub(crate) fn new(r: Request, index: ngx_uint_t, value: &[u8]) -> Option<Self> {
        let head = head(evaluate::values(r).get(index)?);
        let mut bytes = [0; N];
        bytes.get_mut(..value.len())?.copy_from_slice(value);
        Some(Self { index, head, length: value.len(), bytes })
    }

    /// The value, if it is the same among these of another request. It lies in the memory of that request
    /// or of its configuration.
    #[inline(always)]
    pub(crate) fn same(&self, values: &Values<'_>) -> Option<&'static [u8]> {
        let value = values.0.get(self.index).filter(|value| head(value) == self.head)?;
        // The head has the length, or tells that there is no value.
        let value = evaluate::slice(value.data, self.length);
        text::is_same(value, self.bytes.get(..self.length)?).then_some(value)
    }
}

/// All values that a request has.
pub(crate) struct Values<'r>(&'r [ngx_http_variable_value_t]);

impl<'r> Values<'r> {
    pub(crate) fn of(r: &'r Request) -> Self {
        Self(evaluate::values(*r))
    }
}

/// The bit-fields of a value: how many bytes it has, and whether nginx has made them.
type Head = __BindgenBitfieldUnit<[u8; 4]>;

#[inline]
fn head(value: &ngx_http_variable_value_t) -> Head {
    value._bitfield_1
}
