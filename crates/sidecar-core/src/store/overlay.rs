//! [`Overlay`].

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::fs::File;
use std::io;
use std::ops::Bound;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use redb::backends::FileBackend;
use redb::{BackendError, StorageBackend};

use super::StoreError;
use super::open::refused;

/// A file that can be opened as if it could be written, while what is written stays in memory: the
/// engine checks a file only when it may write to it. Nobody else can write to the file meanwhile.
pub(super) struct Overlay {
    file: FileBackend,
    above: Mutex<Above>,
}

/// What lies above the file.
struct Above {
    len: u64,
    /// How much of the file still counts: it may have been cut and made longer again.
    below: u64,
    pages: HashMap<u64, Page>,
}

type Page = Box<[u8; PAGE]>;

/// The file at `path`, which nobody can open for writing for as long as this lives.
pub(crate) fn hold(path: &Path) -> Result<FileBackend, StoreError> {
    let unusable = |source| StoreError::Io { path: path.into(), source };
    let file = File::open(path).map_err(unusable)?;
    let file = FileBackend::new(file).map_err(|error| refused(path, error))?;
    // A writer locks the whole file; those who only read look at other bytes, and share this one.
    match file.try_lock_shared_range(Bound::Included(0), Bound::Included(0)) {
        Ok(true) | Err(BackendError::Unsupported) => Ok(file),
        Ok(false) => Err(StoreError::InUse { path: path.into() }),
        Err(error) => Err(unusable(io::Error::other(error.to_string()))),
    }
}

impl Overlay {
    /// Over the file at `path`, which must not be open for writing.
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        let file = hold(path)?;
        let len = file.len().map_err(|source| StoreError::Io { path: path.into(), source })?;
        let above = Above { len, below: len, pages: HashMap::new() };
        Ok(Self { file, above: Mutex::new(above) })
    }

    /// Poisoning only tells that the engine panicked between two pages.
    fn above(&self) -> MutexGuard<'_, Above> {
        self.above.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Page `number` of the file.
    fn load(&self, number: u64, below: u64) -> io::Result<Page> {
        let mut page = Box::new([0; PAGE]);
        let start = number * PAGE as u64;
        let len = usize::try_from(below.saturating_sub(start)).map_or(PAGE, |len| len.min(PAGE));
        if len > 0 {
            self.file.read(start, &mut page[..len])?;
        }
        Ok(page)
    }
}

impl StorageBackend for Overlay {
    fn len(&self) -> io::Result<u64> {
        Ok(self.above().len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let above = self.above();
        if offset.checked_add(out.len() as u64).is_none_or(|end| end > above.len) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut done = 0;
        while done < out.len() {
            let (number, within) = place(offset + done as u64);
            let len = (PAGE - within).min(out.len() - done);
            let piece = &mut out[done..done + len];
            match above.pages.get(&number) {
                Some(page) => piece.copy_from_slice(&page[within..within + len]),
                None => {
                    let page = self.load(number, above.below)?;
                    piece.copy_from_slice(&page[within..within + len]);
                }
            }
            done += len;
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut above = self.above();
        above.below = above.below.min(len);
        let (last, within) = place(len);
        above.pages.retain(|number, _| *number < last || (*number == last && within > 0));
        if let Some(page) = above.pages.get_mut(&last) {
            page[within..].fill(0);
        }
        above.len = len;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut above = self.above();
        let below = above.below;
        let mut done = 0;
        while done < data.len() {
            let (number, within) = place(offset + done as u64);
            let len = (PAGE - within).min(data.len() - done);
            let page = match above.pages.entry(number) {
                Entry::Occupied(page) => page.into_mut(),
                Entry::Vacant(page) => page.insert(self.load(number, below)?),
            };
            page[within..within + len].copy_from_slice(&data[done..done + len]);
            done += len;
        }
        above.len = above.len.max(offset + data.len() as u64);
        Ok(())
    }
}

impl fmt::Debug for Overlay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Overlay").finish_non_exhaustive()
    }
}

/// The page in which `offset` is, and where in it.
fn place(offset: u64) -> (u64, usize) {
    let page = PAGE as u64;
    // The remainder is smaller than a page.
    (offset / page, (offset % page) as usize)
}

/// That of the engine.
const PAGE: usize = 4_096;

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Step {
        Write(u64, Vec<u8>),
        SetLen(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0..20_000_u64, vec(any::<u8>(), 0..9_000))
                .prop_map(|(at, data)| Step::Write(at, data)),
            (0..30_000_u64).prop_map(Step::SetLen),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn it_reads_as_a_file_would_and_leaves_the_file_alone(
            bytes in vec(any::<u8>(), 0..20_000),
            steps in vec(step(), 0..8),
        ) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("file");
            fs::write(&path, &bytes).unwrap();
            let overlay = Overlay::open(&path).unwrap();
            let mut model = bytes.clone();
            for step in steps {
                match step {
                    Step::Write(at, data) => {
                        let end = at as usize + data.len();
                        overlay.write(at, &data).unwrap();
                        model.resize(model.len().max(end), 0);
                        model[at as usize..end].copy_from_slice(&data);
                    }
                    Step::SetLen(len) => {
                        overlay.set_len(len).unwrap();
                        model.resize(len as usize, 0);
                    }
                }
                prop_assert_eq!(overlay.len().unwrap(), model.len() as u64);
                let mut read = vec![0; model.len()];
                overlay.read(0, &mut read).unwrap();
                prop_assert!(read == model);
            }
            prop_assert!(overlay.read(model.len() as u64, &mut [0]).is_err());
            prop_assert!(fs::read(&path).unwrap() == bytes);
        }
    }
}
