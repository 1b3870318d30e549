"""Prints what the kernel knows of this process that it has from whoever started it."""

import json
import os

FILES = ["limits", "environ", "cmdline", "comm", "cgroup", "oom_score_adj", "coredump_filter", "personality"]
# Not the process ids, nor what changes while the process runs. Its group is the one of the tool, as it would be of a shell.
STATUS = ["Umask", "TracerPid", "Groups", "SigPnd", "ShdPnd", "SigBlk", "SigIgn", "SigCgt", "CapInh", "CapPrm", "CapEff"]
STATUS += ["CapBnd", "CapAmb", "NoNewPrivs", "Seccomp", "Cpus_allowed", "Mems_allowed", "Threads"]


def of_self(name):
    with open("/proc/self/" + name) as file:
        return file.read()


def descriptors():
    folder = "/proc/self/fd"
    found = {}
    for number in os.listdir(folder):
        try:
            found[number] = os.readlink(os.path.join(folder, number))
        except OSError:
            pass  # The folder itself.
    return found


begun = {name: of_self(name) for name in FILES}
for line in of_self("status").splitlines():
    name, value = line.split(":", 1)
    if name in STATUS:
        begun[name] = value.strip()
begun["priority"] = of_self("stat").rsplit(")", 1)[1].split()[15:17]
begun["descriptors"] = descriptors()
begun["cwd"] = os.getcwd()
print(json.dumps(begun, sort_keys=True))
