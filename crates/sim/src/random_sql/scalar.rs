//! Expressions of a type over columns.

use super::{Column, Generator, Type};

const TEXTS: [&str; 8] = ["", "ant", "Bee", "cat", "a b", "é", "%", "10"];

impl Generator {
    /// A constant; never NULL.
    pub(super) fn literal(&mut self, r#type: Type) -> String {
        match r#type {
            Type::Int => self.random.within(-3..=6).to_string(),
            Type::Big => format!("({})::bigint", self.random.within(-3..=6)),
            Type::Text => format!("'{}'", self.random.pick(&TEXTS)),
            Type::Bool => (*self.random.pick(&["true", "false"])).to_owned(),
            Type::Numeric => format!("'{}.{:02}'::numeric", self.random.within(-3..=6), self.random.pick(&[0, 5, 10, 25, 50, 99])),
            Type::Date => format!("DATE '2024-{:02}-{:02}'", 1 + self.random.below(3), 1 + self.random.below(28)),
            Type::Double => format!("'{}'::double precision", self.random.pick(&["-1.5", "0", "0.5", "1", "2.25", "1e10"])),
        }
    }

    /// An expression of a type.
    pub(super) fn scalar(&mut self, r#type: Type, scope: &[Column], depth: usize) -> String {
        let simple = depth == 0 || self.random.percent(55);
        if simple {
            if self.random.percent(80)
                && let Some(column) = self.column(r#type, scope)
            {
                return column;
            }
            return if self.random.percent(8) { format!("NULL::{}", r#type.sql()) } else { self.literal(r#type) };
        }
        let depth = depth - 1;
        if self.random.percent(25) {
            return self.of_any_type(r#type, scope, depth);
        }
        match r#type {
            Type::Int => self.int(scope, depth),
            Type::Big => self.big(scope, depth),
            Type::Text => self.text(scope, depth),
            Type::Bool => self.condition(scope, depth),
            Type::Numeric => self.numeric(scope, depth),
            Type::Date => self.date(scope, depth),
            Type::Double => self.double(scope, depth),
        }
    }

    /// What there is of each type.
    fn of_any_type(&mut self, r#type: Type, scope: &[Column], depth: usize) -> String {
        let [a, b] = [(); 2].map(|()| self.scalar(r#type, scope, depth));
        match self.random.below(5) {
            0 => format!("coalesce({a}, {b})"),
            1 => format!("nullif({a}, {b})"),
            2 if r#type != Type::Bool => format!("greatest({a}, {b})"),
            3 if r#type != Type::Bool => format!("least({a}, {b})"),
            _ => {
                let condition = self.condition(scope, depth);
                let otherwise = if self.random.percent(70) { format!(" ELSE {b}") } else { String::new() };
                format!("CASE WHEN {condition} THEN {a}{otherwise} END")
            }
        }
    }

    fn int(&mut self, scope: &[Column], depth: usize) -> String {
        let int = |generator: &mut Self| generator.scalar(Type::Int, scope, depth);
        let (a, b) = (int(self), int(self));
        match self.random.below(11) {
            0 | 1 => format!("({a} + {b})"),
            2 => format!("({a} - {b})"),
            3 => format!("({a} * {b})"),
            4 => format!("({a} / nullif({b}, 0))"),
            5 => format!("({a} % nullif({b}, 0))"),
            6 => format!("abs({a})"),
            7 => format!("length({})", self.scalar(Type::Text, scope, depth)),
            8 => format!("extract(day FROM {})::int", self.scalar(Type::Date, scope, depth)),
            9 => format!("({} - {})", self.scalar(Type::Date, scope, depth), self.scalar(Type::Date, scope, depth)),
            _ => format!("({})::int", self.scalar(Type::Bool, scope, depth)),
        }
    }

    fn big(&mut self, scope: &[Column], depth: usize) -> String {
        let (a, b) = (self.scalar(Type::Big, scope, depth), self.scalar(Type::Int, scope, depth));
        match self.random.below(6) {
            0 => format!("({a} + {b})"),
            1 => format!("({b} - {a})"),
            2 => format!("({a} * {b})"),
            3 => format!("({a} % nullif({b}, 0))"),
            4 => format!("abs({a})"),
            _ => format!("({b})::bigint"),
        }
    }

    fn text(&mut self, scope: &[Column], depth: usize) -> String {
        let (a, b) = (self.scalar(Type::Text, scope, depth), self.scalar(Type::Text, scope, depth));
        let n = self.random.below(3);
        match self.random.below(15) {
            0 | 1 => format!("({a} || {b})"),
            2 => format!("upper({a})"),
            3 => format!("lower({a})"),
            4 => format!("substr({a}, {}, {n})", n + 1),
            5 => format!("replace({a}, 'a', {b})"),
            6 => format!("left({a}, {n})"),
            7 => format!("right({a}, {n})"),
            8 => format!("reverse({a})"),
            9 => format!("concat({a}, {b})"),
            10 => format!("lpad({a}, {}, '*')", n + 2),
            11 => format!("btrim({a})"),
            12 => format!("repeat({a}, {n})"),
            13 => format!("split_part({a}, ' ', {})", n + 1),
            _ => {
                let of = *self.random.pick(&[Type::Int, Type::Big, Type::Bool, Type::Date]);
                format!("({})::text", self.scalar(of, scope, depth))
            }
        }
    }

    fn numeric(&mut self, scope: &[Column], depth: usize) -> String {
        let (a, b) = (self.scalar(Type::Numeric, scope, depth), self.scalar(Type::Numeric, scope, depth));
        match self.random.below(10) {
            0 => format!("({a} + {b})"),
            1 => format!("({a} - {b})"),
            2 => format!("({a} * {b})"),
            3 => format!("round({a}, 1)"),
            4 => format!("abs({a})"),
            5 => format!("trunc({a})"),
            6 => format!("ceil({a})"),
            7 => format!("(- {a})"),
            8 => format!("({})::numeric", self.scalar(Type::Big, scope, depth)),
            _ => format!("({})::numeric", self.scalar(Type::Int, scope, depth)),
        }
    }

    fn date(&mut self, scope: &[Column], depth: usize) -> String {
        let a = self.scalar(Type::Date, scope, depth);
        match self.random.below(3) {
            0 => format!("({a} + {})", self.scalar(Type::Int, scope, depth)),
            1 => format!("({a} - {})", self.scalar(Type::Int, scope, depth)),
            _ => format!("date_trunc('month', {a})::date"),
        }
    }

    /// Without what may be a negative zero, which equals the other one and is shown otherwise.
    fn double(&mut self, scope: &[Column], depth: usize) -> String {
        let (a, b) = (self.scalar(Type::Double, scope, depth), self.scalar(Type::Double, scope, depth));
        match self.random.below(4) {
            0 => format!("({a} + {b})"),
            1 => format!("({a} - {b})"),
            2 => format!("abs({a})"),
            _ => format!("({})::double precision", self.scalar(Type::Int, scope, depth)),
        }
    }

    /// A condition without subqueries.
    pub(super) fn condition(&mut self, scope: &[Column], depth: usize) -> String {
        if depth > 0 && self.random.percent(35) {
            let (a, b) = (self.condition(scope, depth - 1), self.condition(scope, depth - 1));
            return match self.random.below(6) {
                0 | 1 => format!("({a} AND {b})"),
                2 | 3 => format!("({a} OR {b})"),
                4 => format!("(NOT {a})"),
                _ => {
                    format!("({a} IS {})", self.random.pick(&["TRUE", "NOT TRUE", "FALSE", "NOT FALSE", "UNKNOWN", "NOT UNKNOWN"]))
                }
            };
        }
        let r#type = match self.any_column(scope) {
            Some(column) => column.r#type,
            None => self.any_type(),
        };
        let depth = depth.saturating_sub(1);
        let a = self.scalar(r#type, scope, depth);
        match self.random.below(12) {
            0 => format!("({a} IS NULL)"),
            1 => format!("({a} IS NOT NULL)"),
            2 => {
                let not = if self.random.percent(40) { "NOT " } else { "" };
                format!("({a} IS {not}DISTINCT FROM {})", self.scalar(r#type, scope, depth))
            }
            3 if r#type != Type::Bool => {
                let (low, high) = (self.literal(r#type), self.scalar(r#type, scope, depth));
                let not = if self.random.percent(30) { "NOT " } else { "" };
                format!("({a} {not}BETWEEN {low} AND {high})")
            }
            4 => {
                let list = (0..=self.random.below(3)).map(|_| self.scalar(r#type, scope, 0)).collect::<Vec<_>>().join(", ");
                let not = if self.random.percent(30) { "NOT " } else { "" };
                format!("({a} {not}IN ({list}))")
            }
            5 if r#type == Type::Text => {
                let pattern = self.random.pick(&["%a%", "_e%", "", "%", "a_b", "B%", "\\%"]);
                let like = self.random.pick(&["LIKE", "NOT LIKE", "ILIKE"]);
                format!("({a} {like} '{pattern}')")
            }
            _ => {
                let b = self.scalar(r#type, scope, depth);
                format!("({a} {} {b})", self.comparison())
            }
        }
    }

    pub(super) fn comparison(&mut self) -> &'static str {
        self.random.pick::<&'static str>(&["=", "=", "<", "<=", ">", ">=", "<>"])
    }
}
