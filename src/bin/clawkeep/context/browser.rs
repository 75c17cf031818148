//! The browser on the person's desktop.

use std::process::{Command, Stdio};

use clawkeep::internal::platform::{keep_all_from_children, start_thread, system_program};

use super::Context;

/// Whether there is a desktop, on which a browser can open.
pub(crate) fn has_desktop(context: &Context) -> bool {
    let is_set = |name| context.env.path(name).is_some();
    cfg!(any(windows, target_os = "macos")) || is_set("DISPLAY") || is_set("WAYLAND_DISPLAY")
}

/// Opens an address in a browser, if there is a desktop for it. Returns whether one was started.
pub(crate) fn open_browser(context: &Context, url: &str) -> bool {
    let mut command = if cfg!(target_os = "macos") {
        Command::new("open")
    } else if cfg!(windows) {
        // `cmd /c start` would take the address apart at each ampersand.
        let mut command = Command::new(system_program("rundll32.exe"));
        command.arg("url.dll,FileProtocolHandler");
        command
    } else {
        if !has_desktop(context) {
            return false;
        }
        Command::new("xdg-open")
    };
    let streams = [Stdio::null(), Stdio::null(), Stdio::null()];
    let [stdin, stdout, stderr] = streams;
    context.withhold_keys(&mut command);
    keep_all_from_children();
    command.arg(url).stdin(stdin).stdout(stdout).stderr(stderr);
    match context.mask.put_back_for(|| command.spawn()) {
        Ok(mut child) => {
            // It may be the browser itself, and last longer than we do.
            // Without a thread it lingers as a zombie until this command ends.
            let _ = start_thread("browser", move || child.wait());
            true
        }
        Err(_) => false,
    }
}
