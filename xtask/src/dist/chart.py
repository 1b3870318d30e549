"""Renders the Helm chart and checks what comes out, and manifests, without a cluster.

Reads one JSON object from standard input:
    {"chart": DIRECTORY, "cases": {NAME: {"values": {...}, "versions": ["1.30", ...]}},
     "manifests": {FILE: ["1.30", ...]}, "package": DIRECTORY}
All but `chart` may be left out. Writes one JSON object:
    {"lint": [...], "cases": {NAME: {"text": {FILE: TEXT}, "documents": [...], "wrong": [...]}},
     "manifests": {FILE: {"documents": [...], "wrong": [...]}}, "package": FILE}
`wrong` has what kubernetes-validate --strict says against any document, for any of those versions of Kubernetes, and what keeps the agent's
configuration in it from being TOML. A case whose values are refused has "refused": MESSAGE in place of all that. `lint` leaves out what
is only recommended.
"""

import json
import sys
import tomllib

import helm_python
import kubernetes_validate
import yaml

NAMESPACE = "pytrace-ebpf"
RELEASE = "pytrace-ebpf"
# A severity of Helm's lint.
RECOMMENDED = 1


def wrong(documents, versions):
    for document in documents:
        for version in versions:
            try:
                kubernetes_validate.validate(document, version, strict=True)
            except (kubernetes_validate.ValidationError, kubernetes_validate.SchemaNotFoundError) as error:
                yield f"{version}: {document['kind']}: {error.message}"
        if document["kind"] == "ConfigMap":
            try:
                tomllib.loads(document["data"]["agent.toml"])
            except tomllib.TOMLDecodeError as error:
                yield f"agent.toml: {error}"


def checked(texts, versions):
    documents = [document for text in texts for document in yaml.safe_load_all(text) if document]
    return {"documents": documents, "wrong": list(wrong(documents, versions))}


def case(chart, wanted):
    try:
        chart.validate_schema(wanted["values"])
        text = chart.render(wanted["values"], name=RELEASE, namespace=NAMESPACE)
    except helm_python.HelmError as error:
        return {"refused": str(error)}
    texts = [content for file, content in sorted(text.items()) if file.endswith(".yaml")]
    return {"text": text} | checked(texts, wanted["versions"])


def main():
    asked = json.load(sys.stdin)
    found = helm_python.lint(asked["chart"])
    serious = [message for message in found["messages"] if message["severity"] > RECOMMENDED]
    told = {"lint": serious + found["errors"]}
    with helm_python.Chart.load(asked["chart"]) as chart:
        told["cases"] = {name: case(chart, wanted) for name, wanted in asked.get("cases", {}).items()}
    told["manifests"] = {}
    for file, versions in asked.get("manifests", {}).items():
        with open(file, encoding="utf-8") as manifest:
            told["manifests"][file] = checked([manifest.read()], versions)
    if "package" in asked:
        told["package"] = helm_python.package(asked["chart"], destination=asked["package"])
    json.dump(told, sys.stdout, default=str)


main()
