//! Sets of named bits: the flags of commands, their ACL categories and the flags of key arguments.

/// Declares a set type over an unsigned integer, with one constant a member and Redis's name for each, in the
/// order in which Redis lists them.
macro_rules! bit_set {
    (
        $(#[$about:meta])*
        pub struct $set:ident: $repr:ty { $( $(#[$doc:meta])* $member:ident = $name:literal, )* }
    ) => {
        $(#[$about])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
        pub struct $set($repr);

        #[allow(non_camel_case_types, clippy::upper_case_acronyms)]
        #[repr(u8)]
        enum Position { $( $member, )* }

        impl $set {
            /// The set with no member.
            pub const NONE: Self = Self(0);
            $( $(#[$doc])* pub const $member: Self = Self(1 << Position::$member as u8); )*

            /// Every member with its Redis name, in Redis's order.
            pub const MEMBERS: &'static [(Self, &'static str)] = &[ $( (Self::$member, $name), )* ];

            /// Both sets together.
            #[must_use]
            pub const fn with(self, other: Self) -> Self {
                Self(self.0 | other.0)
            }

            /// Whether every member of `other` is in this set.
            #[must_use]
            pub const fn contains(self, other: Self) -> bool {
                self.0 & other.0 == other.0
            }

            /// Whether the sets have a member in common.
            #[must_use]
            pub const fn intersects(self, other: Self) -> bool {
                self.0 & other.0 != 0
            }

            /// Whether both sets have the same members, in constants too.
            #[must_use]
            pub const fn is_exactly(self, other: Self) -> bool {
                self.0 == other.0
            }

            /// Whether there is no member.
            #[must_use]
            pub const fn is_empty(self) -> bool {
                self.0 == 0
            }

            /// How many members there are.
            #[must_use]
            pub const fn len(self) -> usize {
                self.0.count_ones() as usize
            }

            /// The members' Redis names, in Redis's order.
            pub fn names(self) -> impl Iterator<Item = &'static str> {
                Self::MEMBERS.iter().filter(move |(member, _)| self.contains(*member)).map(|(_, name)| *name)
            }

            /// The member of that name, in any case.
            #[must_use]
            pub fn named(name: &[u8]) -> Option<Self> {
                Self::MEMBERS.iter().find(|(_, n)| n.as_bytes().eq_ignore_ascii_case(name)).map(|(m, _)| *m)
            }
        }

        impl std::fmt::Debug for $set {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_list().entries(self.names()).finish()
            }
        }
    };
}

pub(crate) use bit_set;
