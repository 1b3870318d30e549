//! The Helm chart, and plain manifests, which are the chart rendered with its own values: one source for both.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, bail, ensure};
use serde_json::{Value, json};

use super::{copy, empty, folder, needed_python, sources, write};
use crate::shell;

/// The oldest that the plain manifests are for: it knows `appArmorProfile`.
const KUBERNETES: &str = "1.30.0";
const HEAD: &str = "# The Helm chart as `cargo xtask dist chart` renders it, for clusters without Helm: Kubernetes 1.30 and newer.\n\
                    # First namespace.yaml. What to change: the image, and agent.toml in the ConfigMap.\n";

/// `target/dist/pytrace-ebpf-VERSION.tgz` and `target/dist/kubernetes`; the manifests are written to the sources too.
pub fn make() -> anyhow::Result<Vec<PathBuf>> {
    let cases =
        json!({"plain": {"values": {"kubeVersionOverride": KUBERNETES}, "versions": ["1.30", "1.37"]}});
    let asked = json!({"chart": chart(), "cases": cases, "package": folder()});
    let told = render(&asked)?;
    let nothing = json!([]);
    ensure!(told["lint"] == nothing, "helm lint: {}", told["lint"]);
    let plain = &told["cases"]["plain"];
    ensure!(plain["wrong"] == nothing, "kubernetes-validate: {plain}");

    let manifests = sources().join("kubernetes");
    write(&manifests.join("pytrace-ebpf.yaml"), joined(&plain["text"])?)?;
    let made = empty("kubernetes")?;
    for name in ["namespace.yaml", "pytrace-ebpf.yaml"] {
        copy(&manifests.join(name), &made.join(name))?;
    }
    let package = told["package"].as_str().context("no package was made")?;
    Ok(vec![package.into(), made])
}

/// Where its sources are.
fn chart() -> PathBuf {
    sources().join("helm/pytrace-ebpf")
}

/// Has `chart.py` do what is asked there.
fn render(asked: &Value) -> anyhow::Result<Value> {
    let script: &Path = &shell::root().join("xtask/src/dist/chart.py");
    let mut child = Command::new(needed_python()?)
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot run chart.py")?;
    let mut input = child.stdin.take().context("chart.py has no input")?;
    input.write_all(asked.to_string().as_bytes())?;
    drop(input);
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "chart.py: {}", output.status);
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// The documents in one file, each as it was written.
fn joined(texts: &Value) -> anyhow::Result<String> {
    let Value::Object(texts) = texts else {
        bail!("the chart was not rendered: {texts}")
    };
    let mut all = HEAD.to_owned();
    for (file, text) in texts {
        let text = text.as_str().unwrap_or_default().trim();
        if file.ends_with(".yaml") && !text.is_empty() {
            all += &format!("---\n{text}\n");
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_set_apart_and_notes_left_out() {
        let texts =
            json!({"c/a.yaml": "\na: 1\n", "c/NOTES.txt": "Read", "c/b.yaml": "b: 2", "c/none.yaml": "\n"});
        assert_eq!(joined(&texts).unwrap(), format!("{HEAD}---\na: 1\n---\nb: 2\n"));
    }
}
