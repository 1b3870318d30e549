//! The bench's results as a page of the repository, with a plot.

use std::fs;

use super::{service::Row, table::Table};
use crate::shell;

/// Pixels.
const WIDTH: f64 = 760.0;
const BAR: f64 = 22.0;
const NAMES: f64 = 220.0;

/// Writes `docs/bench.md`, `docs/service.md` and `docs/service.svg`.
pub fn write(rows: &[Row], table: &Table) -> anyhow::Result<()> {
    let docs = shell::root().join("docs");
    let bench = format!(
        "# What tracing costs\n\n\
         `cargo xtask bench --page` wrote this. Medians of seven rounds; what is compared was measured in turn, the program without \
         a tracer subtracted. The call is `operator.is_` with two arguments, with values, result and the Python line. A web \
         service, beside other tools: [service.md](service.md).\n\nMachine: {}\n\n{}",
        machine(),
        table.markdown()
    );
    fs::write(docs.join("bench.md"), bench)?;
    let mut page = String::from(
        "# A web service under trace\n\n\
         `cargo xtask bench --page` wrote this. A service of the standard library (`xtask/bench/service.py`) parses an order, \
         keeps it in SQLite, writes to a log file and answers; one client asks over one connection, one request after the \
         other. Each figure is the median of five rounds, each beside the same service without a tracer.\n\n",
    );
    page.push_str(&format!("Machine: {}\n\n![plot](service.svg)\n\n", machine()));
    page.push_str("| | requests/s | of untraced | tells |\n| --- | --- | --- | --- |\n");
    for row in rows {
        page.push_str(&format!(
            "| {} | {:.0} | {:.2} | {} |\n",
            row.who, row.requests, row.share, row.tells
        ));
    }
    fs::write(docs.join("service.md"), page)?;
    fs::write(docs.join("service.svg"), plot(rows))?;
    Ok(())
}

/// Processor, cores, kernel.
fn machine() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let processors = read("/proc/cpuinfo");
    let models = || processors.lines().filter(|line| line.starts_with("model name"));
    let model = models().next().and_then(|line| line.split_once(": "));
    format!(
        "{} ({} cores, shared with others), Linux {}",
        model.map_or("unknown processor", |(_, name)| name),
        models().count(),
        read("/proc/sys/kernel/osrelease").trim()
    )
}

/// Bars, as a picture.
fn plot(rows: &[Row]) -> String {
    let height = BAR * rows.len() as f64 + 20.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" \
         font-size=\"13\">\n<rect width=\"{WIDTH}\" height=\"{height}\" fill=\"white\"/>\n"
    );
    for (n, row) in rows.iter().enumerate() {
        let y = 10.0 + BAR * n as f64;
        let width = (WIDTH - NAMES - 60.0) * row.share.clamp(0.0, 1.2) / 1.2;
        let colour = match row.who {
            "untraced" => "#999999",
            who if who.starts_with("pytrace-ebpf") => "#2a7ab9",
            _ => "#d9b26f",
        };
        svg.push_str(&format!(
            "<text x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"end\">{}</text>\n\
             <rect x=\"{NAMES}\" y=\"{:.0}\" width=\"{width:.0}\" height=\"{:.0}\" fill=\"{colour}\"/>\n\
             <text x=\"{:.0}\" y=\"{:.0}\">{:.2}</text>\n",
            NAMES - 8.0,
            y + 15.0,
            row.who,
            y + 3.0,
            BAR - 6.0,
            NAMES + width + 6.0,
            y + 15.0,
            row.share
        ));
    }
    svg.push_str("</svg>\n");
    svg
}
