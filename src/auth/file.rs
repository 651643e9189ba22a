//! Small files with keys and certificates. A path may lead to anything: to a pipe that nobody writes
//! to, or to a device without an end.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Longest file in bytes.
pub const MAX_FILE_BYTES: usize = 1024 * 1024;

/// The bytes of a file of at most [`MAX_FILE_BYTES`]. May block for as long as it likes, so not to be
/// called where others wait for the thread.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let most = MAX_FILE_BYTES as u64 + 1;
    File::open(path)?.take(most).read_to_end(&mut bytes)?;
    if bytes.len() > MAX_FILE_BYTES {
        let message = "it is longer than 1 MiB, which no file of keys is";
        return Err(io::Error::new(io::ErrorKind::InvalidData, message));
    }
    Ok(bytes)
}

/// As [`read`], of UTF-8.
pub fn read_text(path: &Path) -> io::Result<String> {
    String::from_utf8(read(path)?)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let longest = vec![b'x'; MAX_FILE_BYTES];
        std::fs::write(&path, &longest).unwrap();
        assert_eq!(read(&path).unwrap(), longest);
        std::fs::write(&path, [longest.as_slice(), b"x"].concat()).unwrap();
        for endless in [path.as_path(), Path::new("/dev/zero")] {
            let error = read(endless).unwrap_err();
            assert!(error.to_string().contains("longer than 1 MiB"), "{error}");
        }
    }
}
