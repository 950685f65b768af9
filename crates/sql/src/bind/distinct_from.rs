//! `a IS DISTINCT FROM b AND c`: sqlparser takes all that follows for the right side, PostgreSQL ends it before AND and OR.
//!
//! What sqlparser made a tree of is written out again as operands with AND and OR between them, up to parentheses, and grouped as it
//! should be.

use datafusion_sql::sqlparser::ast::{BinaryOperator, Expr, UnaryOperator};

/// Groups an expression anew, if it holds such a right side.
pub(super) fn regroup(expr: &mut Expr) {
    if !is_cut_wrongly(expr) {
        return;
    }
    let mut chain = Chain::default();
    chain.write(expr.clone());
    *expr = chain.grouped();
}

/// Whether the right side of an IS DISTINCT FROM that is not in parentheses goes on after AND or OR.
fn is_cut_wrongly(expr: &Expr) -> bool {
    match expr {
        Expr::IsDistinctFrom(_, right) | Expr::IsNotDistinctFrom(_, right) => is_connective(right) || is_cut_wrongly(right),
        Expr::BinaryOp { left, right, .. } if is_connective(expr) => is_cut_wrongly(left) || is_cut_wrongly(right),
        Expr::UnaryOp { op: UnaryOperator::Not, expr } => is_cut_wrongly(expr),
        _ => false,
    }
}

fn is_connective(expr: &Expr) -> bool {
    matches!(expr, Expr::BinaryOp { op: BinaryOperator::And | BinaryOperator::Or, .. })
}

/// Operands and what stands between them.
#[derive(Default)]
struct Chain {
    operands: Vec<Expr>,
    operators: Vec<BinaryOperator>,
}

impl Chain {
    fn write(&mut self, expr: Expr) {
        match expr {
            Expr::BinaryOp { left, op: op @ (BinaryOperator::And | BinaryOperator::Or), right } => {
                self.write(*left);
                self.operators.push(op);
                self.write(*right);
            }
            Expr::IsDistinctFrom(left, right) => self.write_then(*right, |first| Expr::IsDistinctFrom(left, Box::new(first))),
            Expr::IsNotDistinctFrom(left, right) => self.write_then(*right, |first| Expr::IsNotDistinctFrom(left, Box::new(first))),
            Expr::UnaryOp { op: UnaryOperator::Not, expr } => {
                self.write_then(*expr, |first| Expr::UnaryOp { op: UnaryOperator::Not, expr: Box::new(first) });
            }
            operand => self.operands.push(operand),
        }
    }

    /// Writes an expression whose first operand is part of what stands before it.
    fn write_then(&mut self, expr: Expr, whole: impl FnOnce(Expr) -> Expr) {
        let at = self.operands.len();
        self.write(expr);
        let first = self.operands.remove(at);
        self.operands.insert(at, whole(first));
    }

    /// AND before OR, each from the left.
    fn grouped(self) -> Expr {
        let binary = |left: Option<Expr>, op: BinaryOperator, right: Expr| match left {
            None => right,
            Some(left) => Expr::BinaryOp { left: Box::new(left), op, right: Box::new(right) },
        };
        let (mut all, mut together) = (None, None);
        for (operand, before) in self.operands.into_iter().zip(std::iter::once(None).chain(self.operators.into_iter().map(Some))) {
            if before == Some(BinaryOperator::Or) {
                let done = together.take().expect("an operator stands behind an operand");
                all = Some(binary(all, BinaryOperator::Or, done));
            }
            together = Some(binary(together, BinaryOperator::And, operand));
        }
        binary(all, BinaryOperator::Or, together.expect("there is an operand"))
    }
}

#[cfg(test)]
mod tests;
