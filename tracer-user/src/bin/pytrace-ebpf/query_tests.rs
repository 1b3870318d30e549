use super::*;

fn args(words: &[&str]) -> QueryArgs {
    use clap::Parser as _;
    let words = ["pytrace-ebpf", "query"].iter().chain(words);
    match crate::cli::Cli::try_parse_from(words).unwrap().command {
        Some(crate::cli::Command::Query(args)) => *args,
        other => panic!("{other:?}"),
    }
}

fn why(words: &[&str]) -> String {
    run(&args(words)).unwrap_err().to_string()
}

#[test]
fn what_is_asked_wrongly_is_said() {
    assert!(why(&[]).contains("query --list"));
    assert!(why(&["no-such"]).contains("there is no question `no-such`"));
    assert!(why(&["top"]).contains("--on"));
    assert!(why(&["who-touched", "--on", "x"]).contains("-p path=…` or `-p peer=…"));
    assert!(why(&["new-effects", "--on", "x"]).contains("since is missing"));
    assert!(why(&["top", "--on", "x", "--partial"]).contains("cluster"));
    assert!(why(&["top", "--on", "http://u:p@h"]).contains("CLICKHOUSE_USER"));
    assert!(why(&["top", "--on", "/no/such"]).contains("cannot open"));
    assert!(why(&["SELECT 1", "--since", "x", "--on", "x"]).contains("is no time"));
}

#[test]
fn the_list_has_every_question_and_parameter() {
    let list = list();
    for question in QUESTIONS {
        assert!(list.contains(question.name) && list.contains(question.about));
    }
    assert!(list.contains("-p trace_id=TEXT") && list.contains("(must be given)"));
}

#[test]
fn own_sql_has_own_parameters() {
    let args = args(&["SELECT :a", "-p", "a=1", "--since", "@5"]);
    let asked = Asked::of("SELECT :a", &args).unwrap();
    let bound = |name: &str, value| Bound {
        name: name.into(),
        value,
    };
    assert_eq!(
        asked.bound,
        [
            bound("a", Value::Text("1".into())),
            bound("since", Value::Number(5_000_000_000))
        ]
    );
    assert_eq!(asked.since, bound("since", Value::Number(5_000_000_000)));
    assert_eq!(asked.sql(Engine::Sqlite), "SELECT :a");
}

#[test]
fn a_summary_does_not_count_losses_again() {
    let row =
        |event: &str, lost, records| vec![Cell::Text(event.into()), Cell::Int(lost), Cell::Int(records)];
    let answer = |rows: Vec<Vec<Cell>>| Answer {
        rows,
        ..Answer::default()
    };
    let rows = vec![
        row("pytrace.loss", 5, 2),
        row("pytrace.summary", 5, 1),
        row("pytrace.process.window", 0, 3),
    ];
    assert_eq!(lost(&answer(rows)), (5, 3));
    assert_eq!(lost(&answer(vec![row("pytrace.summary", 4, 1)])), (4, 0));
    assert_eq!(lost(&answer(Vec::new())), (0, 0));
}

#[test]
fn engines_are_chosen_by_name() {
    let chosen = args(&["top", "--sql=clickhouse-18"]);
    assert!(matches!(chosen.sql, Some(Some(EngineName(Engine::ClickHouse18)))));
    assert!(matches!(args(&["top", "--sql"]).sql, Some(None)));
    assert!(run(&args(&["top", "--sql=duckdb"])).is_ok());
    assert!(run(&args(&["--schema", "clickhouse"])).is_ok());
    assert!(run(&args(&["--list"])).is_ok());
}
