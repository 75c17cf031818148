//! Files that the kernel makes up as they are read.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

/// How much of a kernel's file is read at a time, in bytes: most are shorter.
const KERNEL_FILE: usize = 16 << 10;

/// Reads a file of `/proc`, whose length the kernel does not tell, with as few calls as it needs.
///
/// # Errors
/// When the system has no such file.
pub(super) fn read_kernel_file(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(KERNEL_FILE);
    // Without a limit, std asks for the length first.
    File::open(path)?.take(u64::MAX).read_to_end(&mut bytes)?;
    Ok(bytes)
}
