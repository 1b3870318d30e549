//! What is deployed, without a cluster and without a service manager: the chart, the manifests made of it, the unit. All give the agent the
//! same privileges, those of `privileges.rs`, and no others.

use std::{
    env, fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::{Value, json};
use tests::{Folder, binary};

/// What the agent needs (`NEEDED` in privileges.rs).
const CAPABILITIES: [&str; 6] = [
    "BPF",
    "PERFMON",
    "SYS_PTRACE",
    "CHECKPOINT_RESTORE",
    "DAC_READ_SEARCH",
    "KILL",
];
/// Of Kubernetes: the oldest with `appArmorProfile`, and the newest that is known here.
const VERSIONS: [&str; 2] = ["1.30", "1.37"];

/// In the sources of what is deployed.
fn source(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../tracer-user/dist")
        .join(path)
}

/// Has `chart.py` render and check; `None`, and said so, where its packages are not there.
fn chart(asked: Value) -> Option<Value> {
    let Some(python) = env::var_os("PYTRACE_CHARTS") else {
        println!("SKIPPED: PYTRACE_CHARTS names no Python with helm-python-sdk and kubernetes-validate");
        return None;
    };
    let mut asked = asked;
    asked["chart"] = json!(source("helm/pytrace-ebpf"));
    let mut child = Command::new(python)
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("../xtask/src/dist/chart.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("chart.py starts");
    let mut input = child.stdin.take().expect("it has an input");
    input
        .write_all(asked.to_string().as_bytes())
        .expect("it reads that");
    drop(input);
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "chart.py: {}", output.status);
    let told: Value = serde_json::from_slice(&output.stdout).expect("it writes JSON");
    assert_eq!(told["lint"], json!([]));
    Some(told)
}

/// The chart with these values; it has to be right for these versions.
fn rendered(values: Value, versions: &[&str]) -> Option<Vec<Value>> {
    let told = chart(json!({"cases": {"it": {"values": values, "versions": versions}}}))?;
    let it = &told["cases"]["it"];
    assert_eq!(it["wrong"], json!([]), "{it}");
    it["documents"].as_array().cloned()
}

fn of_kind<'a>(documents: &'a [Value], kind: &str) -> &'a Value {
    let mut found = documents.iter().filter(|document| document["kind"] == kind);
    let only = found.next().unwrap_or_else(|| panic!("there is a {kind}"));
    assert!(found.next().is_none(), "one {kind}");
    only
}

fn pod(documents: &[Value]) -> &Value {
    &of_kind(documents, "DaemonSet")["spec"]["template"]["spec"]
}

fn config(documents: &[Value]) -> &str {
    let config = &of_kind(documents, "ConfigMap")["data"]["agent.toml"];
    config.as_str().expect("a text")
}

/// The agent takes this configuration.
fn assert_taken(config: &str) {
    let folder = Folder::new("config");
    let path = folder.file("agent.toml");
    fs::write(&path, config).expect("the folder is there");
    let output = Command::new(binary())
        .args(["agent", "--check", "--config"])
        .arg(&path)
        .output()
        .expect("the tool is there");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{config}\n{said}");
}

/// Nothing but what the agent needs, with these capabilities besides.
fn assert_privileges(pod: &Value, besides: &[&str]) {
    assert_eq!(pod["hostPID"], json!(true));
    for host in ["hostNetwork", "hostIPC", "initContainers"] {
        assert_eq!(pod[host], json!(null), "{host}");
    }
    assert_eq!(pod["automountServiceAccountToken"], json!(false));
    let containers = pod["containers"].as_array().expect("containers");
    assert_eq!(containers.len(), 1);
    let security = &containers[0]["securityContext"];
    let capabilities = [&CAPABILITIES[..], besides].concat();
    assert_eq!(
        security["capabilities"],
        json!({"drop": ["ALL"], "add": capabilities})
    );
    assert_eq!(security["privileged"], json!(false));
    assert_eq!(security["readOnlyRootFilesystem"], json!(true));
    let paths: Vec<&Value> = pod["volumes"]
        .as_array()
        .expect("volumes")
        .iter()
        .filter_map(|volume| volume.get("hostPath"))
        .collect();
    assert_eq!(
        paths,
        [&json!({"path": "/var/lib/pytrace-ebpf", "type": "DirectoryOrCreate"})]
    );
}

#[test]
fn the_chart_asks_for_what_the_agent_needs() {
    let Some(documents) = rendered(json!({}), &VERSIONS) else {
        return;
    };
    let pod = pod(&documents);
    assert_privileges(pod, &[]);
    let security = &pod["containers"][0]["securityContext"];
    assert_eq!(security["allowPrivilegeEscalation"], json!(false));
    assert_eq!(security["seccompProfile"], json!({"type": "RuntimeDefault"}));
    assert_eq!(security["appArmorProfile"], json!({"type": "Unconfined"}));
    assert!(config(&documents).contains("listen = \"127.0.0.1:9469\""));
    assert_taken(config(&documents));
    assert!(
        pod["containers"][0]["livenessProbe"]["exec"].is_object(),
        "loopback is asked inside"
    );
    assert_eq!(pod["containers"][0]["ports"], json!(null));
    assert_eq!(documents.len(), 3, "and a service account: {documents:?}");
}

#[test]
fn kernels_before_6_6_cost_one_capability_more() {
    let Some(documents) = rendered(json!({"security": {"sysAdmin": true}}), &VERSIONS) else {
        return;
    };
    assert_privileges(pod(&documents), &["SYS_ADMIN"]);
    let security = &pod(&documents)["containers"][0]["securityContext"];
    // Kubernetes refuses `false` beside that capability.
    assert_eq!(security["allowPrivilegeEscalation"], json!(null));
}

#[test]
fn older_clusters_are_told_of_apparmor_by_an_annotation() {
    let Some(documents) = rendered(json!({"kubeVersionOverride": "1.29.4"}), &["1.25", "1.29"]) else {
        return;
    };
    assert_privileges(pod(&documents), &[]);
    let annotations = &of_kind(&documents, "DaemonSet")["spec"]["template"]["metadata"]["annotations"];
    assert_eq!(
        annotations["container.apparmor.security.beta.kubernetes.io/agent"],
        json!("unconfined")
    );
}

#[test]
fn secrets_are_named_and_not_written() {
    let otlp = json!({
        "endpoint": "https://collector:4318",
        "protocol": "http/protobuf",
        "headersSecret": {"name": "otlp", "key": "all"},
        "tlsSecret": "client",
        "mutualTls": true,
    });
    let values = json!({
        "otlp": otlp,
        "http": {"exposed": true, "port": 9470},
        "config": "[[policy]]\nname = \"a <b> & \\\"c\\\"\"\n",
        "security": {"seLinuxOptions": {"type": "spc_t"}},
    });
    let Some(documents) = rendered(values, &VERSIONS) else {
        return;
    };
    let pod = pod(&documents);
    assert_privileges(pod, &[]);
    let container = &pod["containers"][0];
    let headers = json!({
        "name": "OTEL_EXPORTER_OTLP_HEADERS",
        "valueFrom": {"secretKeyRef": {"name": "otlp", "key": "all"}},
    });
    assert!(
        container["env"].as_array().expect("variables").contains(&headers),
        "{container}"
    );
    let secret = json!({"name": "tls", "secret": {"secretName": "client", "defaultMode": 0o400}});
    assert!(
        pod["volumes"].as_array().expect("volumes").contains(&secret),
        "{pod}"
    );
    let config = config(&documents);
    for line in [
        "endpoint = \"https://collector:4318\"",
        "protocol = \"http/protobuf\"",
        "listen = \"0.0.0.0:9470\"",
        "key = \"/etc/pytrace-ebpf-tls/tls.key\"",
        "name = \"a <b> & \\\"c\\\"\"",
    ] {
        assert!(config.contains(line), "{line}: {config}");
    }
    assert_taken(config);
    assert_eq!(
        container["livenessProbe"]["httpGet"],
        json!({"path": "/healthz", "port": "metrics"})
    );
    assert_eq!(container["securityContext"]["seLinuxOptions"]["type"], "spc_t");
}

#[test]
fn values_that_mean_nothing_are_refused() {
    let wrong = [
        ("no scheme", json!({"otlp": {"endpoint": "collector:4317"}})),
        ("a quote", json!({"otlp": {"endpoint": "http://a\"b"}})),
        ("a protocol", json!({"otlp": {"protocol": "http/json"}})),
        ("a misspelt key", json!({"securty": {}})),
        ("a privileged port", json!({"http": {"port": 80}})),
        ("a relative path", json!({"spool": {"hostPath": "spool"}})),
        (
            "a profile without a file",
            json!({"security": {"seccompProfile": {"type": "Localhost"}}}),
        ),
    ];
    let cases: serde_json::Map<String, Value> = wrong
        .into_iter()
        .map(|(name, values)| (name.to_owned(), json!({"values": values, "versions": []})))
        .collect();
    let Some(told) = chart(json!({"cases": cases})) else {
        return;
    };
    for (name, case) in told["cases"].as_object().expect("cases") {
        assert!(case["refused"].is_string(), "{name}: {case}");
    }
}

#[test]
fn the_manifests_are_those_of_the_chart() {
    let [namespace, plain] = ["namespace.yaml", "pytrace-ebpf.yaml"].map(|name| {
        let path = source("kubernetes").join(name);
        path.to_string_lossy().into_owned()
    });
    let told = chart(json!({
        "cases": {"plain": {"values": {"kubeVersionOverride": "1.30.0"}, "versions": VERSIONS}},
        "manifests": {&namespace: VERSIONS, &plain: VERSIONS},
    }));
    let Some(told) = told else { return };
    let manifests = &told["manifests"];
    assert_eq!(manifests[&namespace]["wrong"], json!([]));
    assert_eq!(manifests[&plain]["wrong"], json!([]));
    assert_eq!(
        manifests[&plain]["documents"], told["cases"]["plain"]["documents"],
        "`cargo xtask dist chart` writes them"
    );
}

#[test]
fn the_agent_takes_the_example() {
    let example = fs::read_to_string(source("agent.toml")).expect("the example");
    assert_taken(&example);
    // Also with all that is commented out, but for prose.
    let setting = |line: &str| {
        line.starts_with('[') || line.split_once(" = ").is_some_and(|(key, _)| !key.contains(' '))
    };
    let whole: Vec<&str> = example
        .lines()
        .map(|line| {
            line.strip_prefix("# ")
                .filter(|line| setting(line))
                .unwrap_or(line)
        })
        .collect();
    let whole = whole.join("\n");
    assert!(
        whole.contains("\n[[policy]]\n") && whole.contains("\nmax_age"),
        "{whole}"
    );
    assert_taken(&whole);
}

/// What a key of the unit is set to.
fn setting<'a>(unit: &'a str, key: &str) -> Vec<&'a str> {
    unit.lines()
        .filter_map(|line| line.strip_prefix(key)?.strip_prefix('='))
        .collect()
}

#[test]
fn the_unit_has_the_same_privileges() {
    let unit = fs::read_to_string(source("systemd/pytrace-ebpf-agent.service")).expect("the unit");
    let capabilities = CAPABILITIES.map(|name| format!("CAP_{name}")).join(" ");
    assert_eq!(setting(&unit, "CapabilityBoundingSet"), [capabilities]);
    assert_eq!(setting(&unit, "AmbientCapabilities"), [""; 0], "root needs none");
    assert_eq!(setting(&unit, "NoNewPrivileges"), ["yes"]);
    assert_eq!(setting(&unit, "ProtectSystem"), ["strict"]);
    assert_eq!(setting(&unit, "StateDirectoryMode"), ["0700"]);
}

#[test]
fn systemd_understands_the_unit() {
    let there = Command::new("systemd-analyze").arg("--version").output();
    if there.is_err() {
        println!("SKIPPED: systemd-analyze is not here");
        return;
    }
    let unit = fs::read_to_string(source("systemd/pytrace-ebpf-agent.service")).expect("the unit");
    let folder = Folder::new("unit");
    let path = folder.path().join("pytrace-ebpf-agent.service");
    // What it starts has to be there, and its manual page.
    let here = unit
        .replace("/usr/bin/pytrace-ebpf", &binary().to_string_lossy())
        .lines()
        .filter(|line| !line.starts_with("Documentation="))
        .collect::<Vec<_>>()
        .join("\n");
    fs::write(&path, here).expect("the folder is there");
    let output = Command::new("systemd-analyze")
        .arg("verify")
        .arg(&path)
        .output()
        .expect("it is there");
    let said = String::from_utf8_lossy(&output.stderr);
    let of_it: Vec<&str> = said
        .lines()
        .filter(|line| line.contains("pytrace-ebpf-agent"))
        .collect();
    assert!(output.status.success() && of_it.is_empty(), "{said}");
}
