//! `information_schema`: what relations there are, in the words of the SQL standard, with PostgreSQL's columns and values.
//!
//! A materialized view is in it as a table of the type `MATERIALIZED VIEW`, which PostgreSQL leaves out. What there is nothing of here, such
//! as privileges, is NULL.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use refrain_sql::catalog::schema::{PUBLIC, split};
use refrain_sql::catalog::{Column, Constraint, ConstraintKind, Relation, RelationKind, SYSTEM_SCHEMAS};
use refrain_sql::{Catalog, SqlType};

/// The name of the database.
const DATABASE: &str = "refrain";
/// Who has everything.
const OWNER: &str = "refrain";
/// Bytes of a text at most.
const TEXT_BYTES_MAX: i32 = 1 << 30;

/// A table: its name, and its columns with their types.
struct Table {
    name: &'static str,
    columns: &'static [(&'static str, Type)],
    rows: fn(&Catalog) -> Vec<Row>,
}

#[derive(Clone, Copy)]
enum Type {
    Text,
    Number,
}
use Type::{Number, Text};

/// The values that are not NULL.
type Row = Vec<(&'static str, Value)>;

enum Value {
    Text(String),
    Number(i32),
}

const TABLES: [Table; 7] = [
    Table {
        name: "information_schema.schemata",
        columns: &[
            ("catalog_name", Text),
            ("schema_name", Text),
            ("schema_owner", Text),
            ("default_character_set_catalog", Text),
            ("default_character_set_schema", Text),
            ("default_character_set_name", Text),
            ("sql_path", Text),
        ],
        rows: schemata,
    },
    Table {
        name: "information_schema.tables",
        columns: &[
            ("table_catalog", Text),
            ("table_schema", Text),
            ("table_name", Text),
            ("table_type", Text),
            ("self_referencing_column_name", Text),
            ("reference_generation", Text),
            ("user_defined_type_catalog", Text),
            ("user_defined_type_schema", Text),
            ("user_defined_type_name", Text),
            ("is_insertable_into", Text),
            ("is_typed", Text),
            ("commit_action", Text),
        ],
        rows: tables,
    },
    Table {
        name: "information_schema.views",
        columns: &[
            ("table_catalog", Text),
            ("table_schema", Text),
            ("table_name", Text),
            ("view_definition", Text),
            ("check_option", Text),
            ("is_updatable", Text),
            ("is_insertable_into", Text),
            ("is_trigger_updatable", Text),
            ("is_trigger_deletable", Text),
            ("is_trigger_insertable_into", Text),
        ],
        rows: views,
    },
    Table {
        name: "information_schema.columns",
        columns: &[
            ("table_catalog", Text),
            ("table_schema", Text),
            ("table_name", Text),
            ("column_name", Text),
            ("ordinal_position", Number),
            ("column_default", Text),
            ("is_nullable", Text),
            ("data_type", Text),
            ("character_maximum_length", Number),
            ("character_octet_length", Number),
            ("numeric_precision", Number),
            ("numeric_precision_radix", Number),
            ("numeric_scale", Number),
            ("datetime_precision", Number),
            ("interval_type", Text),
            ("interval_precision", Number),
            ("character_set_catalog", Text),
            ("character_set_schema", Text),
            ("character_set_name", Text),
            ("collation_catalog", Text),
            ("collation_schema", Text),
            ("collation_name", Text),
            ("domain_catalog", Text),
            ("domain_schema", Text),
            ("domain_name", Text),
            ("udt_catalog", Text),
            ("udt_schema", Text),
            ("udt_name", Text),
            ("scope_catalog", Text),
            ("scope_schema", Text),
            ("scope_name", Text),
            ("maximum_cardinality", Number),
            ("dtd_identifier", Text),
            ("is_self_referencing", Text),
            ("is_identity", Text),
            ("identity_generation", Text),
            ("identity_start", Text),
            ("identity_increment", Text),
            ("identity_maximum", Text),
            ("identity_minimum", Text),
            ("identity_cycle", Text),
            ("is_generated", Text),
            ("generation_expression", Text),
            ("is_updatable", Text),
        ],
        rows: columns,
    },
    Table {
        name: "information_schema.table_constraints",
        columns: &[
            ("constraint_catalog", Text),
            ("constraint_schema", Text),
            ("constraint_name", Text),
            ("table_catalog", Text),
            ("table_schema", Text),
            ("table_name", Text),
            ("constraint_type", Text),
            ("is_deferrable", Text),
            ("initially_deferred", Text),
            ("enforced", Text),
            ("nulls_distinct", Text),
        ],
        rows: table_constraints,
    },
    Table {
        name: "information_schema.key_column_usage",
        columns: &[
            ("constraint_catalog", Text),
            ("constraint_schema", Text),
            ("constraint_name", Text),
            ("table_catalog", Text),
            ("table_schema", Text),
            ("table_name", Text),
            ("column_name", Text),
            ("ordinal_position", Number),
            ("position_in_unique_constraint", Number),
        ],
        rows: key_column_usage,
    },
    Table {
        name: "information_schema.check_constraints",
        columns: &[("constraint_catalog", Text), ("constraint_schema", Text), ("constraint_name", Text), ("check_clause", Text)],
        rows: check_constraints,
    },
];

/// Makes the tables known to a catalog.
pub(super) fn define(catalog: &mut Catalog) {
    for table in &TABLES {
        catalog.define_system_table(table.name, &table.schema());
    }
}

/// The rows of a table.
///
/// # Panics
/// When there is no such table.
pub(super) fn batch(catalog: &Catalog, name: &str) -> RecordBatch {
    let table = TABLES.iter().find(|table| table.name == name).expect("a system table of the catalog is one of these");
    let rows = (table.rows)(catalog);
    debug_assert!(
        rows.iter().flatten().all(|(name, _)| table.columns.iter().any(|(column, _)| column == name)),
        "a value is one of a column"
    );
    let arrays = table.columns.iter().map(|(column, of_type)| {
        let values = rows.iter().map(|row| row.iter().find(|(name, _)| name == column).map(|(_, value)| value));
        match of_type {
            Text => Arc::new(values.map(|value| value.and_then(Value::text)).collect::<StringArray>()) as ArrayRef,
            Number => Arc::new(values.map(|value| value.and_then(Value::number)).collect::<Int32Array>()),
        }
    });
    RecordBatch::try_new(table.schema(), arrays.collect()).expect("the columns are the schema's")
}

impl Table {
    fn schema(&self) -> SchemaRef {
        let data_type = |of_type: &Type| match of_type {
            Text => DataType::Utf8,
            Number => DataType::Int32,
        };
        let fields = self.columns.iter().map(|(name, of_type)| Field::new(*name, data_type(of_type), true));
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    }
}

impl Value {
    fn text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    fn number(&self) -> Option<i32> {
        if let Self::Number(number) = self { Some(*number) } else { None }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<i32> for Value {
    fn from(number: i32) -> Self {
        Self::Number(number)
    }
}

fn number(count: usize) -> Value {
    Value::Number(i32::try_from(count).expect("a table has fewer columns"))
}

fn yes_or_no(yes: bool) -> Value {
    if yes { "YES" } else { "NO" }.into()
}

fn of_table(relation: &Relation) -> Row {
    let (schema, name) = split(&relation.name);
    vec![("table_catalog", DATABASE.into()), ("table_schema", schema.into()), ("table_name", name.into())]
}

fn of_constraint(relation: &Relation, constraint: &Constraint) -> Row {
    let (schema, _) = split(&relation.name);
    vec![
        ("constraint_catalog", DATABASE.into()),
        ("constraint_schema", schema.into()),
        ("constraint_name", constraint.name.as_str().into()),
    ]
}

fn constraints(catalog: &Catalog) -> impl Iterator<Item = (&Relation, &Constraint)> {
    catalog.relations().flat_map(|relation| relation.constraints.iter().map(move |constraint| (relation, constraint)))
}

fn schemata(catalog: &Catalog) -> Vec<Row> {
    let row =
        |schema: &str| vec![("catalog_name", DATABASE.into()), ("schema_name", schema.into()), ("schema_owner", OWNER.into())];
    [PUBLIC].into_iter().chain(SYSTEM_SCHEMAS).chain(catalog.schemas()).map(row).collect()
}

fn tables(catalog: &Catalog) -> Vec<Row> {
    let row = |relation: &Relation| {
        let (kind, is_table) = match relation.kind {
            RelationKind::Table => ("BASE TABLE", true),
            RelationKind::MaterializedView => ("MATERIALIZED VIEW", false),
            RelationKind::View | RelationKind::System | RelationKind::Clock => ("VIEW", false),
        };
        let mut row = of_table(relation);
        row.extend([("table_type", kind.into()), ("is_insertable_into", yes_or_no(is_table)), ("is_typed", yes_or_no(false))]);
        row
    };
    catalog.relations().map(row).collect()
}

fn views(catalog: &Catalog) -> Vec<Row> {
    let row = |relation: &Relation| {
        let definition = relation.definition.as_ref().filter(|_| relation.kind == RelationKind::View)?;
        let mut row = of_table(relation);
        row.extend([("view_definition", definition.query.as_str().into()), ("check_option", "NONE".into())]);
        let never =
            ["is_updatable", "is_insertable_into", "is_trigger_updatable", "is_trigger_deletable", "is_trigger_insertable_into"];
        row.extend(never.map(|name| (name, yes_or_no(false))));
        Some(row)
    };
    catalog.relations().filter_map(row).collect()
}

fn columns(catalog: &Catalog) -> Vec<Row> {
    let columns =
        catalog.relations().flat_map(|relation| (1..).zip(&relation.columns).map(move |(at, column)| (relation, at, column)));
    let row = |(relation, at, column): (&Relation, usize, &Column)| {
        let mut row = of_table(relation);
        row.extend([("column_name", column.name.as_str().into()), ("ordinal_position", number(at))]);
        row.extend(column.default.as_deref().map(|default| ("column_default", default.into())));
        row.push(("is_nullable", yes_or_no(!column.not_null)));
        row.extend(of_type(column));
        row.extend([("udt_catalog", DATABASE.into()), ("udt_schema", "pg_catalog".into())]);
        row.push(("dtd_identifier", Value::Text(at.to_string())));
        row.extend(["is_self_referencing", "identity_cycle"].map(|name| (name, yes_or_no(false))));
        row.push(("is_identity", yes_or_no(column.identity.is_some())));
        if let Some(identity) = &column.identity {
            row.push(("identity_generation", if identity.always { "ALWAYS" } else { "BY DEFAULT" }.into()));
            let numbers = [
                ("identity_start", identity.start),
                ("identity_increment", identity.increment),
                ("identity_maximum", identity.maximum),
                ("identity_minimum", identity.minimum),
            ];
            row.extend(numbers.map(|(name, number)| (name, Value::Text(number.to_string()))));
        }
        row.push(("is_generated", "NEVER".into()));
        row.push(("is_updatable", yes_or_no(relation.kind == RelationKind::Table)));
        row
    };
    columns.map(row).collect()
}

/// What is said of a column's type.
fn of_type(column: &Column) -> Row {
    let text = |length: Option<u32>| {
        let length = length.map(|length| i32::try_from(length).unwrap_or(i32::MAX));
        // A character takes four bytes at most.
        let bytes = length.map_or(TEXT_BYTES_MAX, |length| length.saturating_mul(4));
        let length = length.map(|length| ("character_maximum_length", length.into()));
        length.into_iter().chain([("character_octet_length", bytes.into())]).collect::<Row>()
    };
    let binary = |precision: i32, scale: Option<i32>| {
        let scale = scale.map(|scale| ("numeric_scale", scale.into()));
        let precision = [("numeric_precision", precision.into()), ("numeric_precision_radix", 2.into())];
        precision.into_iter().chain(scale).collect::<Row>()
    };
    let of_moment = |precision: i32| vec![("datetime_precision", precision.into())];
    let (udt, mut row) = match column.sql_type {
        None => {
            let name = column.type_name();
            let Some(element) = name.strip_suffix("[]") else {
                return vec![("data_type", name.as_str().into()), ("udt_name", name.as_str().into())];
            };
            return vec![("data_type", "ARRAY".into()), ("udt_name", Value::Text(format!("_{element}")))];
        }
        Some(SqlType::SmallInt) => ("int2", binary(16, Some(0))),
        Some(SqlType::Integer) => ("int4", binary(32, Some(0))),
        Some(SqlType::BigInt) => ("int8", binary(64, Some(0))),
        Some(SqlType::Real) => ("float4", binary(24, None)),
        Some(SqlType::Double) => ("float8", binary(53, None)),
        Some(SqlType::Numeric(None)) => ("numeric", vec![("numeric_precision_radix", 10.into())]),
        Some(SqlType::Numeric(Some((precision, scale)))) => {
            let scale = ("numeric_scale", i32::from(scale).into());
            ("numeric", vec![("numeric_precision", i32::from(precision).into()), ("numeric_precision_radix", 10.into()), scale])
        }
        Some(SqlType::Text) => ("text", text(None)),
        Some(SqlType::Varchar(length)) => ("varchar", text(length)),
        Some(SqlType::Char(length)) => ("bpchar", text(Some(length))),
        Some(SqlType::Boolean) => ("bool", Row::new()),
        Some(SqlType::Date) => ("date", of_moment(0)),
        Some(SqlType::Time) => ("time", of_moment(6)),
        Some(SqlType::Timestamp) => ("timestamp", of_moment(6)),
        Some(SqlType::TimestampTz) => ("timestamptz", of_moment(6)),
        Some(SqlType::Interval) => ("interval", of_moment(6)),
        Some(SqlType::Bytea) => ("bytea", Row::new()),
    };
    let name = column.type_name();
    // Without its length.
    let name = name.split_once('(').map_or(name.as_str(), |(name, _)| name);
    row.extend([("data_type", name.into()), ("udt_name", udt.into())]);
    row
}

fn table_constraints(catalog: &Catalog) -> Vec<Row> {
    let row = |(relation, constraint): (&Relation, &Constraint)| {
        let mut row = of_constraint(relation, constraint);
        row.extend(of_table(relation));
        row.extend([("is_deferrable", yes_or_no(false)), ("initially_deferred", yes_or_no(false)), ("enforced", yes_or_no(true))]);
        match constraint.key() {
            None => row.push(("constraint_type", "CHECK".into())),
            Some(key) if key.primary => row.push(("constraint_type", "PRIMARY KEY".into())),
            Some(key) => row.extend([("constraint_type", "UNIQUE".into()), ("nulls_distinct", yes_or_no(!key.nulls_equal))]),
        }
        row
    };
    // A column that is never NULL has a check of its own in PostgreSQL, by a number that changes.
    constraints(catalog).map(row).collect()
}

fn key_column_usage(catalog: &Catalog) -> Vec<Row> {
    let columns = constraints(catalog).flat_map(|(relation, constraint)| {
        let columns = constraint.key().map(|key| key.columns.as_slice()).unwrap_or_default();
        (1..).zip(columns).map(move |(at, column)| (relation, constraint, at, &relation.columns[*column].name))
    });
    let row = |(relation, constraint, at, column): (&Relation, &Constraint, usize, &String)| {
        let mut row = of_constraint(relation, constraint);
        row.extend(of_table(relation));
        row.extend([("column_name", column.as_str().into()), ("ordinal_position", number(at))]);
        row
    };
    columns.map(row).collect()
}

fn check_constraints(catalog: &Catalog) -> Vec<Row> {
    let row = |(relation, constraint): (&Relation, &Constraint)| {
        let ConstraintKind::Check(expression) = &constraint.kind else { return None };
        let mut row = of_constraint(relation, constraint);
        row.push(("check_clause", Value::Text(format!("({expression})"))));
        Some(row)
    };
    constraints(catalog).filter_map(row).collect()
}
