//! Functions that a program registers.

use std::sync::Arc;

use refrain::datafusion::arrow::array::{ArrayRef, AsArray, Int32Array, Int64Array, RecordBatch, StringArray};
use refrain::datafusion::arrow::datatypes::{DataType, Field, FieldRef, Int64Type, Schema, SchemaRef};
use refrain::datafusion::common::{Result, ScalarValue, exec_err, not_impl_err, plan_err};
use refrain::datafusion::logical_expr::function::{AccumulatorArgs, PartitionEvaluatorArgs, WindowUDFFieldArgs};
use refrain::datafusion::logical_expr::{
    Accumulator, AggregateUDF, ColumnarValue, PartitionEvaluator, ScalarUDF, Signature, Volatility, WindowUDF, WindowUDFImpl,
    create_udaf, create_udf,
};
use refrain::{Batches, Engine, Session, TableFunction};

use crate::rows::{error, rows, run};

/// Twice a number; of 13 it is an error.
fn twice(name: &str, volatility: Volatility) -> ScalarUDF {
    let twice = |arguments: &[ColumnarValue]| {
        let numbers = ColumnarValue::values_to_arrays(arguments)?.remove(0);
        let numbers = numbers.as_primitive::<Int64Type>();
        if numbers.iter().any(|number| number == Some(13)) {
            return exec_err!("13 brings bad luck");
        }
        Ok(ColumnarValue::Array(Arc::new(numbers.unary::<_, Int64Type>(|number| number * 2)) as ArrayRef))
    };
    create_udf(name, vec![DataType::Int64], DataType::Int64, volatility, Arc::new(twice))
}

#[derive(Debug)]
struct Product(i64);

impl Accumulator for Product {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.0 *= values[0].as_primitive::<Int64Type>().iter().flatten().product::<i64>();
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(ScalarValue::Int64(Some(self.0)))
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![self.evaluate()?])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.update_batch(states)
    }
}

fn product() -> AggregateUDF {
    let number = || Arc::new(DataType::Int64);
    let begin = |_: AccumulatorArgs<'_>| Ok(Box::new(Product(1)) as Box<dyn Accumulator>);
    create_udaf("product", vec![DataType::Int64], number(), Volatility::Immutable, Arc::new(begin), Arc::new(vec![DataType::Int64]))
}

/// How many rows of the partition there are.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Many(Signature);

impl WindowUDFImpl for Many {
    fn name(&self) -> &str {
        "many"
    }

    fn signature(&self) -> &Signature {
        &self.0
    }

    fn partition_evaluator(&self, _: PartitionEvaluatorArgs<'_>) -> Result<Box<dyn PartitionEvaluator>> {
        Ok(Box::new(Many(self.0.clone())))
    }

    fn field(&self, arguments: WindowUDFFieldArgs<'_>) -> Result<FieldRef> {
        Ok(Arc::new(Field::new(arguments.name(), DataType::Int64, false)))
    }
}

impl PartitionEvaluator for Many {
    fn evaluate_all(&mut self, _: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
        Ok(Arc::new(Int64Array::from(vec![rows as i64; rows])))
    }
}

/// The numbers from 1 on, with their names or with their squares; more than 9 are an error of the function.
#[derive(Debug)]
struct Numbers;

impl TableFunction for Numbers {
    fn name(&self) -> &'static str {
        "numbers"
    }

    fn schema(&self, arguments: &[ScalarValue]) -> Result<SchemaRef> {
        let second = match arguments {
            [ScalarValue::Int32(_)] => Field::new("name", DataType::Utf8, true),
            [ScalarValue::Int32(_), ScalarValue::Boolean(Some(true))] => Field::new("square", DataType::Int64, false),
            [_, ScalarValue::Boolean(_)] => return plan_err!("numbers are squared or not"),
            _ => return not_impl_err!("other numbers"),
        };
        Ok(Arc::new(Schema::new(vec![Field::new("number", DataType::Int32, false), second])))
    }

    fn rows(&self, arguments: &[ScalarValue]) -> Result<Batches> {
        let ScalarValue::Int32(Some(count)) = arguments[0] else { return Ok(Box::new(std::iter::empty())) };
        let schema = self.schema(arguments)?;
        let batch = move |number: i32| {
            let second: ArrayRef = match schema.field(1).data_type() {
                DataType::Utf8 if number == 2 => Arc::new(StringArray::from(vec![None::<&str>])),
                DataType::Utf8 => Arc::new(StringArray::from(vec![format!("number {number}")])),
                _ => Arc::new(Int64Array::from(vec![i64::from(number * number)])),
            };
            match number {
                0 => Ok(RecordBatch::try_from_iter([("other", second)])?),
                1..10 => Ok(RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(Int32Array::from(vec![number])), second])?),
                _ => exec_err!("there are nine numbers"),
            }
        };
        Ok(Box::new((count.min(1)..=count).map(batch)))
    }
}

fn numbers() -> Arc<dyn TableFunction> {
    Arc::new(Numbers)
}

async fn open(store: &str) -> (Engine, Session) {
    let many = WindowUDF::new_from_impl(Many(Signature::nullary(Volatility::Immutable)));
    let builder = Engine::builder().store(store).workers(2).udf(twice("twice", Volatility::Immutable)).udf(product()).udf(many);
    let builder = builder.udf(numbers());
    let engine = builder.open().await.expect("the store opens");
    let session = engine.session();
    (engine, session)
}

#[tokio::test]
async fn they_are_called_like_others() {
    let (_engine, s) = open("memory://").await;
    run(&s, "CREATE TABLE t (a BIGINT CHECK (twice(a) < 100), b BIGINT DEFAULT twice(4)); INSERT INTO t VALUES (1), (2)").await;
    assert_eq!(error(&s, "INSERT INTO t VALUES (50)").await.code(), "23514");
    assert_eq!(rows(&s, "SELECT twice(a), b, Twice(3) FROM t WHERE twice(a) > 2").await, ["4|8|6"]);
    assert_eq!(rows(&s, "SELECT product(b), product(a) FILTER (WHERE a > 1), product(a) FROM t").await, ["64|2|2"]);
    assert_eq!(rows(&s, "SELECT many() OVER (PARTITION BY b) + a FROM t").await, ["3", "4"]);
    assert_eq!(rows(&s, "INSERT INTO t VALUES (3) RETURNING twice(a)").await, ["6"]);
    let of_text = error(&s, "SELECT twice('x'::text)").await;
    assert_eq!((of_text.code(), of_text.message()), ("42883", "function twice(text) does not exist"));
    assert_eq!(error(&s, "SELECT thrice(1)").await.code(), "42883");
    assert_eq!(error(&s, "INSERT INTO t VALUES (1) RETURNING product(a)").await.code(), "42803");
    let unlucky = error(&s, "SELECT twice(13)").await;
    assert_eq!(unlucky.message(), "13 brings bad luck");
}

#[tokio::test]
async fn views_that_call_them_are_maintained_and_restored() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().display().to_string();
    let (engine, s) = open(&store).await;
    run(&s, "CREATE TABLE t (a BIGINT); INSERT INTO t VALUES (1), (2), (5)").await;
    run(&s, "CREATE MATERIALIZED VIEW doubled AS SELECT a, twice(a) AS b FROM t").await;
    run(&s, "CREATE MATERIALIZED VIEW products AS SELECT a % 2 AS odd, product(a) AS p FROM t GROUP BY a % 2").await;
    run(&s, "CREATE MATERIALIZED VIEW counted AS SELECT a, many() OVER (PARTITION BY a % 2) AS n FROM t").await;
    run(
        &s,
        "CREATE MATERIALIZED VIEW powers AS WITH RECURSIVE p(n) AS
            (SELECT a FROM t UNION SELECT twice(n) FROM p WHERE n < 10) SELECT n FROM p",
    )
    .await;
    let all = async |s: &Session| {
        let mut all = Vec::new();
        for view in ["doubled", "products", "counted", "powers"] {
            all.push(rows(s, &format!("SELECT * FROM {view}")).await.join(" "));
        }
        all
    };
    assert_eq!(all(&s).await, ["1|2 2|4 5|10", "0|2 1|5", "1|2 2|1 5|2", "1 10 16 2 4 5 8"]);
    run(&s, "DELETE FROM t WHERE a = 1; INSERT INTO t VALUES (7), (4)").await;
    let then = ["2|4 4|8 5|10 7|14", "0|8 1|35", "2|2 4|2 5|2 7|2", "10 14 16 2 4 5 7 8"];
    assert_eq!(all(&s).await, then);
    // Rows that fail are errors of the views, and heal.
    run(&s, "INSERT INTO t VALUES (13)").await;
    let failed = error(&s, "SELECT * FROM doubled").await;
    assert_eq!(failed.message(), "13 brings bad luck");
    run(&s, "DELETE FROM t WHERE a = 13").await;
    assert_eq!(all(&s).await, then);
    engine.checkpoint().await.unwrap();
    engine.close().await.unwrap();

    let without = Engine::builder().store(&store).open().await.unwrap_err();
    assert!(without.message().contains("\"doubled\"") && without.message().contains("twice(bigint)"), "{without}");
    let (_engine, s) = open(&store).await;
    assert_eq!(all(&s).await, then);
    run(&s, "DELETE FROM t WHERE a > 4").await;
    assert_eq!(all(&s).await, ["2|4 4|8", "0|8", "2|2 4|2", "16 2 4 8"]);
}

#[tokio::test]
async fn functions_in_from_are_tables() {
    let (engine, s) = open("memory://").await;
    let numbers = "SELECT * FROM numbers(1 + 2)";
    assert_eq!(rows(&s, numbers).await, ["1|number 1", "2|NULL", "3|number 3"]);
    assert_eq!(rows(&s, "SELECT n + q AS x FROM numbers(3, true) AS t(n, q) WHERE n > 1").await, ["12", "6"]);
    assert_eq!(rows(&s, "SELECT count(*) FROM numbers(NULL::int)").await, ["0"]);
    assert_eq!(rows(&s, "SELECT a.number FROM numbers(3) a JOIN numbers(2, true) b ON a.number = b.square").await, ["1"]);
    for (query, code, message) in [
        ("SELECT * FROM numbers('x'::text)", "42883", "function numbers(text) does not exist"),
        ("SELECT * FROM digits(3)", "42883", "function digits(integer) does not exist"),
        ("SELECT * FROM numbers(3, false)", "42000", "numbers are squared or not"),
        ("SELECT * FROM numbers(10)", "22000", "there are nine numbers"),
        ("SELECT * FROM (VALUES (1)) t(n), numbers(n)", "0A000", "arguments of numbers have to be constant"),
        ("SELECT numbers(3)", "42883", "function numbers does not exist"),
        ("CREATE MATERIALIZED VIEW v AS SELECT * FROM numbers(10)", "22000", "there are nine numbers"),
    ] {
        let error = error(&s, query).await;
        assert!(error.message().contains(message) && error.code() == code, "{query}: {} {error}", error.code());
    }
    let others = error(&s, "SELECT * FROM numbers(0)").await;
    assert!(others.message().contains("function numbers gives rows of other columns than it has told"), "{others}");
    assert_eq!(engine.register_udf(twice("numbers", Volatility::Immutable)).unwrap_err().code(), "42723");
}

#[tokio::test]
async fn views_over_functions_in_from_are_maintained_and_restored() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().display().to_string();
    let (engine, s) = open(&store).await;
    run(&s, "CREATE TABLE t (a INT); INSERT INTO t VALUES (1), (2), (2)").await;
    run(&s, "CREATE MATERIALIZED VIEW named AS SELECT a, name FROM t JOIN numbers(3) ON a = number").await;
    assert_eq!(rows(&s, "SELECT * FROM named").await, ["1|number 1", "2|NULL", "2|NULL"]);
    engine.checkpoint().await.unwrap();
    engine.close().await.unwrap();
    let (_engine, s) = open(&store).await;
    run(&s, "DELETE FROM t WHERE a = 2; INSERT INTO t VALUES (3), (4)").await;
    assert_eq!(rows(&s, "SELECT * FROM named").await, ["1|number 1", "3|number 3"]);
}

#[tokio::test]
async fn each_has_a_name_of_its_own() {
    let (engine, s) = open("memory://").await;
    for taken in ["twice", "product", "many", "abs", "sum", "rank"] {
        let taken = engine.register_udf(twice(taken, Volatility::Immutable)).unwrap_err();
        assert_eq!(taken.code(), "42723", "{taken}");
    }
    let two = Engine::builder().udf(twice("f", Volatility::Immutable)).udf(twice("f", Volatility::Immutable)).open().await;
    assert_eq!(two.unwrap_err().message(), "function \"f\" already exists");
    engine.register_udf(twice("late", Volatility::Immutable)).unwrap();
    engine.register_udf(twice("Mixed", Volatility::Immutable)).unwrap();
    assert_eq!(rows(&s, "SELECT late(2), \"Mixed\"(3)").await, ["4|6"]);
    assert_eq!(error(&s, "SELECT mixed(3)").await.code(), "42883");
}

#[tokio::test]
async fn what_changes_by_itself_is_not_in_a_view() {
    let (engine, s) = open("memory://").await;
    engine.register_udf(twice("unsteady", Volatility::Volatile)).unwrap();
    engine.register_udf(twice("steady", Volatility::Stable)).unwrap();
    run(&s, "CREATE TABLE t (a BIGINT); INSERT INTO t VALUES (1)").await;
    for name in ["unsteady", "steady"] {
        assert_eq!(rows(&s, &format!("SELECT {name}(a) FROM t")).await, ["2"]);
        let refused = error(&s, &format!("CREATE MATERIALIZED VIEW v AS SELECT {name}(a) FROM t")).await;
        assert_eq!(refused.code(), "0A000", "{refused}");
    }
    let aggregate =
        "CREATE MATERIALIZED VIEW v AS WITH RECURSIVE r(n) AS (SELECT a FROM t UNION SELECT product(n) FROM r) SELECT n FROM r";
    assert_eq!(error(&s, aggregate).await.code(), "42P19");
}
