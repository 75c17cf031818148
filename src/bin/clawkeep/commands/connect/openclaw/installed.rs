//! The program that OpenClaw runs. OpenClaw accepts no link, and only a file that belongs to its
//! user and that nobody else may write; where clawkeep is no such file, a copy of it is.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use clawkeep::internal::config::Layout;
use clawkeep::internal::platform::{
    FileError, create_private_dir, persist, remove_if_present, sync_file, temporary_in,
};

use crate::commands::monitor::unattended::program::stored_program;
use crate::context::Context;
use crate::failure::Failure;

/// The path of the copy.
fn copy(layout: &Layout) -> PathBuf {
    let name = format!("clawkeep{}", std::env::consts::EXE_SUFFIX);
    layout.data_dir.join("bin").join(name)
}

/// The program for OpenClaw's settings, installed where it has to be.
pub(super) fn install(context: &Context) -> Result<PathBuf, Failure> {
    let program = stored_program(context.env.raw("PATH"))?;
    let copy = copy(&context.layout);
    if is_accepted(&program) && program != copy {
        return Ok(program);
    }
    put(&copy)?;
    Ok(copy)
}

/// Makes the copy, if there is one, what this program is. Returns whether it was another.
pub(crate) fn keep_current(layout: &Layout) -> Result<bool, Failure> {
    let copy = copy(layout);
    match copy.is_file() {
        true => put(&copy),
        false => Ok(false),
    }
}

/// Removes the copy.
pub(super) fn remove(layout: &Layout) -> Result<(), Failure> {
    remove_if_present(&copy(layout))?;
    Ok(())
}

/// Whether OpenClaw accepts a program.
fn is_accepted(program: &Path) -> bool {
    let Ok(meta) = fs::symlink_metadata(program) else {
        return false;
    };
    #[cfg(unix)]
    let is_own = {
        use std::os::unix::fs::MetadataExt as _;
        meta.uid() == clawkeep::internal::platform::effective_uid() && meta.mode() & 0o022 == 0
    };
    #[cfg(not(unix))]
    let is_own = true;
    meta.is_file() && is_own
}

fn put(copy: &Path) -> Result<bool, Failure> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| FileError::Io {
            action: "copy",
            path,
            source,
        }
    };
    let this = std::env::current_exe().map_err(Failure::Output)?;
    let bytes = fs::read(&this).map_err(failed(&this))?;
    if fs::read(copy).is_ok_and(|there| there == bytes) && is_accepted(copy) {
        return Ok(false);
    }
    let dir = copy.parent().unwrap_or(Path::new("."));
    create_private_dir(dir)?;
    let written = || -> std::io::Result<()> {
        let mut file = temporary_in(dir)?;
        file.write_all(&bytes)?;
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = fs::Permissions::from_mode(0o700);
            file.as_file().set_permissions(mode)?;
        }
        sync_file(file.as_file())?;
        persist(file, copy)
    };
    written().map_err(failed(copy))?;
    Ok(true)
}
