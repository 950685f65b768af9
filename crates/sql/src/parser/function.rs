//! `CREATE FUNCTION`, `DROP FUNCTION`.

use datafusion_sql::sqlparser::ast::{self, CreateFunctionBody, Expr, FunctionCalledOnNull, FunctionReturnType, Value};
use datafusion_sql::sqlparser::tokenizer::Token;

use super::{Parser, fold, parse_query, relation_name};
use crate::catalog::{FunctionDefinition, Parameter};
use crate::error::{Result, SqlError, code};
use crate::statement::{CreateFunction, DropFunction, Statement};
use crate::types::SqlType;

impl Parser<'_> {
    /// `CREATE [OR REPLACE] FUNCTION name ([name] type, …) RETURNS type LANGUAGE sql [STRICT] RETURN expression | AS 'SELECT expression'`
    pub(super) fn create_function(&mut self) -> Result<Statement> {
        self.expect_word("create")?;
        let or_replace = self.words(&["or", "replace"]);
        self.expect_word("function")?;
        let parsed = self.inner.parse_create_function(false, or_replace, false).map_err(|e| self.error(&e))?;
        let ast::Statement::CreateFunction(parsed) = parsed else { return self.refuse() };
        let name = without_schema(relation_name(&parsed.name)?)?;
        if parsed.security.is_some() || !parsed.set_params.is_empty() {
            return Err(SqlError::unsupported("SECURITY and SET of a function are not supported"));
        }
        match &parsed.language {
            Some(language) if fold(language) == "sql" => {}
            // What is written with RETURN is SQL.
            None if matches!(parsed.function_body, Some(CreateFunctionBody::Return(_))) => {}
            Some(language) => {
                let message = format!("language \"{}\" does not exist", fold(language));
                return Err(SqlError::new(code::UNDEFINED_OBJECT, message)
                    .with_hint("Functions are written in SQL, or registered by the program that embeds the engine."));
            }
            None => return Err(SqlError::new(code::INVALID_FUNCTION_DEFINITION, "no language specified")),
        }
        let parameters = parsed.args.unwrap_or_default().into_iter().map(|argument| {
            if argument.mode.is_some_and(|mode| mode != ast::ArgMode::In) || argument.default_expr.is_some() {
                return Err(SqlError::unsupported("OUT parameters, and defaults of parameters, are not supported"));
            }
            // PostgreSQL does not quote the name here.
            let sql_type = SqlType::from_ast(&argument.data_type);
            let sql_type = sql_type.map_err(|error| SqlError { message: error.message.replace('"', ""), ..error })?;
            Ok(Parameter { name: argument.name.as_ref().map(parameter_name), sql_type })
        });
        let parameters = parameters.collect::<Result<Vec<_>>>()?;
        let returns = match &parsed.return_type {
            Some(FunctionReturnType::DataType(ast::DataType::Table(_))) | Some(FunctionReturnType::SetOf(_)) => {
                return Err(SqlError::unsupported("functions that return rows are not supported").with_hint("Create a view."));
            }
            Some(FunctionReturnType::DataType(data_type)) => SqlType::from_ast(data_type)?,
            None => {
                return Err(SqlError::new(code::INVALID_FUNCTION_DEFINITION, "function result type must be specified"));
            }
        };
        let body = match parsed.function_body {
            Some(CreateFunctionBody::Return(value)) => value,
            Some(CreateFunctionBody::AsBeforeOptions { body: Expr::Value(text), link_symbol: None }) => match text.value {
                Value::SingleQuotedString(text) => selected(&text)?,
                Value::DollarQuotedString(text) => selected(&text.value)?,
                _ => return Err(SqlError::unsupported("such a body of a function is not supported")),
            },
            Some(_) => return Err(SqlError::unsupported("such a body of a function is not supported")),
            None => return Err(SqlError::new(code::INVALID_FUNCTION_DEFINITION, "no function body specified")),
        };
        let strict = !matches!(parsed.called_on_null, None | Some(FunctionCalledOnNull::CalledOnNullInput));
        let definition = FunctionDefinition { name, parameters, returns, strict, body: body.to_string() };
        Ok(Statement::CreateFunction(CreateFunction { definition, or_replace }))
    }

    /// `DROP FUNCTION [IF EXISTS] name [([name] type, …)], … [RESTRICT]`
    pub(super) fn drop_function(&mut self) -> Result<Statement> {
        self.expect_word("drop")?;
        self.expect_word("function")?;
        let if_exists = self.words(&["if", "exists"]);
        let mut functions = Vec::new();
        loop {
            let name = without_schema(self.relation()?)?;
            let mut types = None;
            if self.inner.consume_token(&Token::LParen) {
                let types = types.insert(Vec::new());
                while self.peek() != Token::RParen {
                    let argument = self.inner.parse_data_type().map_err(|e| self.error(&e))?;
                    types.push(SqlType::from_ast(&argument)?);
                    if !self.inner.consume_token(&Token::Comma) {
                        break;
                    }
                }
                self.expect(&Token::RParen)?;
            }
            functions.push((name, types));
            if !self.inner.consume_token(&Token::Comma) {
                break;
            }
        }
        if self.word("cascade") {
            return Err(SqlError::unsupported("DROP FUNCTION … CASCADE is not supported").with_hint("Drop what calls it first."));
        }
        self.word("restrict");
        Ok(Statement::DropFunction(DropFunction { functions, if_exists }))
    }
}

/// sqlparser keeps a quoted name with its quotes.
fn parameter_name(name: &ast::Ident) -> String {
    match name.value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(quoted) => quoted.replace("\"\"", "\""),
        None => fold(name),
    }
}

/// The expression of `SELECT expression`.
fn selected(text: &str) -> Result<Expr> {
    let unsupported = || Err(SqlError::unsupported("functions of more than SELECT expression are not supported"));
    let query = match parse_query(text.trim().trim_end_matches(';')) {
        Ok(query) => query,
        Err(error) if error.code == code::SYNTAX_ERROR => return Err(error),
        Err(_) => return unsupported(),
    };
    let whole = query.to_string();
    let ast::SetExpr::Select(select) = *query.body else { return unsupported() };
    match select.projection.as_slice() {
        // Nothing stands beside it.
        [ast::SelectItem::UnnamedExpr(value) | ast::SelectItem::ExprWithAlias { expr: value, .. }]
            if whole == format!("SELECT {}", select.projection[0]) =>
        {
            Ok(value.clone())
        }
        _ => unsupported(),
    }
}

fn without_schema(name: String) -> Result<String> {
    if name.contains('.') { Err(SqlError::unsupported("a function in a schema is not supported")) } else { Ok(name) }
}
