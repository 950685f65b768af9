//! PostgreSQL's reserved words, which name no relation unless quoted.

use std::ops::ControlFlow;

use datafusion_sql::sqlparser::ast::{self, Ident};

/// In order.
const RESERVED: [&str; 77] = [
    "all",
    "analyse",
    "analyze",
    "and",
    "any",
    "array",
    "as",
    "asc",
    "asymmetric",
    "both",
    "case",
    "cast",
    "check",
    "collate",
    "column",
    "constraint",
    "create",
    "current_catalog",
    "current_date",
    "current_role",
    "current_time",
    "current_timestamp",
    "current_user",
    "default",
    "deferrable",
    "desc",
    "distinct",
    "do",
    "else",
    "end",
    "except",
    "false",
    "fetch",
    "for",
    "foreign",
    "from",
    "grant",
    "group",
    "having",
    "in",
    "initially",
    "intersect",
    "into",
    "lateral",
    "leading",
    "limit",
    "localtime",
    "localtimestamp",
    "not",
    "null",
    "offset",
    "on",
    "only",
    "or",
    "order",
    "placing",
    "primary",
    "references",
    "returning",
    "select",
    "session_user",
    "some",
    "symmetric",
    "table",
    "then",
    "to",
    "trailing",
    "true",
    "union",
    "unique",
    "user",
    "using",
    "variadic",
    "when",
    "where",
    "window",
    "with",
];

/// The first relation of a query that is named by a reserved word.
pub(super) fn reserved_relation(query: &ast::Query) -> Option<Ident> {
    let found = ast::visit_relations(query, |name| match name.0.as_slice() {
        [part] => match part.as_ident() {
            Some(ident) if is_reserved(ident) => ControlFlow::Break(ident.clone()),
            _ => ControlFlow::Continue(()),
        },
        _ => ControlFlow::Continue(()),
    });
    match found {
        ControlFlow::Break(ident) => Some(ident),
        ControlFlow::Continue(()) => None,
    }
}

fn is_reserved(ident: &Ident) -> bool {
    ident.quote_style.is_none() && RESERVED.binary_search(&ident.value.to_lowercase().as_str()).is_ok()
}
