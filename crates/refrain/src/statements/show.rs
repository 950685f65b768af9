//! `SHOW`: relations, columns, settings.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use refrain_sql::catalog::RelationKind;
use refrain_sql::statement::Show;

use crate::error::Result;
use crate::session::{Outcome, Session};
use crate::settings::{DEFINITIONS, Definition, Scope};

/// Answers a `SHOW`.
pub(super) fn show(session: &Session, show: &Show) -> Result<Outcome> {
    let database = session.shared().database();
    let relations = |kinds: &[RelationKind]| {
        let mut found = database.catalog.relations().filter(|r| kinds.contains(&r.kind)).collect::<Vec<_>>();
        found.sort_by(|a, b| a.name.cmp(&b.name));
        found
    };
    Ok(match show {
        Show::Tables => {
            let tables = relations(&[RelationKind::Table]);
            let append_only = tables.iter().map(|t| if t.append_only { "yes" } else { "no" }.to_owned());
            texts(&[("name", tables.iter().map(|t| t.name.clone()).collect()), ("append_only", append_only.collect())])
        }
        Show::Views => {
            let views = relations(&[RelationKind::View, RelationKind::MaterializedView]);
            texts(&[
                ("name", views.iter().map(|v| v.name.clone()).collect()),
                ("kind", views.iter().map(|v| v.kind.to_string()).collect()),
            ])
        }
        Show::Functions => {
            let mut functions = database.catalog.defined_functions().collect::<Vec<_>>();
            functions.sort_by(|a, b| a.name.cmp(&b.name));
            texts(&[
                ("name", functions.iter().map(|f| f.name.clone()).collect()),
                ("parameters", functions.iter().map(|f| f.parameters_as_written()).collect()),
                ("returns", functions.iter().map(|f| f.returns.to_string()).collect()),
                ("strict", functions.iter().map(|f| if f.strict { "yes" } else { "no" }.to_owned()).collect()),
                ("definition", functions.iter().map(|f| f.body.clone()).collect()),
            ])
        }
        Show::Columns(name) => {
            let columns = &database.catalog.relation(name)?.columns;
            texts(&[
                ("column", columns.iter().map(|c| c.name.clone()).collect()),
                ("type", columns.iter().map(refrain_sql::catalog::Column::type_name).collect()),
                ("nullable", columns.iter().map(|c| if c.not_null { "not null" } else { "" }.to_owned()).collect()),
                ("default", columns.iter().map(refrain_sql::catalog::Column::default_name).collect()),
            ])
        }
        Show::Constraints(name) => {
            let relation = database.catalog.relation(name)?;
            texts(&[
                ("constraint", relation.constraints.iter().map(|c| c.name.clone()).collect()),
                ("definition", relation.constraints.iter().map(|c| relation.definition_of(c)).collect()),
            ])
        }
        Show::Indexes(name) => {
            let relation = database.catalog.relation(name)?;
            texts(&[
                ("index", relation.indexes.iter().map(|index| index.name.clone()).collect()),
                ("definition", relation.indexes.iter().map(|index| relation.definition_of_index(index)).collect()),
            ])
        }
        Show::Setting(name) if name == "epoch" => texts(&[("epoch", vec![session.shared().visible.now().to_string()])]),
        Show::Setting(name) => {
            let definition = Definition::find(name)?;
            texts(&[(definition.name, vec![value(session, definition)])])
        }
        Show::All => texts(&[
            ("name", DEFINITIONS.iter().map(|d| d.name.to_owned()).collect()),
            ("setting", DEFINITIONS.iter().map(|d| value(session, d)).collect()),
            ("description", DEFINITIONS.iter().map(|d| d.description.to_owned()).collect()),
        ]),
    })
}

fn value(session: &Session, definition: &'static Definition) -> String {
    match definition.scope {
        Scope::Session => session.values().get(definition).to_owned(),
        Scope::Engine => session.shared().values().get(definition).to_owned(),
    }
}

/// Rows of texts, a column at a time.
pub(super) fn texts(columns: &[(&str, Vec<String>)]) -> Outcome {
    let fields = columns.iter().map(|(name, _)| Field::new(*name, DataType::Utf8, true)).collect::<Vec<_>>();
    let schema = Arc::new(Schema::new(fields));
    let arrays = columns.iter().map(|(_, values)| Arc::new(StringArray::from(values.clone())) as ArrayRef).collect();
    let batch = RecordBatch::try_new(Arc::clone(&schema), arrays).expect("the columns are equally long");
    let batches = if batch.num_rows() == 0 { Vec::new() } else { vec![batch] };
    Outcome::Rows { schema, batches }
}
