use super::{chain, closure, group_by, join, reach};
use crate::arguments::Size;
use crate::case::{Case, Contender, Tables, Workload};
use crate::data::{self, Reach};
use crate::limit_contender;

#[test]
fn refrain_and_the_hand_written_programs_agree() {
    for (workers, tables) in [(1, Tables::AppendOnly), (1, Tables::Changeable), (2, Tables::AppendOnly), (2, Tables::Changeable)] {
        let case = Case { workload: Workload::ClosureRandom, tables, workers, contender: Contender::Refrain };
        let graph = data::random_graph(Size::Small);
        let limit = limit_contender::recursion::closure(&graph).answer();
        assert_eq!(closure(&case, graph).expect("the view settles").answer(), limit);

        let graph = data::tests::text_graph();
        let limit = limit_contender::recursion::closure(&graph).answer();
        assert_eq!(closure(&case, graph).expect("the view settles").answer(), limit);

        let graph = data::chain(Size::Small);
        let limit = limit_contender::recursion::chain(&graph).answer();
        assert_eq!(chain(&case, graph).expect("the view settles").answer(), limit);

        let sides = data::join_sides(Size::Small);
        let limit = limit_contender::stream::join(&sides).answer();
        assert_eq!(join(&case, sides).expect("the view settles").answer(), limit);

        let events = data::events(Size::Small);
        let limit = limit_contender::stream::group_by(&events).answer();
        assert_eq!(group_by(&case, events).expect("the view settles").answer(), limit);
    }
}

#[test]
fn refrain_follows_single_changes() {
    for workers in [1, 2] {
        let case = Case { workload: Workload::ReachLatency, tables: Tables::Changeable, workers, contender: Contender::Refrain };
        let work = Reach::over(data::tests::text_graph(), Size::Small);
        let limit = limit_contender::change::reach(&work).answer();
        assert_eq!(reach(&case, work).expect("the view settles").answer(), limit);
    }
}
