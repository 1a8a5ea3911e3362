//! How files are made durable.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::ToWrite;

/// The folder that receives the files.
pub(super) struct Folder {
    path: PathBuf,
    create: bool,
    /// Lines of two batches must not mix.
    appending: Mutex<()>,
}

impl Folder {
    /// Opens the folder and makes it if it is missing.
    ///
    /// # Errors
    /// It cannot be made or written to, or leads out of `base`.
    pub(super) fn open(path: &Path, base: Option<&Path>, create: bool) -> io::Result<Self> {
        let path = base.map_or_else(|| path.to_owned(), |base| base.join(path));
        if create {
            make_folder(&path)?;
        }
        let real = path.canonicalize()?;
        if !real.is_dir() {
            return Err(io::Error::other("it is not a folder"));
        }
        if let Some(base) = base
            && !real.starts_with(base.canonicalize()?)
        {
            return Err(io::Error::other("it is not inside `base_dir`"));
        }
        Ok(Self { path: real, create, appending: Mutex::new(()) })
    }

    /// Writes every file under a name of its own, syncs it, gives it its name, and syncs the folders. A file that is
    /// there is replaced whole.
    ///
    /// # Errors
    /// Some of the files may be there; writing them again gives the same.
    pub(super) fn write(&self, webhooks: &[Vec<ToWrite>]) -> io::Result<()> {
        let mut folders = BTreeSet::new();
        for (name, content) in webhooks.iter().flatten() {
            let target = self.path.join(name);
            let folder = self.folder_of(&target)?;
            let passing = folder.join(format!(".{:032x}.part", rand::random::<u128>()));
            let written = write_new(&passing, content).and_then(|()| fs::rename(&passing, &target));
            if let Err(error) = written {
                // The error that is told is the first one.
                drop(fs::remove_file(&passing));
                return Err(error);
            }
            folders.insert(folder);
        }
        folders.iter().try_for_each(|folder| sync(folder))
    }

    /// Appends every line to its file and syncs it.
    ///
    /// # Errors
    /// None of the lines of a file counts; a line that was begun is cut off.
    pub(super) fn append(&self, webhooks: &[Vec<ToWrite>]) -> io::Result<()> {
        let _alone = self.appending.lock().unwrap_or_else(PoisonError::into_inner);
        for (name, line) in webhooks.iter().flatten() {
            let target = self.path.join(name);
            let folder = self.folder_of(&target)?;
            let mut file = options().read(true).append(true).create(true).open(&target)?;
            let length = file.metadata()?.len();
            // A line that a crash has torn must not swallow the next one.
            let torn = length > 0 && last_byte(&mut file)? != b'\n';
            let begin = if torn { file.write_all(b"\n") } else { Ok(()) };
            let written = begin.and_then(|()| file.write_all(line)).and_then(|()| file.sync_all());
            if let Err(error) = written {
                file.set_len(length)?;
                return Err(error);
            }
            if length == 0 {
                sync(&folder)?;
            }
        }
        Ok(())
    }

    /// Returns the folder of a file, and makes it if it is missing. A link must not lead out of the folder.
    fn folder_of(&self, target: &Path) -> io::Result<PathBuf> {
        let folder = target.parent().unwrap_or(&self.path);
        if self.create {
            make_folder(folder)?;
        }
        let real = folder.canonicalize()?;
        if !real.starts_with(&self.path) {
            return Err(io::Error::other("a link leads out of the folder"));
        }
        Ok(real)
    }
}

fn last_byte(file: &mut File) -> io::Result<u8> {
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last[0])
}

fn write_new(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = options().write(true).create_new(true).open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

/// Makes a folder and those above it durable.
fn make_folder(path: &Path) -> io::Result<()> {
    if path.as_os_str().is_empty() || path.is_dir() {
        return Ok(());
    }
    let above = path.parent().unwrap_or(Path::new(""));
    make_folder(above)?;
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    match builder.create(path) {
        Ok(()) => sync(if above.as_os_str().is_empty() { Path::new(".") } else { above }),
        // Another writer was faster.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        Err(error) => Err(error),
    }
}

/// Bodies are for nobody else on this machine.
fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
