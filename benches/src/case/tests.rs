use clap::ValueEnum;

use super::{Case, Contender, Tables, Workload};

fn all() -> impl Iterator<Item = Case> {
    Workload::value_variants().iter().flat_map(|&workload| {
        Tables::value_variants().iter().flat_map(move |&tables| {
            [1, 2].into_iter().flat_map(move |workers| {
                Contender::value_variants().iter().map(move |&contender| Case { workload, tables, workers, contender })
            })
        })
    })
}

#[test]
fn a_case_reads_as_it_is_written() {
    for case in all() {
        assert_eq!(case.to_string().parse(), Ok(case));
    }
    assert!("closure-random:append-only:1".parse::<Case>().is_err());
}

#[test]
fn a_program_is_its_own_program() {
    for program in all().filter_map(Case::program) {
        assert_eq!(program.program(), Some(program));
    }
}
