"""Renders the Helm chart and checks what comes out, without a cluster.

Reads one JSON object from standard input:
    {"chart": DIRECTORY, "cases": {NAME: {"values": {...}, "versions": ["1.30", ...]}}, "package": DIRECTORY}
`package` may be left out. Writes one JSON object:
    {"lint": [...], "cases": {NAME: {"text": {FILE: TEXT}, "documents": [...], "wrong": [...]}}, "package": FILE}
`wrong` has what kubernetes-validate --strict says against any document, for any of those versions of Kubernetes. A case whose values are
refused has "refused": MESSAGE in place of all that. `lint` leaves out what is only recommended.
"""

import json
import sys

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


def case(chart, wanted):
    try:
        chart.validate_schema(wanted["values"])
        text = chart.render(wanted["values"], name=RELEASE, namespace=NAMESPACE)
    except helm_python.HelmError as error:
        return {"refused": str(error)}
    documents = []
    for file, content in sorted(text.items()):
        if file.endswith(".yaml"):
            documents += [document for document in yaml.safe_load_all(content) if document]
    return {"text": text, "documents": documents, "wrong": list(wrong(documents, wanted["versions"]))}


def main():
    asked = json.load(sys.stdin)
    found = helm_python.lint(asked["chart"])
    serious = [message for message in found["messages"] if message["severity"] > RECOMMENDED]
    told = {"lint": serious + found["errors"]}
    with helm_python.Chart.load(asked["chart"]) as chart:
        told["cases"] = {name: case(chart, wanted) for name, wanted in asked["cases"].items()}
    if "package" in asked:
        told["package"] = helm_python.package(asked["chart"], destination=asked["package"])
    json.dump(told, sys.stdout, default=str)


main()
