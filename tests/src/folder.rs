//! Folders of a test's own.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
};

/// A folder of one test's own. Removed when dropped.
pub struct Folder(PathBuf);

impl Folder {
    /// Makes one.
    pub fn new(name: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let n = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("pytrace-{name}-{}-{n}", std::process::id()));
        fs::create_dir_all(&path).expect("a temporary folder");
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// A file in it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The path of a file in it, as text.
    pub fn text(&self, name: &str) -> String {
        self.file(name).display().to_string()
    }

    /// A copy of a program or a library in it.
    ///
    /// Another process makes it: a child that another test starts meanwhile has what this process
    /// has open for writing until it execs, and a file that is open for writing cannot be run
    /// (`ETXTBSY`).
    pub fn copy_of(&self, original: &Path, name: &str) -> PathBuf {
        let copy = self.file(name);
        let status = Command::new("cp")
            .arg("--")
            .args([original, &copy])
            .status()
            .expect("cp starts");
        assert!(status.success(), "{} cannot be copied", original.display());
        copy
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
