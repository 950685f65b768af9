use super::{chain, closure, closure_nonlinear, components, group_by, join, points_to, reach, same_generation, shortest};
use crate::arguments::Size;
use crate::case::{Case, Contender, Tables, Workload};
use crate::data::recursion::{self, Roads};
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

#[test]
fn refrain_and_the_hand_written_programs_agree_on_recursions_of_other_forms() {
    for (workers, tables) in [(1, Tables::AppendOnly), (1, Tables::Changeable), (2, Tables::AppendOnly), (2, Tables::Changeable)] {
        let case = Case { workload: Workload::PointsTo, tables, workers, contender: Contender::Refrain };
        for roads in [Roads::grid(Size::Small), Roads::rmat(Size::Small)] {
            let limit = limit_contender::shortest::shortest(&roads);
            let ours = shortest(&case, &roads).expect("the view settles");
            let trail = limit.trail.filter(|_| tables == Tables::Changeable);
            assert_eq!((ours.answer(), ours.trail), (limit.answer(), trail));
        }

        let graph = recursion::sparse_graph(Size::Small);
        let limit = limit_contender::classes::components(&graph).answer();
        assert_eq!(components(&case, graph).expect("the view settles").answer(), limit);

        let program = recursion::program(Size::Small);
        let limit = limit_contender::points_to::points_to(&program).answer();
        assert_eq!(points_to(&case, program).expect("the view settles").answer(), limit);

        let families = recursion::families(Size::Small);
        let limit = limit_contender::classes::same_generation(&families).answer();
        assert_eq!(same_generation(&case, families).expect("the view settles").answer(), limit);

        let graphs = recursion::random_graphs(Size::Small);
        let limit = limit_contender::recursion::closure(&graphs).answer();
        assert_eq!(closure_nonlinear(&case, graphs).expect("the view settles").answer(), limit);
    }
}
