//! How ids and clocks are written in a manifest: as plain numbers, and 128-bit names as hexadecimal text.
//!
//! `refrain-types` does not know serde; these adapters keep the types in the manifest without making it.

use std::collections::BTreeMap;
use std::fmt;

use refrain_types::{CheckpointId, DataflowId, Epoch, Generation, OperatorId, RelationId, Tick};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An id that is a number on disk.
pub(crate) trait Number: Copy {
    fn to_number(self) -> u64;
    fn of_number(number: u64) -> Option<Self>;
}

macro_rules! numbers {
    ($($id:ident: $inner:ty),*) => {$(
        impl Number for $id {
            fn to_number(self) -> u64 {
                u64::from(self.0)
            }
            fn of_number(number: u64) -> Option<Self> {
                <$inner>::try_from(number).ok().map(Self)
            }
        }
    )*};
}

numbers!(CheckpointId: u64, DataflowId: u64, Epoch: u64, Generation: u64, OperatorId: u32, RelationId: u64, Tick: u64);

fn checked<T: Number, E: serde::de::Error>(number: u64) -> Result<T, E> {
    T::of_number(number).ok_or_else(|| E::custom(format!("{number} is out of range")))
}

pub(crate) fn serialize<T: Number, S: Serializer>(id: &T, serializer: S) -> Result<S::Ok, S::Error> {
    id.to_number().serialize(serializer)
}

pub(crate) fn deserialize<'de, T: Number, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    checked(u64::deserialize(deserializer)?)
}

/// An id that may be absent.
pub(crate) mod option {
    use super::{Deserialize, Deserializer, Number, Serialize, Serializer, checked};

    pub(crate) fn serialize<T: Number, S: Serializer>(id: &Option<T>, serializer: S) -> Result<S::Ok, S::Error> {
        id.map(T::to_number).serialize(serializer)
    }

    pub(crate) fn deserialize<'de, T: Number, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
        Option::<u64>::deserialize(deserializer)?.map(checked).transpose()
    }
}

/// A map from ids to clocks.
pub(crate) mod map {
    use super::{BTreeMap, Deserialize, Deserializer, Number, Serialize, Serializer, checked};

    pub(crate) fn serialize<K: Number, V: Number, S: Serializer>(map: &BTreeMap<K, V>, serializer: S) -> Result<S::Ok, S::Error> {
        map.iter().map(|(k, v)| (k.to_number(), v.to_number())).collect::<BTreeMap<_, _>>().serialize(serializer)
    }

    pub(crate) fn deserialize<'de, K: Number + Ord, V: Number, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeMap<K, V>, D::Error> {
        BTreeMap::<u64, u64>::deserialize(deserializer)?.into_iter().map(|(k, v)| Ok((checked(k)?, checked(v)?))).collect()
    }
}

/// 128 bits that tell a writer, an attempt or an object from all others.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UniqueId(pub u128);

impl fmt::Display for UniqueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        uuid::Uuid::from_u128(self.0).fmt(f)
    }
}

impl fmt::Debug for UniqueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for UniqueId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for UniqueId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse::<uuid::Uuid>().map(|id| Self(id.as_u128())).map_err(serde::de::Error::custom)
    }
}
