//! What `docker build` is given: the Dockerfile, and the archive that it unpacks.

use std::path::PathBuf;

use super::{Stage, copy, empty, sources, tarball};

/// `target/dist/image`.
pub fn make(stage: &Stage) -> anyhow::Result<PathBuf> {
    let folder = empty("image")?;
    copy(&sources().join("docker/Dockerfile"), &folder.join("Dockerfile"))?;
    let archives = tarball::make(stage)?;
    copy(&archives[0], &folder.join("pytrace-ebpf.tar.gz"))?;
    Ok(folder)
}
