//! `Debug` of types whose content must not show, or would be too much.

/// Implements `Debug` for a type as a text, with values of `it` for the braces in that.
macro_rules! debug_as {
    ($type:ty, $text:literal) => { debug_as!($type, $text, _it =>); };
    ($type:ty, $text:literal, $it:ident => $($value:expr),*) => {
        impl std::fmt::Debug for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                let $it = self;
                write!(f, $text $(, $value)*)
            }
        }
    };
}
pub(crate) use debug_as;
