//! Draws the screen. 80 columns are enough.

use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    style::{Modifier, Style, Stylize as _},
    text::{Line, Span},
    widgets::{Cell, Clear, Paragraph, Row, Table, TableState},
};
use tracer_user::sink::text::duration;

use super::{
    model::{Drill, Model, View},
    numbers::Numbers,
};

/// What a call that is added up costs the program, nanoseconds, as measured on one machine: an estimate elsewhere.
const PRICE_NS: f64 = 2_000.0;

/// Columns from which on the longest duration and bytes are shown.
const WIDE: u16 = 104;

const HELP: &[(&str, &str)] = &[
    (
        "1 2 3 4, Tab",
        "call sites, effects, processes, what calls act on",
    ),
    ("Up Down PgUp PgDn", "choose a row"),
    ("Enter", "a call site's latest values; the others' call sites"),
    ("Esc", "back; without the filter"),
    ("/", "filter by function, place, effect or process"),
    (
        "c e t m b, s",
        "sort by calls, errors, time, max, bytes; by the next one",
    ),
    ("a", "since the start, or now"),
    ("p, Space", "pause, go on"),
    ("q, Ctrl-C", "quit; all probes are taken out"),
];

/// Draws all.
pub fn draw(frame: &mut Frame, model: &Model) {
    let [head, tabs, body, foot] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Min(0),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    frame.render_widget(header(model), head);
    frame.render_widget(state(model), tabs);
    match &model.drill {
        Some(drill) => site(frame, drill, body),
        None => table(frame, model, body),
    }
    frame.render_widget(footer(model), foot);
    if model.help {
        help(frame, body);
    }
}

fn header(model: &Model) -> Line<'static> {
    let each = model.divisor();
    let unit = if model.since_start { "" } else { "/s" };
    let sum = &model.sum;
    let mut spans = vec![
        "pytrace-ebpf top".bold(),
        Span::raw(format!(
            "  {} running  {} calls{unit}  ",
            model.running(),
            count(sum.calls as f64 / each)
        )),
        marked(
            format!("{} errors{unit}", count(sum.errors as f64 / each)),
            sum.errors != 0,
        ),
        Span::raw("  "),
        marked(format!("{} lost", model.lost), model.lost != 0),
    ];
    if let Some((cost, budget)) = model.cost() {
        let text = format!("  CPU {:.2}% of {}%", cost * 100.0, budget * 100.0);
        spans.push(marked(text, cost > 1.5 * budget));
    } else if !model.since_start {
        let share = sum.calls as f64 / each * PRICE_NS / 1e9 * 100.0;
        spans.push(Span::raw(format!("  ~{share:.1}% CPU")));
    }
    spans.into()
}

fn marked(text: String, is_bad: bool) -> Span<'static> {
    if is_bad { text.red() } else { Span::raw(text) }
}

fn state(model: &Model) -> Line<'static> {
    let mut spans = Vec::new();
    for (n, view) in (1..).zip(View::ALL) {
        let text = format!("{n} {}", view.name());
        spans.push(if view == model.view {
            text.reversed()
        } else {
            Span::raw(text)
        });
        spans.push(Span::raw("  "));
    }
    spans.push(Span::raw(match (model.view, model.since_start) {
        (View::Targets, _) => format!("by {}, of {} calls", model.order.name(), model.looked_at),
        (_, true) => format!("by {}, since the start", model.order.name()),
        (_, false) => format!("by {}, now", model.order.name()),
    }));
    if model.paused {
        spans.push("  PAUSED".yellow());
    }
    spans.into()
}

fn footer(model: &Model) -> Line<'static> {
    match &model.message {
        Some(message) => message.clone().italic().into(),
        None if model.drill.is_none() && (model.typing || !model.filter.is_empty()) => {
            let cursor = if model.typing { "_" } else { "" };
            vec![
                Span::raw("filter: "),
                format!("{}{cursor}", model.filter).bold(),
                Span::raw("   Esc: without it"),
            ]
            .into()
        }
        None if model.drill.is_some() => "Esc: back   p: pause   ?: keys   q: quit".into(),
        None => "Enter: look into it   /: filter   s: sort   p: pause   ?: keys   q: quit".into(),
    }
}

fn table(frame: &mut Frame, model: &Model, area: Rect) {
    let is_wide = area.width >= WIDE;
    // Targets are of a sample of calls.
    let is_sample = model.view == View::Targets;
    let unit = if model.since_start || is_sample { "" } else { "/s" };
    let each = if is_sample { 1.0 } else { model.divisor() };
    let right = |text: String| Cell::from(Line::from(text).right_aligned());
    let mut head = vec![
        right(format!("calls{unit}")),
        right(format!("errors{unit}")),
        right(format!("time{unit}")),
        right("mean".to_owned()),
        right("p99".to_owned()),
    ];
    let mut widths = [9, 8, 8, 7, 8].map(Constraint::Length).to_vec();
    if is_wide {
        head.extend([right("max".to_owned()), right(format!("bytes{unit}"))]);
        widths.extend([8, 9].map(Constraint::Length));
    }
    head.push(Cell::from(model.view.one()));
    widths.push(Constraint::Min(10));
    let rows = model.rows.iter().map(|row| {
        let n = &row.numbers;
        let mut cells = vec![
            right(count(n.calls as f64 / each)),
            right(some(n.errors, |n| count(n as f64 / each))),
            right(some(n.total_ns, |n| time((n as f64 / each) as u64))),
            right(n.mean_ns().map(time).unwrap_or_default()),
            right(n.below_ns(0.99).map(below).unwrap_or_default()),
        ];
        if is_wide {
            cells.extend([
                right(some(n.max_ns, time)),
                right(some(n.bytes, |n| bytes(n as f64 / each))),
            ]);
        }
        cells.push(Cell::from(Line::from(vec![
            row.name.clone().bold(),
            Span::raw("  "),
            Span::raw(row.place.clone()),
        ])));
        let row = Row::new(cells);
        if n.errors == 0 { row } else { row.red() }
    });
    let table = Table::new(rows, widths)
        .header(Row::new(head).style(Style::new().add_modifier(Modifier::UNDERLINED)))
        .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED));
    let mut state = TableState::new().with_selected((!model.rows.is_empty()).then_some(model.selected));
    frame.render_stateful_widget(table, area, &mut state);
}

/// One call site: its numbers, durations, latest calls.
fn site(frame: &mut Frame, drill: &Drill, area: Rect) {
    let site = &drill.site;
    let n = &drill.numbers;
    let pid = site.pid.map(|pid| format!("  process {pid}")).unwrap_or_default();
    let mut lines = vec![
        Line::from(vec![
            site.function.clone().bold(),
            Span::raw(format!("  {}{pid}", site.place)),
        ]),
        Line::from(format!(
            "{} calls  {} errors  {} without an end  {} bytes",
            n.calls, n.errors, n.unobserved, n.bytes
        )),
        Line::from(format!(
            "mean {}  p50 {}  p90 {}  p99 {}  max {}",
            n.mean_ns().map_or("-".to_owned(), time),
            quantile(n, 0.5),
            quantile(n, 0.9),
            quantile(n, 0.99),
            time(n.max_ns)
        )),
    ];
    lines.extend(bars(n, usize::from(area.width), usize::from(area.height) / 3));
    lines.push("latest calls".underlined().into());
    let room = usize::from(area.height).saturating_sub(lines.len());
    match drill.latest.len() {
        0 => lines.push("none seen yet".italic().into()),
        all => {
            let shown = drill.latest.iter().skip(all.saturating_sub(room));
            lines.extend(shown.map(|line| Line::from(line.clone())));
        }
    }
    frame.render_widget(Paragraph::new(lines), area);
}

/// Durations, a line a bucket: the buckets with the most calls, in their order.
fn bars(numbers: &Numbers, width: usize, most: usize) -> Vec<Line<'static>> {
    let mut buckets: Vec<(u64, u64)> = numbers.histogram.iter().map(|(end, n)| (*end, *n)).collect();
    buckets.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
    buckets.truncate(most.max(1));
    buckets.sort_unstable();
    let largest = buckets.iter().map(|(_, n)| *n).max().unwrap_or(0).max(1);
    let room = width.saturating_sub(20).min(50) as u64;
    buckets
        .into_iter()
        .map(|(end, n)| {
            let length = (n as u128 * u128::from(room)).div_ceil(u128::from(largest)) as usize;
            Line::from(format!(
                "{:>8} {:>9} {}",
                below(end),
                count(n as f64),
                "#".repeat(length)
            ))
        })
        .collect()
}

fn help(frame: &mut Frame, area: Rect) {
    let height = HELP.len() as u16;
    let area = Rect {
        height: height.min(area.height),
        ..area
    };
    let lines: Vec<Line> = HELP
        .iter()
        .map(|(key, what)| Line::from(vec![format!("  {key:<20}").bold(), Span::raw(*what)]))
        .collect();
    frame.render_widget(Clear, area);
    frame.render_widget(Paragraph::new(lines), area);
}

fn quantile(numbers: &Numbers, share: f64) -> String {
    numbers.below_ns(share).map_or("-".to_owned(), below)
}

/// The end of a bucket.
fn below(ns: u64) -> String {
    match ns {
        u64::MAX => "longer".to_owned(),
        _ => format!("<{}", time(ns)),
    }
}

/// Nothing for 0.
fn some(n: u64, text: impl Fn(u64) -> String) -> String {
    if n == 0 { String::new() } else { text(n) }
}

fn time(ns: u64) -> String {
    let mut text = Vec::new();
    duration(ns, &mut text);
    String::from_utf8(text).unwrap_or_default()
}

/// A number of at most seven characters.
fn count(n: f64) -> String {
    match n {
        _ if n >= 1e9 => format!("{:.2}G", n / 1e9),
        _ if n >= 1e6 => format!("{:.2}M", n / 1e6),
        _ if n >= 1e4 => format!("{:.1}k", n / 1e3),
        _ if n >= 10.0 || n.fract() == 0.0 => format!("{n:.0}"),
        _ => format!("{n:.1}"),
    }
}

fn bytes(n: f64) -> String {
    const UNITS: [&str; 4] = ["B", "K", "M", "G"];
    let mut n = n;
    let mut unit = 0;
    while n >= 1024.0 && unit + 1 < UNITS.len() {
        n /= 1024.0;
        unit += 1;
    }
    match unit {
        0 => format!("{n:.0}B"),
        _ => format!("{n:.1}{}", UNITS[unit]),
    }
}

#[cfg(test)]
mod tests {
    use ratatui::{Terminal, backend::TestBackend};

    use super::*;

    /// What is on a screen of 80 by 24.
    fn screen(model: &Model) -> Vec<String> {
        let mut terminal = Terminal::new(TestBackend::new(80, 24)).expect("a screen");
        terminal.draw(|frame| draw(frame, model)).expect("drawn");
        let buffer = terminal.backend().buffer().clone();
        let rows = buffer.content.chunks(80);
        rows.map(|row| {
            row.iter()
                .map(|cell| cell.symbol())
                .collect::<String>()
                .trim_end()
                .to_owned()
        })
        .collect()
    }

    fn model() -> Model {
        let mut model = Model::default();
        let lines = [
            r#"{"type":"header","v":1,"tool":"","targets":[{"pid":7,"python":"3.12.1","executable":"/usr/bin/python","functions":9}]}"#,
            r#"{"type":"stat","pid":7,"function":"posix.open","effect":"file.open","stack":[{"function":"work\u001b[31m","file":"/a/x.py","line":3}],"calls":25000,"errors":1,"unobserved":0,"total_ns":50000000,"max_ns":9000,"bytes":0,"unsized":0,"histogram":[[2048,24000],[16384,1000]],"from_ns":0,"to_ns":1,"whole":false}"#,
            r#"{"type":"period","from_ns":0,"to_ns":1000000000,"whole":false}"#,
        ];
        for line in lines {
            model.take(serde_json::from_str(line).expect("a line"));
        }
        model
    }

    #[test]
    fn eighty_columns_are_enough() {
        let screen = screen(&model());
        assert_eq!(
            screen[0],
            "pytrace-ebpf top  1 running  25.0k calls/s  1 errors/s  0 lost  ~5.0% CPU"
        );
        assert_eq!(
            screen[1],
            "1 call sites  2 effects  3 processes  4 targets  by time, now"
        );
        assert_eq!(
            screen[2],
            "  calls/s errors/s   time/s    mean      p99 call site"
        );
        // What a hostile program writes into its names does not reach the terminal.
        assert_eq!(
            screen[3],
            "    25.0k        1   50.0ms     2us    <16us posix.open  x.py:3 work\\u{1b}[31m"
        );
        assert!(screen[23].starts_with("Enter: look into it"), "{screen:?}");
    }

    #[test]
    fn what_tracing_costs_is_beside_its_budget() {
        let mut model = model();
        let cost = r#"{"type":"process","event":"cost","pid":7,"time_ns":1,"cost":0.0093,"budget":0.01,"shed":["posix.open"]}"#;
        model.take(serde_json::from_str(cost).expect("a line"));
        model.arrange();
        let screen = screen(&model);
        assert_eq!(
            screen[0],
            "pytrace-ebpf top  1 running  25.0k calls/s  1 errors/s  0 lost  CPU 0.93% of 1%"
        );
        assert!(screen[3].contains("posix.open (moments)  x.py:3"), "{screen:?}");
        assert_eq!(model.cost(), Some((0.0093, 0.01)));
    }

    #[test]
    fn a_call_site_with_its_durations_and_latest_values() {
        let mut model = model();
        model.drill = Some(Drill {
            site: model.rows[0].site.clone().expect("a call site"),
            ..Drill::default()
        });
        model.arrange();
        for n in 0..300 {
            model.latest(format!("call {n}"));
        }
        let screen = screen(&model);
        assert_eq!(screen[2], "posix.open  x.py:3 work\\u{1b}[31m  process 7");
        assert_eq!(screen[4], "mean 2us  p50 <2us  p90 <2us  p99 <16us  max 9us");
        assert_eq!(screen[5].matches('#').count(), 50);
        assert_eq!(screen[6].matches('#').count(), 3);
        assert_eq!(screen[22], "call 299");
        assert!(screen.iter().all(|line| !line.contains('\u{1b}')));
    }

    #[test]
    fn numbers_are_short() {
        let shown = [0.0, 1.5, 12.4, 9_999.0, 10_000.0, 123_456.0, 1_234_567.0, 5e9].map(count);
        assert_eq!(
            shown,
            ["0", "1.5", "12", "9999", "10.0k", "123.5k", "1.23M", "5.00G"]
        );
        assert_eq!(
            [0.0, 1023.0, 2048.0, 3.0 * 1024.0 * 1024.0].map(bytes),
            ["0B", "1023B", "2.0K", "3.0M"]
        );
    }
}
