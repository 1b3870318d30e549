//! The Python processes of this machine, and what policies ask of them.

use std::{
    collections::HashMap,
    fs::{self, File},
    io::Read as _,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use nix::unistd::{Uid, User};
use tracer_user::{
    cpython::start::{Code, ProgramKind},
    process::{Mapping, Process, began},
};

/// Bytes read of a file under `/proc/PID` at most.
const MAX_TEXT: u64 = 256 * 1024;
/// Of a command line, what policies look at.
const MAX_COMMAND: usize = 4096;
/// Files whose kind is remembered.
const MAX_FILES: usize = 4096;
/// A program that had no Python in it may have loaded it since: looked at again after so many looks at all processes.
const AGAIN: u32 = 12;

/// What is known of a Python process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Info {
    pub pid: u32,
    /// [`began`].
    pub began: u64,
    pub executable: String,
    /// Program and arguments, joined by spaces.
    pub command: String,
    /// Name and number.
    pub user: [String; 2],
    pub cgroup: String,
    pub container: Option<String>,
    pub pod: Option<String>,
    /// Device and inode of the file that the interpreter is in.
    pub library: (u64, u64),
    /// It switches C stacks (greenlet).
    pub switches: bool,
    /// `OTEL_SERVICE_NAME`, or `service.name` of `OTEL_RESOURCE_ATTRIBUTES`.
    pub service: Option<String>,
}

/// A process as it was last looked at.
struct Known {
    began: u64,
    is_python: bool,
    looked: u32,
}

/// What has changed.
#[derive(Debug, Default)]
pub struct Changes {
    /// Python processes that were not there.
    pub new: Vec<Info>,
    /// Processes that have gone.
    pub gone: Vec<u32>,
}

/// Finds them.
#[derive(Default)]
pub struct Processes {
    known: HashMap<u32, Known>,
    /// What files are, by device and inode, and when they were changed.
    files: HashMap<(u64, u64, i64), ProgramKind>,
    users: HashMap<u32, String>,
    looks: u32,
}

impl Processes {
    /// Forgets which processes have no Python: they may have begun another program unnoticed.
    pub fn forget_others(&mut self) {
        self.known.retain(|_, known| known.is_python);
    }

    /// Looks at all.
    pub fn scan(&mut self) -> Changes {
        self.looks = self.looks.wrapping_add(1);
        let Ok(all) = fs::read_dir("/proc") else {
            return Changes::default();
        };
        let own = std::process::id();
        let pid = |entry: fs::DirEntry| entry.file_name().to_str()?.parse::<u32>().ok();
        let all: Vec<u32> = all.flatten().filter_map(pid).filter(|pid| *pid != own).collect();
        let mut changes = Changes::default();
        for pid in &all {
            self.look(*pid, true, &mut changes);
        }
        let there: std::collections::HashSet<u32> = all.into_iter().collect();
        self.known.retain(|pid, known| {
            let stays = there.contains(pid);
            if !stays && known.is_python {
                changes.gone.push(*pid);
            }
            stays
        });
        changes
    }

    /// Looks at one that may have begun another program. Whether that has loaded Python, which programs that do not need it may do
    /// later, is only looked for among all.
    pub fn again(&mut self, pid: u32) -> Changes {
        self.known.remove(&pid);
        let mut changes = Changes::default();
        self.look(pid, false, &mut changes);
        changes
    }

    fn look(&mut self, pid: u32, thoroughly: bool, changes: &mut Changes) {
        let Some(began) = began(pid) else { return };
        let mut looked = self.looks;
        if let Some(known) = self.known.get(&pid) {
            if known.began == began {
                if known.is_python || self.looks.wrapping_sub(known.looked) < AGAIN {
                    return;
                }
            } else if known.is_python {
                changes.gone.push(pid);
            }
        } else if thoroughly {
            // Those that are there at first are not all looked at again at once.
            looked = looked.wrapping_sub(pid % AGAIN);
        }
        let kind = self.kind(pid);
        let process = match kind {
            None => None,
            Some(ProgramKind::Other) if !thoroughly => None,
            Some(_) => Process::open(pid).ok(),
        };
        let library = process.as_ref().and_then(|process| match kind {
            Some(ProgramKind::Interpreter) => program(pid),
            _ => library(process),
        });
        let is_python = library.is_some();
        if !is_python && matches!(kind, Some(ProgramKind::NeedsLibrary(_))) {
            // It will be there in a moment.
            looked = looked.wrapping_sub(AGAIN);
        }
        let found = process.zip(library).and_then(|(process, library)| {
            let mut info = self.info(pid, began)?;
            info.library = library;
            info.switches = process.has_mapping_named("greenlet");
            Some(info)
        });
        let known = Known {
            began,
            is_python: found.is_some(),
            looked,
        };
        self.known.insert(pid, known);
        changes.new.extend(found);
    }

    /// What its program has to do with Python; `None`: it has none.
    fn kind(&mut self, pid: u32) -> Option<ProgramKind> {
        let exe = PathBuf::from(format!("/proc/{pid}/exe"));
        // Kernel threads and processes that have ended have none.
        let metadata = fs::metadata(&exe).ok()?;
        let key = (metadata.dev(), metadata.ino(), metadata.mtime());
        if let Some(known) = self.files.get(&key) {
            return Some(known.clone());
        }
        let code = File::open(&exe).ok().and_then(Code::of);
        let kind = code.map_or(ProgramKind::Other, |code| code.kind());
        if self.files.len() >= MAX_FILES {
            self.files.clear();
        }
        self.files.insert(key, kind.clone());
        Some(kind)
    }

    fn info(&mut self, pid: u32, began: u64) -> Option<Info> {
        let at = |name: &str| PathBuf::from(format!("/proc/{pid}/{name}"));
        let words = |name: &str| {
            let text = read(&at(name));
            let words = text.split(|byte| *byte == 0).filter(|word| !word.is_empty());
            words
                .map(|word| String::from_utf8_lossy(word).into_owned())
                .collect::<Vec<_>>()
        };
        let mut command = words("cmdline").join(" ");
        let mut end = command.len().min(MAX_COMMAND);
        while !command.is_char_boundary(end) {
            end -= 1;
        }
        command.truncate(end);
        let uid = fs::metadata(at("")).ok()?.uid();
        let cgroup = cgroup(&String::from_utf8_lossy(&read(&at("cgroup"))));
        Some(Info {
            pid,
            began,
            executable: fs::read_link(at("exe")).ok()?.display().to_string(),
            command,
            user: [self.user(uid), uid.to_string()],
            container: container(&cgroup),
            pod: pod(&cgroup),
            cgroup,
            library: (0, 0),
            switches: false,
            service: service(&words("environ")),
        })
    }

    fn user(&mut self, uid: u32) -> String {
        let found = self.users.entry(uid).or_insert_with(|| {
            let user = User::from_uid(Uid::from_raw(uid)).ok().flatten();
            user.map_or_else(|| uid.to_string(), |user| user.name)
        });
        found.clone()
    }
}

/// Device and inode of a process's program.
fn program(pid: u32) -> Option<(u64, u64)> {
    let metadata = fs::metadata(format!("/proc/{pid}/exe")).ok()?;
    Some((metadata.dev(), metadata.ino()))
}

/// Those of the library that Python is in.
fn library(process: &Process) -> Option<(u64, u64)> {
    let is_python = |mapping: &&Mapping| {
        let name = mapping.path.as_ref().and_then(|path| path.file_name());
        name.is_some_and(|name| name.to_string_lossy().contains("libpython"))
    };
    let mapping = process.maps().iter().find(is_python)?;
    Some((
        nix::sys::stat::makedev(mapping.dev.0.into(), mapping.dev.1.into()),
        mapping.inode,
    ))
}

fn read(path: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    // What cannot be read is empty.
    let _ = File::open(path).and_then(|file| file.take(MAX_TEXT).read_to_end(&mut bytes));
    bytes
}

/// The process's control group: that of version 2 (`0::/path`), else the longest of version 1 (cgroups(7)).
fn cgroup(text: &str) -> String {
    let paths = text.lines().filter_map(|line| {
        let mut parts = line.splitn(3, ':');
        let (id, _, path) = (parts.next()?, parts.next()?, parts.next()?);
        Some((id == "0", path.len(), path))
    });
    let v2_first = |(is_v2, len, path): &(bool, usize, &str)| (*is_v2 && *path != "/", *len);
    paths
        .max_by_key(v2_first)
        .map_or(String::new(), |(_, _, path)| path.to_owned())
}

/// The container's id: 64 hexadecimal digits of the last part of the path that has them, as container runtimes name their groups
/// (`docker-ID.scope`, `cri-containerd-ID.scope`, `/docker/ID`).
fn container(cgroup: &str) -> Option<String> {
    const DIGITS: usize = 64;
    cgroup.rsplit('/').find_map(|part| {
        let words = part.split(|c: char| !c.is_ascii_alphanumeric());
        let is_id = |word: &&str| word.len() == DIGITS && word.bytes().all(|byte| byte.is_ascii_hexdigit());
        words.into_iter().find(is_id).map(str::to_owned)
    })
}

/// The pod's uid: what the kubelet names the pod's group by (`pod0f6e…`, with `_` for `-` where systemd makes it).
fn pod(cgroup: &str) -> Option<String> {
    const LEN: usize = 36;
    cgroup.rsplit('/').find_map(|part| {
        let start = part.rfind("pod")? + 3;
        let uid = part.get(start..start + LEN)?.replace('_', "-");
        let is_uid = uid.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        });
        is_uid.then_some(uid)
    })
}

/// What the process calls itself (OpenTelemetry's environment variables).
fn service(environment: &[String]) -> Option<String> {
    let of = |name: &str| {
        environment
            .iter()
            .find_map(|one| one.strip_prefix(name)?.strip_prefix('='))
    };
    let named = of("OTEL_SERVICE_NAME").map(str::to_owned);
    named.filter(|name| !name.is_empty()).or_else(|| {
        let attributes = of("OTEL_RESOURCE_ATTRIBUTES")?.split(',');
        let mut names = attributes.filter_map(|one| one.trim().strip_prefix("service.name="));
        names.next().map(str::to_owned)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "8f5a2c3b1d4e6f708192a3b4c5d6e7f8091a2b3c4d5e6f708192a3b4c5d6e7f8";

    #[test]
    fn containers_and_pods_are_in_the_path_of_the_group() {
        let uid = "0f6e1a2b-3c4d-5e6f-7081-92a3b4c5d6e7";
        for (path, has_container, has_pod) in [
            (format!("/system.slice/docker-{ID}.scope"), true, false),
            (format!("/docker/{ID}"), true, false),
            (
                format!(
                    "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{}.slice/cri-containerd-{ID}.scope",
                    uid.replace('-', "_")
                ),
                true,
                true,
            ),
            (format!("/kubepods/besteffort/pod{uid}/{ID}"), true, true),
            (
                "/user.slice/user-0.slice/session-1.scope".to_owned(),
                false,
                false,
            ),
            ("/".to_owned(), false, false),
            ("/podman/podx".to_owned(), false, false),
        ] {
            assert_eq!(container(&path), has_container.then(|| ID.to_owned()), "{path}");
            assert_eq!(pod(&path), has_pod.then(|| uid.to_owned()), "{path}");
        }
    }

    #[test]
    fn groups_of_both_versions() {
        assert_eq!(cgroup("0::/system.slice/x.service\n"), "/system.slice/x.service");
        assert_eq!(
            cgroup("12:cpu,cpuacct:/\n3:memory:/docker/abc\n0::/\n"),
            "/docker/abc"
        );
        assert_eq!(cgroup("nonsense"), "");
    }

    #[test]
    fn services_name_themselves() {
        let of = |vars: &[&str]| service(&vars.iter().map(|var| (*var).to_owned()).collect::<Vec<_>>());
        assert_eq!(of(&["A=b", "OTEL_SERVICE_NAME=shop"]).as_deref(), Some("shop"));
        assert_eq!(
            of(&["OTEL_RESOURCE_ATTRIBUTES=a=b,service.name=cart"]).as_deref(),
            Some("cart")
        );
        assert_eq!(of(&["OTEL_SERVICE_NAMES=x", "OTEL_SERVICE_NAME="]), None);
    }

    #[test]
    fn this_test_is_no_python_process() {
        let mut processes = Processes::default();
        let changes = processes.again(std::process::id());
        assert!(changes.new.is_empty() && changes.gone.is_empty());
        // What is not there is no change either.
        assert!(processes.again(u32::MAX).new.is_empty());
        assert!(processes.known.len() == 1);
    }
}
