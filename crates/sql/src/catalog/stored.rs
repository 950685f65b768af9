//! How ids, types and the relations are written by serde.

use std::collections::BTreeSet;

use refrain_types::RelationId;
use serde::{Deserialize, Serialize};

use super::{Catalog, DefinedFunction, FunctionDefinition, Registered, Relation, SYSTEM_IDS};

/// The catalog as it is written: relations as a list, system tables left out. The names follow from it.
#[derive(Serialize, Deserialize)]
pub(super) struct StoredCatalog {
    next_id: u64,
    relations: Vec<Relation>,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    schemas: BTreeSet<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    functions: Vec<FunctionDefinition>,
}

impl From<Catalog> for StoredCatalog {
    fn from(catalog: Catalog) -> Self {
        let functions = catalog.defined.into_iter().map(|defined| defined.definition).collect();
        let stored = catalog.relations.into_values().filter(|r| r.id < RelationId(SYSTEM_IDS));
        Self { next_id: catalog.next_id, relations: stored.collect(), schemas: catalog.schemas, functions }
    }
}

impl From<StoredCatalog> for Catalog {
    fn from(stored: StoredCatalog) -> Self {
        Self {
            next_id: stored.next_id,
            names: stored.relations.iter().map(|r| (r.name.clone(), r.id)).collect(),
            relations: stored.relations.into_iter().map(|r| (r.id, r)).collect(),
            schemas: stored.schemas,
            defined: stored.functions.into_iter().map(|definition| DefinedFunction { definition, function: None }).collect(),
            registered: Registered::default(),
        }
    }
}

pub(super) mod id {
    use serde::{Deserialize, Deserializer, Serializer};

    use super::RelationId;

    pub(in super::super) fn serialize<S: Serializer>(id: &RelationId, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_u64(id.0)
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<RelationId, D::Error> {
        u64::deserialize(d).map(RelationId)
    }
}

pub(super) mod ids {
    use std::collections::BTreeSet;

    use serde::{Deserialize, Deserializer, Serializer};

    use super::RelationId;

    pub(in super::super) fn serialize<S: Serializer>(ids: &BTreeSet<RelationId>, s: S) -> Result<S::Ok, S::Error> {
        s.collect_seq(ids.iter().map(|id| id.0))
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<BTreeSet<RelationId>, D::Error> {
        Ok(Vec::<u64>::deserialize(d)?.into_iter().map(RelationId).collect())
    }
}

/// Arrow's own name of a type, which Arrow can read back.
pub(super) mod arrow_type {
    use arrow::datatypes::DataType;
    use serde::{Deserialize, Deserializer, Serializer, de, ser};

    pub(in super::super) fn serialize<S: Serializer>(data_type: &Option<DataType>, s: S) -> Result<S::Ok, S::Error> {
        let data_type = data_type.as_ref().ok_or_else(|| ser::Error::custom("a type that is not there is not written"))?;
        s.collect_str(data_type)
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Option<DataType>, D::Error> {
        let name = String::deserialize(d)?;
        name.parse().map(Some).map_err(de::Error::custom)
    }
}
