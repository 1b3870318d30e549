use super::*;

fn now() -> Timestamp {
    Timestamp::from_second(1_800_000_000).unwrap()
}

#[test]
fn moments_are_written_in_several_ways() {
    let ns = |text: &str| moment(text, now());
    let second = 1_000_000_000;
    assert_eq!(ns("0"), Ok(0));
    assert_eq!(ns("@1700000000"), Ok(1_700_000_000 * second));
    assert_eq!(ns("2h"), Ok((1_800_000_000 - 7200) * second));
    assert_eq!(ns("15m"), Ok((1_800_000_000 - 900) * second));
    assert_eq!(ns("7d"), Ok((1_800_000_000 - 7 * 86400) * second));
    assert_eq!(ns("1s"), Ok((1_800_000_000 - 1) * second));
    assert_eq!(ns("2026-01-01T00:00:00Z"), Ok(1_767_225_600 * second));
    assert_eq!(ns("2026-01-01T01:00:00+01:00"), Ok(1_767_225_600 * second));
    let local = |text: &str| ns(text).unwrap() % (86400 * second);
    assert_eq!(
        local("2026-01-01 12:30") - local("2026-01-01"),
        (12 * 3600 + 1800) * second
    );
    for wrong in [
        "",
        "x",
        "-1h",
        "1y",
        "@",
        "2026-13-01",
        "@-5",
        "99999999999999d",
        "é",
    ] {
        assert!(ns(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn globs_become_patterns_of_like() {
    assert_eq!(like("/etc/*.p?m"), "/etc/%.p_m");
    assert_eq!(like("100%_\\"), "100\\%\\_\\\\");
}

#[test]
fn pairs_have_a_name() {
    assert_eq!(pair("path=a=b"), Ok(("path".into(), "a=b".into())));
    assert_eq!(pair("a_1="), Ok(("a_1".into(), String::new())));
    for wrong in ["path", "=x", "1a=x", "a b=x", "a:b=x"] {
        assert!(pair(wrong).is_err(), "{wrong}");
    }
    assert!(pair(&format!("a={}", "x".repeat(MAX_VALUE + 1))).is_err());
}

#[test]
fn what_is_given_is_bound_and_the_rest_has_defaults() {
    let parameter = |name, kind, default| Parameter {
        name,
        kind,
        default,
        about: "that",
    };
    let parameters = [
        parameter("path", Kind::Glob, Some("*")),
        parameter("id", Kind::Text, None),
        parameter("since", Kind::Time, Some("0")),
    ];
    let given = |list: &[(&str, &str)]| -> Vec<(String, String)> {
        list.iter()
            .map(|(name, value)| (name.to_string(), value.to_string()))
            .collect()
    };
    let bound = bind(&parameters, &given(&[("id", "a"), ("id", "b*")]), now()).unwrap();
    let values: Vec<Value> = bound.into_iter().map(|bound| bound.value).collect();
    // Of several the last.
    assert_eq!(
        values,
        [
            Value::Like("%".into()),
            Value::Text("b*".into()),
            Value::Number(0)
        ]
    );
    let why = |list: &[(&str, &str)]| bind(&parameters, &given(list), now()).unwrap_err().to_string();
    assert_eq!(why(&[]), "id is missing (that): `-p id=…`");
    assert_eq!(
        why(&[("nope", "1")]),
        "there is no parameter `nope`; there are: path, id, since"
    );
    assert!(why(&[("id", "1"), ("since", "x")]).starts_with("since: `x` is no time"));
}
