//! Canonical JSON (RFC 8785): the bytes that get hashed and signed, and strict reading of maps.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};

use crate::Name;

/// The canonical bytes of one of this crate's documents.
#[expect(
    clippy::expect_used,
    reason = "writing to memory cannot fail, and the documents hold text keys, text and integers under 2^53 only"
)]
pub(crate) fn to_vec<T: serde::Serialize>(document: &T) -> Vec<u8> {
    serde_json_canonicalizer::to_vec(document).expect("documents are plain JSON")
}

/// Reads a map and refuses a duplicate key: readers that keep the first value and readers that keep the last would
/// understand two different documents.
pub(crate) fn unique_keys<'de, D, V>(deserializer: D) -> Result<BTreeMap<Name, V>, D::Error>
where
    D: Deserializer<'de>,
    V: Deserialize<'de>,
{
    struct UniqueKeys<V>(PhantomData<V>);

    impl<'de, V: Deserialize<'de>> Visitor<'de> for UniqueKeys<V> {
        type Value = BTreeMap<Name, V>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a map from names")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
            let mut map = BTreeMap::new();
            while let Some((name, value)) = access.next_entry::<Name, V>()? {
                if map.contains_key(&name) {
                    return Err(A::Error::custom(format_args!("duplicate name `{name}`")));
                }
                map.insert(name, value);
            }
            Ok(map)
        }
    }

    deserializer.deserialize_map(UniqueKeys(PhantomData))
}

/// Defines the type tag of one kind of document: a field with only one valid value, `name/version`. Another version of the
/// same name has an error message of its own.
macro_rules! tag {
    ($name:ident, $value:literal) => {
        enum $name {
            Tag,
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let $name::Tag = self;
                serializer.serialize_str($value)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<$name, D::Error> {
                let found = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                crate::canonical::check_tag(&found, $value).map_err(serde::de::Error::custom)?;
                Ok($name::Tag)
            }
        }
    };
}
pub(crate) use tag;

/// Checks that a document's tag is the one that this version reads. The error is a message.
pub(crate) fn check_tag(found: &str, expected: &str) -> Result<(), String> {
    let kind = |tag: &str| tag.split_once('/').map(|(kind, _)| kind.to_owned());
    if found == expected {
        Ok(())
    } else if kind(found).is_some() && kind(found) == kind(expected) {
        Err(format!("it is a {found:?}, of another version of isobit; this one reads {expected:?}"))
    } else {
        Err(format!("it is a {found:?}, not a {expected:?}"))
    }
}
