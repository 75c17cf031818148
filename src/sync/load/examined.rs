//! A store as it was found on disk, before the vault was read.

use crate::export::StorePlace;
use crate::platform::openclaw::{Examined, OpenClawDir};
use crate::platform::{Contents, FileError};

/// A store that was examined: where it is, and what is in its file.
pub(crate) struct ExaminedStore {
    pub(crate) place: StorePlace,
    /// The contents of the file, if it is there.
    pub(crate) contents: Option<Contents>,
    /// The OpenClaw tree that the store is in: nothing is written there.
    pub(crate) withheld: Option<OpenClawDir>,
}

impl ExaminedStore {
    /// Examines the store at a place.
    pub(crate) fn find(place: StorePlace, examined: &Examined) -> Result<Self, FileError> {
        let contents = place.contents()?;
        let withheld = place.openclaw_dir_by(examined);
        Ok(Self {
            place,
            contents,
            withheld,
        })
    }
}
