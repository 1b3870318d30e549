//! Files rebuilt from a trace: what opens, writes and renames made of them.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fs,
    path::Path,
};

use serde_json::Value;

use crate::{calls, data};

/// Contents by path.
pub type Tree = BTreeMap<String, Vec<u8>>;

/// The files on disk in a folder and its folders.
pub fn on_disk(folder: &Path) -> Tree {
    let mut tree = Tree::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder").flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let contents = fs::read(&path).expect("a file");
                tree.insert(path.display().to_string(), contents);
            }
        }
    }
    tree
}

/// The calls that files are rebuilt from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Those that the program makes.
    Program,
    /// Those that reach the descriptor; they are seen with `--nested`.
    Descriptor,
}

/// The files in a folder as the calls that succeeded left them. Nothing was there before.
pub fn rebuilt(events: &[Value], level: Level, folder: &Path) -> Tree {
    let mut state = State::default();
    let is_raw = |call: &Value| {
        let function = call["function"].as_str().unwrap_or_default();
        function.starts_with("_io.FileIO.") || function.starts_with("posix.")
    };
    let inside = format!("{}/", folder.display());
    for call in calls(events).iter().filter(|call| call["outcome"] == "return") {
        if level == Level::Program || is_raw(call) {
            state.apply(call);
        }
    }
    state.tree.retain(|path, _| path.starts_with(&inside));
    state.tree
}

#[derive(Default)]
struct State {
    tree: Tree,
    /// Paths of file objects, by their `id`s, and of descriptors.
    objects: HashMap<String, String>,
    descriptors: HashMap<u64, String>,
    /// File objects by the calls that make them: an `opener` may open another path inside.
    constructing: HashMap<u64, (String, String)>,
    /// File objects that were opened anew by a path that is an object itself: their first write names them.
    unnamed: HashSet<String>,
}

impl State {
    fn apply(&mut self, call: &Value) {
        let function = call["function"].as_str().unwrap_or_default();
        let path = |n: usize| call["args"][n].as_str().unwrap_or_default().to_owned();
        match (function, call["effect"].as_str().unwrap_or_default()) {
            // A path that is an object itself: whoever made it one gave it as text before.
            ("posix.open", _) if call["args"][0].is_object() => {}
            ("posix.open", _) => {
                let created = call["args"][1].as_i64().unwrap_or(0) & i64::from(nix::libc::O_CREAT) != 0;
                let fd = call["result"].as_u64().expect("a descriptor");
                let made = call["parent"]
                    .as_u64()
                    .and_then(|parent| self.constructing.get(&parent));
                if let Some((object, asked)) = made {
                    self.tree.remove(asked);
                    self.objects.insert(object.clone(), path(0));
                }
                self.descriptors.insert(fd, path(0));
                if created {
                    self.tree.insert(path(0), Vec::new());
                }
            }
            ("_io.FileIO.__init__", _) => {
                let opened = match call["args"][0].as_u64() {
                    Some(fd) => self.descriptors.get(&fd).cloned(),
                    None => Some(path(0)),
                };
                if let Some(path) = opened {
                    if call["args"][0].is_string() && creates(call) {
                        self.tree.insert(path.clone(), Vec::new());
                    }
                    let number = call["id"].as_u64().expect("an id");
                    let object = id(&call["self"]);
                    self.constructing.insert(number, (object.clone(), path.clone()));
                    self.objects.insert(object, path);
                }
            }
            (_, "file.open") if call["args"][0].is_object() => {
                let object = id(&call["result"]);
                self.objects.remove(&object);
                if creates(call) {
                    self.unnamed.insert(object);
                }
            }
            (_, "file.open") => {
                if creates(call) {
                    self.tree.insert(path(0), Vec::new());
                }
                self.objects.insert(id(&call["result"]), path(0));
            }
            (_, "file.write") => self.write(call),
            (_, "file.rename") => {
                if let Some(contents) = self.tree.remove(&path(0)) {
                    self.tree.insert(path(1), contents);
                }
            }
            (_, "file.unlink") => drop(self.tree.remove(&path(0))),
            _ => {}
        }
    }

    fn write(&mut self, call: &Value) {
        // `posix.write` has the descriptor first.
        let place = usize::from(call["args"][0].is_number());
        let Some(what) = call["args"].get(place) else {
            return;
        };
        let by_target = call["target"]["path"].as_str().map(str::to_owned);
        if let Some(path) = &by_target
            && self.unnamed.remove(&id(&call["self"]))
        {
            self.tree.insert(path.clone(), Vec::new());
        }
        let by_target = by_target.filter(|path| self.tree.contains_key(path));
        let by_fd = || self.descriptors.get(&call["target"]["fd"].as_u64()?).cloned();
        let by_object = || self.objects.get(&id(&call["self"])).cloned();
        let Some(path) = by_object().or(by_target).or_else(by_fd) else {
            return;
        };
        if let Some(contents) = self.tree.get_mut(&path) {
            contents.extend(data(what));
        }
    }
}

/// Does the call open a file that is empty then?
fn creates(call: &Value) -> bool {
    let mode = call["args"][1]
        .as_str()
        .or_else(|| call["kwargs"]["mode"].as_str());
    mode.is_some_and(|mode| mode.contains(['w', 'x']))
}

fn id(object: &Value) -> String {
    object["id"].as_str().unwrap_or_default().to_owned()
}

/// Fails, with what differs first, unless both are the same.
pub fn assert_same_files(seen: &Tree, truth: &Tree, what: &str) {
    let (names, in_truth): (Vec<_>, Vec<_>) = (seen.keys().collect(), truth.keys().collect());
    assert_eq!(names, in_truth, "{what}");
    for (path, contents) in truth {
        let other = &seen[path];
        let text = |bytes: &[u8]| String::from_utf8_lossy(&bytes[..bytes.len().min(400)]).into_owned();
        assert!(
            other == contents,
            "{what}: {path}\n{}\n--\n{}",
            text(other),
            text(contents)
        );
    }
}
