use super::*;

fn bound(name: &str, value: Value) -> Bound {
    Bound {
        name: name.into(),
        value,
    }
}

fn parameters() -> Vec<Bound> {
    vec![
        bound("path", Value::Like("/a\\_'%".into())),
        bound("id", Value::Text("x' OR 1=1 --".into())),
        bound("since", Value::Number(7)),
    ]
}

const SQL: &str = "SELECT ':path', `:id` -- :since\n/* :id */ FROM {effects} WHERE path LIKE :path AND id = :id AND t >= :since AND x::UInt8 = :other";

#[test]
fn each_engine_gets_parameters_its_own_way() {
    let render = |engine: Engine| engine.render(SQL, &parameters()).unwrap();
    let kept = "SELECT ':path', `:id` -- :since\n/* :id */ FROM effects";
    assert_eq!(
        render(Engine::Sqlite),
        format!("{kept} WHERE path LIKE :path AND id = :id AND t >= :since AND x::UInt8 = :other")
    );
    assert_eq!(
        render(Engine::DuckDb),
        format!(
            "{kept} WHERE path LIKE $path ESCAPE '\\' AND id = $id AND t >= $since AND x::UInt8 = :other"
        )
    );
    assert_eq!(
        render(Engine::ClickHouse),
        format!(
            "{kept} FINAL WHERE path LIKE {{path:String}} AND id = {{id:String}} AND t >= {{since:UInt64}} AND x::UInt8 = :other"
        )
    );
    assert_eq!(
        render(Engine::ClickHouse18),
        format!(
            "{kept} FINAL WHERE path LIKE '/a\\\\_\\'%' AND id = 'x\\' OR 1=1 --' AND t >= 7 AND x::UInt8 = :other"
        )
    );
}

#[test]
fn literals_have_no_way_out() {
    assert_eq!(quote("a'b\\").unwrap(), "'a\\'b\\\\'");
    assert_eq!(quote("\n\r\t\x1b\x7fé").unwrap(), "'\\n\\r\\t\\x1B\\x7Fé'");
    assert!(quote("a\0").is_err());
    let zero = [bound("id", Value::Text("\0".into()))];
    assert!(Engine::ClickHouse18.render(":id", &zero).is_err());
    // Whatever is in it, it ends at its last character.
    for text in ["'", "\\", "\\'", "''", "\\\\'", "a\\", "'; DROP TABLE x --"] {
        let literal = quote(text).unwrap();
        assert_eq!(quoted(&literal, '\''), literal.len(), "{literal}");
    }
}

#[test]
fn what_is_not_closed_ends_with_the_text() {
    for sql in ["'abc", "/* abc", "-- abc", "a ''' :id", "{losse", "'\\"] {
        assert_eq!(Engine::ClickHouse.render(sql, &parameters()).unwrap(), sql);
    }
    assert_eq!(Engine::Sqlite.render("{losses}", &[]).unwrap(), "losses");
    assert_eq!(
        Engine::ClickHouse
            .render("'a''b :id' :id", &parameters())
            .unwrap(),
        "'a''b :id' {id:String}"
    );
}

#[test]
fn engines_have_names_and_schemas() {
    for engine in Engine::ALL {
        assert!(engine.schema().contains("effects"), "{}", engine.name());
    }
    // What a server of 2018 does not know.
    for word in ["DateTime64(", "Map(", "LowCardinality", "CODEC", "TTL"] {
        assert!(!Engine::ClickHouse18.schema().contains(word), "{word}");
    }
}
