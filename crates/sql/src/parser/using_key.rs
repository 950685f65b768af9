//! `name (column, …) USING KEY (column, …, min(column)) AS (…)` in a WITH clause, which sqlparser does not know: among the tokens the
//! clause becomes a query of its own in front of the one that it belongs to, `mark AS (SELECT column, …, min(column))`. [`take_keys`]
//! takes it out of the syntax tree again.

use datafusion_sql::sqlparser::ast::{Expr, FunctionArg, FunctionArgExpr, FunctionArguments, SelectItem, SetExpr, With};
use datafusion_sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion_sql::sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer};

use super::mutually::{is_space, is_word};
use super::{fold, unexpected};
use crate::error::{Result, SqlError};

const MARK: &str = "__refrain_using_key";

/// What a `USING KEY` clause says, by names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UsingKey {
    /// The columns of the key.
    pub columns: Vec<String>,
    /// A function and the column that it is of.
    pub function: Option<(String, String)>,
}

/// The tokens as sqlparser knows them.
pub(super) fn rewritten(tokens: Vec<TokenWithSpan>) -> Result<Vec<TokenWithSpan>> {
    let Some(first) = (0..tokens.len()).find(|at| clause_at(&tokens, *at).is_some()) else { return Ok(tokens) };
    let mut out = tokens[..first].to_vec();
    let mut at = first;
    while at < tokens.len() {
        match clause_at(&tokens, at) {
            None => out.push(tokens[at].clone()),
            Some(Clause { open, close }) => {
                let Some(start) = definition_start(&out) else {
                    let token = &tokens[at];
                    return Err(unexpected(&token.token.to_string(), false, token.span.start));
                };
                let span = tokens[at].span;
                let mut mark = made(&format!(" {MARK} AS (SELECT "), span)?;
                mark.extend_from_slice(&tokens[open + 1..close]);
                mark.extend(made("), ", span)?);
                out.splice(start..start, mark);
                at = close;
            }
        }
        at += 1;
    }
    Ok(out)
}

/// Where the parentheses of a clause stand.
struct Clause {
    open: usize,
    close: usize,
}

/// The clause that begins at a token: `USING KEY (…) AS`. A key column named `key` is in parentheses itself.
fn clause_at(tokens: &[TokenWithSpan], at: usize) -> Option<Clause> {
    let next = |from: usize| (from..tokens.len()).find(|i| !is_space(&tokens[*i]));
    let key = next(at + 1).filter(|key| is_word(&tokens[at], "using") && is_word(&tokens[*key], "key"))?;
    let open = next(key + 1).filter(|open| tokens[*open].token == Token::LParen)?;
    let close = matching(tokens.iter().enumerate().skip(open), &Token::LParen, &Token::RParen)?;
    next(close + 1).filter(|then| is_word(&tokens[*then], "as"))?;
    Some(Clause { open, close })
}

/// Where the definition begins that ends with the tokens: at a name, perhaps with a list of columns behind it.
fn definition_start(tokens: &[TokenWithSpan]) -> Option<usize> {
    let last = |upto: usize| (0..upto).rev().find(|i| !is_space(&tokens[*i]));
    let mut name = last(tokens.len())?;
    if tokens[name].token == Token::RParen {
        let backwards = tokens.iter().enumerate().take(name + 1).rev();
        name = last(matching(backwards, &Token::RParen, &Token::LParen)?)?;
    }
    matches!(tokens[name].token, Token::Word(_)).then_some(name)
}

/// The parenthesis that closes the first one.
pub(super) fn matching<'a>(tokens: impl Iterator<Item = (usize, &'a TokenWithSpan)>, open: &Token, close: &Token) -> Option<usize> {
    let mut depth = 0;
    for (i, token) in tokens {
        if token.token == *open {
            depth += 1;
        } else if token.token == *close {
            depth -= 1;
            if depth == 0 {
                return Some(i);
            }
        }
    }
    None
}

/// The tokens of a text, all of them at one place.
pub(super) fn made(text: &str, span: datafusion_sql::sqlparser::tokenizer::Span) -> Result<Vec<TokenWithSpan>> {
    let tokens = Tokenizer::new(&PostgreSqlDialect {}, text).tokenize().map_err(|e| SqlError::syntax(e.message))?;
    Ok(tokens.into_iter().map(|token| TokenWithSpan { token, span }).collect())
}

/// Takes the marks out of a WITH clause: for each query that is left, the key that it has.
///
/// # Errors
/// When a clause is more than columns and one function of one column.
pub(crate) fn take_keys(with: &mut With) -> Result<Vec<Option<UsingKey>>> {
    let (mut keys, mut pending) = (Vec::with_capacity(with.cte_tables.len()), None);
    let mut left = Vec::with_capacity(with.cte_tables.len());
    for cte in std::mem::take(&mut with.cte_tables) {
        if fold(&cte.alias.name) == MARK {
            pending = Some(key_of(&cte.query.body)?);
        } else {
            keys.push(pending.take());
            left.push(cte);
        }
    }
    with.cte_tables = left;
    Ok(keys)
}

fn key_of(body: &SetExpr) -> Result<UsingKey> {
    let mut key = UsingKey { columns: Vec::new(), function: None };
    let SetExpr::Select(select) = body else { return Err(wrong()) };
    for item in &select.projection {
        let (SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }) = item else { return Err(wrong()) };
        match expr {
            Expr::Identifier(column) => key.columns.push(fold(column)),
            Expr::Function(function) if function.over.is_none() && function.filter.is_none() => {
                let FunctionArguments::List(list) = &function.args else { return Err(wrong()) };
                let [FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Identifier(column)))] = list.args.as_slice() else {
                    return Err(wrong());
                };
                if key.function.is_some() {
                    return Err(SqlError::unsupported("USING KEY with more than one aggregate function is not supported")
                        .with_hint("Further columns are those of the row that wins."));
                }
                key.function = Some((function.name.to_string().to_lowercase(), fold(column)));
            }
            _ => return Err(wrong()),
        }
    }
    Ok(key)
}

fn wrong() -> SqlError {
    SqlError::syntax("USING KEY takes columns and one aggregate function of a column")
}
