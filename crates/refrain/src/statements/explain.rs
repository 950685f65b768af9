//! `EXPLAIN`: the stream plan of what can be maintained, DataFusion's plan of what can only be read once.

use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::displayable;
use refrain_sql::{Bound, Statement};

use super::show::texts;
use crate::database::Database;
use crate::error::{Error, Result};
use crate::planning;
use crate::query::lookups;
use crate::session::{Outcome, Session};

/// Explains a query, or the query of a statement that holds one.
pub(super) async fn explain(session: &Session, statement: &Statement) -> Result<Outcome> {
    let shared = session.shared();
    let mut database = Database::clone(&shared.database());
    // A view that asks for the time would have it.
    database.clock(&shared.visible);
    let catalog = &database.catalog;
    let lines = match statement {
        Statement::CreateMaterializedView(view) | Statement::CreateView(view) => {
            let bound = refrain_sql::bind_view(catalog, view)?;
            stream_lines(&planning::maintained(&database, bound.plan)?)
        }
        Statement::Query(query) => {
            let bound = refrain_sql::bind_query(catalog, query)?;
            let once = planning::one_shot(&database, bound.plan.clone());
            let mut lines = match planning::maintained(&database, bound.plan.clone()) {
                Ok(plan) => stream_lines(&plan),
                Err(refused) => {
                    let header = format!("Read once (not maintained: {})", refused.message());
                    std::iter::once(header).chain(once_lines(session, bound).await?).collect()
                }
            };
            lines.extend(once.map(|plan| lookups(&database, &plan)).unwrap_or_default());
            lines
        }
        Statement::Insert(insert) => once_lines(session, refrain_sql::bind_insert(catalog, insert)?).await?,
        Statement::Delete(delete) => once_lines(session, refrain_sql::bind_delete(catalog, delete)?).await?,
        Statement::Update(update) => once_lines(session, refrain_sql::bind_update(catalog, update)?).await?,
        _ => return Err(Error::unsupported("EXPLAIN of this statement is not supported")),
    };
    Ok(texts(&[("QUERY PLAN", lines)]))
}

fn stream_lines(plan: &refrain_plan::StreamPlan) -> Vec<String> {
    planning::explain(plan).lines().map(str::to_owned).collect()
}

/// The logical plan where it holds what only we can execute, else DataFusion's physical plan.
async fn once_lines(session: &Session, bound: Bound) -> Result<Vec<String>> {
    let shared = session.shared();
    let plan = planning::one_shot(&shared.database(), bound.plan)?;
    let ours = plan.exists_ours();
    let text = if ours {
        plan.display_indent().to_string()
    } else {
        let physical = shared.executor.physical(&plan).await?;
        displayable(physical.as_ref()).indent(false).to_string()
    };
    Ok(text.lines().map(str::to_owned).collect())
}

trait Ours {
    /// Whether the plan scans relations or holds recursions, which DataFusion cannot plan without their rows.
    fn exists_ours(&self) -> bool;
}

impl Ours for LogicalPlan {
    fn exists_ours(&self) -> bool {
        use datafusion::common::tree_node::TreeNodeRecursion as R;
        let mut found = false;
        let _ = self.apply_with_subqueries(|node| {
            found |= matches!(node, LogicalPlan::TableScan(_) | LogicalPlan::Extension(_));
            Ok(if found { R::Stop } else { R::Continue })
        });
        found
    }
}
