"""Prints what became of each test case in a file that `python -m test --junit-xml` wrote: outcome, tab, name."""

import sys
import xml.etree.ElementTree as ElementTree

# Parts of a case, as libregrtest's `RegressionTestResult` names them. A case that passed has none of them; a case of
# which a subtest failed is not in the file at all.
OUTCOMES = {
    "failure": "failed",
    "error": "error",
    "skipped": "skipped",
    "output": "failed as expected",
    "outcome": "passed unexpectedly",
}

for case in ElementTree.parse(sys.argv[1]).iter("testcase"):
    # There is more than one where a test failed and its cleaning up did, too.
    outcomes = sorted(OUTCOMES[part.tag] for part in case if part.tag in OUTCOMES)
    print("%s\t%s" % (" and ".join(outcomes) or "passed", case.get("name")))
