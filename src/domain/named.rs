//! Enums whose values have names in JSON, in the record and in files.

/// Declares an enum with `as_str`, the name of each value, which stands behind its variant.
/// After `parsed` it also has `ALL` and `from_name`.
macro_rules! named {
    (parsed $($declaration:tt)*) => {
        named! { $($declaration)* }
        named! { @parsed $($declaration)* }
    };
    (@parsed $(#[$meta:meta])* $vis:vis enum $enum:ident {
        $($(#[$doc:meta])* $variant:ident = $name:literal),* $(,)?
    }) => {
        impl $enum {
            /// All values, in the order of their declaration.
            $vis const ALL: &[Self] = &[$(Self::$variant),*];

            /// Returns the value of that name.
            #[must_use]
            $vis fn from_name(name: &str) -> Option<Self> {
                match name { $($name => Some(Self::$variant),)* _ => None }
            }
        }
    };
    ($(#[$meta:meta])* $vis:vis enum $enum:ident $(<$life:lifetime>)? {
        $($(#[$doc:meta])* $variant:ident
            $(($(#[$of:meta])* $payload:ty))?
            $({ $($(#[$what:meta])* $field:ident: $type:ty),* $(,)? })?
            = $name:literal),* $(,)?
    }) => {
        $(#[$meta])*
        $vis enum $enum $(<$life>)? {
            $($(#[$doc])* $variant
                $(($(#[$of])* $payload))?
                $({ $($(#[$what])* $field: $type),* })?),*
        }

        impl $(<$life>)? $enum $(<$life>)? {
            /// Returns the name in JSON, in the record and in files.
            #[must_use]
            $vis fn as_str(self) -> &'static str {
                match self { $(Self::$variant { .. } => $name),* }
            }
        }
    };
}
pub(crate) use named;
