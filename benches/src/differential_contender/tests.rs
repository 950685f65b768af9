use super::general::{self, Maintained, Once};
use super::{change, interned, keyed, load, once, stream};
use crate::arguments::Size;
use crate::data::recursion::{self, Roads};
use crate::data::{self, Reach};
use crate::limit_contender;

#[test]
fn differential_and_the_hand_written_programs_agree() {
    for workers in [1, 2] {
        let graph = data::random_graph(Size::Small);
        let limit = limit_contender::recursion::closure(&graph).answer();
        assert_eq!(load::closure(workers, graph.clone()).answer(), limit);
        assert_eq!(once::closure(workers, graph).answer(), limit);

        let graph = data::tests::text_graph();
        let limit = limit_contender::recursion::closure(&graph).answer();
        assert_eq!(load::closure(workers, graph.clone()).answer(), limit);
        assert_eq!(interned::closure(workers, &graph).answer(), limit);
        assert_eq!(once::closure(workers, graph).answer(), limit);

        let chain = data::chain(Size::Small);
        let limit = limit_contender::recursion::chain(&chain).answer();
        assert_eq!(limit.rows, 200);
        assert_eq!(load::chain(workers, chain.clone()).answer(), limit);
        assert_eq!(once::chain(workers, chain).answer(), limit);

        let work = Reach::over(data::tests::text_graph(), Size::Small);
        let limit = limit_contender::change::reach(&work).answer();
        assert_eq!(change::reach(workers, &work).answer(), limit);
        assert_eq!(interned::reach(workers, &work).answer(), limit);

        let sides = data::join_sides(Size::Small);
        assert_eq!(stream::join(workers, sides.clone()).answer(), limit_contender::stream::join(&sides).answer());

        let events = data::events(Size::Small);
        assert_eq!(stream::group_by(workers, events.clone()).answer(), limit_contender::stream::group_by(&events).answer());
    }
}

#[test]
fn differential_and_the_hand_written_programs_agree_on_recursions_of_other_forms() {
    for workers in [1, 2] {
        for roads in [Roads::grid(Size::Small), Roads::rmat(Size::Small)] {
            let limit = limit_contender::shortest::shortest(&roads);
            let ours = keyed::shortest(workers, &roads);
            assert_eq!((ours.answer(), ours.trail), (limit.answer(), limit.trail));
        }

        let graph = recursion::sparse_graph(Size::Small);
        let limit = limit_contender::classes::components(&graph).answer();
        assert_eq!(keyed::components(workers, graph).answer(), limit);

        let program = recursion::program(Size::Small);
        let limit = limit_contender::points_to::points_to(&program).answer();
        assert_eq!(general::points_to::<Maintained>(workers, program.clone()).answer(), limit);
        assert_eq!(general::points_to::<Once>(workers, program).answer(), limit);

        let families = recursion::families(Size::Small);
        let limit = limit_contender::classes::same_generation(&families).answer();
        assert_eq!(general::same_generation::<Maintained>(workers, families.clone()).answer(), limit);
        assert_eq!(general::same_generation::<Once>(workers, families).answer(), limit);

        let graphs = recursion::random_graphs(Size::Small);
        let limit = limit_contender::recursion::closure(&graphs).answer();
        assert_eq!(general::closure::<Maintained>(workers, graphs.clone()).answer(), limit);
        assert_eq!(general::closure::<Once>(workers, graphs).answer(), limit);
    }
}
