//! Small files with keys and certificates. A path may lead to anything: to a pipe that nobody writes
//! to, or to a device without an end.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

/// Longest file in bytes: a slip is not read to its end.
pub const MAX_FILE_BYTES: usize = 1024 * 1024;

/// The whole of a regular file of at most [`MAX_FILE_BYTES`]. May block for as long as its file system
/// likes, so not to be called where others wait for the thread.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut bytes = Vec::new();
    let most = MAX_FILE_BYTES as u64 + 1;
    File::open(path)?.take(most).read_to_end(&mut bytes)?;
    if bytes.len() > MAX_FILE_BYTES {
        return Err(io::Error::other("it holds more than 1 MiB"));
    }
    Ok(bytes)
}

/// As [`read`], of UTF-8.
pub fn read_text(path: &Path) -> io::Result<String> {
    String::from_utf8(read(path)?).map_err(|_| io::Error::other("it is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let longest = vec![b'x'; MAX_FILE_BYTES];
        fs::write(&path, &longest).unwrap();
        assert_eq!(read(&path).unwrap(), longest);
        fs::write(&path, [longest.as_slice(), b"x"].concat()).unwrap();
        for (path, problem) in [
            (path.as_path(), "it holds more than 1 MiB"),
            (Path::new("/dev/zero"), "it is not a regular file"),
            (folder.path(), "it is not a regular file"),
        ] {
            assert_eq!(read(path).unwrap_err().to_string(), problem);
        }
    }
}
