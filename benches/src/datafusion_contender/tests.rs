use super::{chain, closure};
use crate::arguments::Size;
use crate::case::{Case, Contender, Tables, Workload};
use crate::{data, limit_contender};

#[test]
fn datafusion_and_the_hand_written_programs_agree() {
    for workers in [1, 2] {
        let case =
            Case { workload: Workload::ClosureRandom, tables: Tables::Changeable, workers, contender: Contender::DataFusion };
        let graph = data::random_graph(Size::Small);
        let limit = limit_contender::recursion::closure(&graph).answer();
        assert_eq!(closure(&case, graph).expect("the closure ends").answer(), limit);

        let graph = data::tests::text_graph();
        let limit = limit_contender::recursion::closure(&graph).answer();
        assert_eq!(closure(&case, graph).expect("the closure ends").answer(), limit);

        let graph = data::chain(Size::Small);
        let limit = limit_contender::recursion::chain(&graph).answer();
        assert_eq!(chain(&case, graph).expect("the chain ends").answer(), limit);
    }
}
