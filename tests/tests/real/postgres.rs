//! psycopg2 with a real PostgreSQL: statements, parameters, rows and errors as the program and the server have them.

use serde_json::Value;
use tests::{Postgres, Program, Tracer, assert_acts, calls, from_file, packaged};

/// Statements that psycopg2 sends by itself.
const TRANSACTION: [&str; 3] = ["BEGIN", "COMMIT", "ROLLBACK"];

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

#[test]
fn what_a_program_asks_a_database_is_seen() {
    for python in packaged() {
        let Some(server) = Postgres::start() else { return };
        let mut program = Program::real(&python, "postgres.py", &[&server.port.to_string()]);
        let tracer = Tracer::attach(&program, &["-e", "db"]);
        let mut acts = program.run();
        let sent = acts.remove(0);
        let trace = tracer.stop();
        assert!(program.end());
        assert_eq!(trace.summary["lost"], 0);
        assert_acts(&from_file(&trace.events, "postgres.py"), &acts);
        let log = server.end();
        let of = |function: &str| -> Vec<Value> {
            let calls = calls(&trace.events).into_iter();
            calls.filter(|call| call["function"] == function).collect()
        };
        // What the program was told that it sent is what the server got: statements with their values in them.
        let statements: Vec<&str> = log.statements.iter().map(String::as_str).collect();
        let (ends, asked): (Vec<&str>, Vec<&str>) = statements
            .iter()
            .partition(|statement| TRANSACTION.contains(statement));
        let sent: Vec<String> = sent.as_array().expect("statements").iter().map(text).collect();
        assert_eq!(asked, sent);
        assert_eq!(of("psycopg2.extensions.cursor.execute").len(), asked.len());
        for (call, end) in [("commit", "COMMIT"), ("rollback", "ROLLBACK")] {
            let seen = of(&format!("psycopg2.extensions.connection.{call}")).len();
            assert_eq!(
                seen,
                ends.iter().filter(|statement| **statement == end).count(),
                "{call}"
            );
        }
        // Errors as the server has them.
        let raised: Vec<String> = of("psycopg2.extensions.cursor.execute")
            .iter()
            .filter(|call| call["outcome"] == "raise")
            .map(|call| {
                text(&call["exception"]["args"][0])
                    .lines()
                    .next()
                    .unwrap_or_default()
                    .to_owned()
            })
            .collect();
        assert_eq!(raised, log.errors);
        println!(
            "{}: {} statements, {} errors",
            trace.python(),
            asked.len(),
            raised.len()
        );
        let connects = of("psycopg2._psycopg._connect");
        let [connect] = &connects[..] else {
            panic!("{connects:?}")
        };
        let dsn = text(&connect["args"][0]["str"]);
        assert_eq!(
            dsn,
            format!(
                "host=127.0.0.1 port={} user=pytrace dbname=postgres password=***",
                port(&dsn)
            )
        );
    }
}

fn port(dsn: &str) -> &str {
    dsn.split("port=")
        .nth(1)
        .and_then(|rest| rest.split(' ').next())
        .unwrap_or_default()
}
