//! The cluster's secret: a file that proves that a process belongs to the cluster.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::platform::{files, random};

/// A secret that is shorter could be guessed offline from one recorded handshake.
const SHORTEST: usize = 16;

/// Bytes that only the processes of one cluster know. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

/// A secret file that cannot be used. The text names the file.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    #[error("cannot read the cluster's secret {}: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("cannot write the cluster's secret {}: {source}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("the cluster's secret {} is shorter than {SHORTEST} bytes", path.display())]
    Short { path: PathBuf },
}

impl Secret {
    pub fn from_bytes(bytes: &[u8]) -> Secret {
        Secret(bytes.to_vec())
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Reads a secret from a file. White space at its end does not count, so that an editor may write it.
    pub fn read(path: &Path) -> Result<Secret, SecretError> {
        let bytes =
            std::fs::read(path).map_err(|source| SecretError::Read { path: path.to_owned(), source })?;
        let secret = Secret(bytes.trim_ascii_end().to_vec());
        if secret.0.len() < SHORTEST {
            return Err(SecretError::Short { path: path.to_owned() });
        }
        Ok(secret)
    }

    /// Reads the secret, or makes a random one of 32 bytes, readable by its owner only, if there is no such file.
    ///
    /// Processes that do this at the same moment all get the same secret: the file appears whole, and the first one
    /// stays.
    pub fn read_or_create(path: &Path) -> Result<Secret, SecretError> {
        match Secret::read(path) {
            Err(SecretError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
            result => return result,
        }
        let text = format!("{}\n", hex(&random::secret_bytes::<32>()));
        files::create_private(path, text.as_bytes())
            .map_err(|source| SecretError::Write { path: path.to_owned(), source })?;
        Secret::read(path)
    }
}

/// Two lower-case digits a byte.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(hidden)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("slotway-secret-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        folder
    }

    #[test]
    fn created_once_and_private() {
        let folder = folder("once");
        let path = folder.join("local").join("secret");
        let secrets: Vec<Secret> = std::thread::scope(|scope| {
            let threads: Vec<_> =
                (0..8).map(|_| scope.spawn(|| Secret::read_or_create(&path).unwrap())).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(secrets.iter().all(|secret| *secret == secrets[0]));
        assert_eq!(fs::read_dir(folder.join("local")).unwrap().count(), 1);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn short_or_missing_secret_is_refused_with_its_path() {
        let folder = folder("short");
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("secret");
        assert!(Secret::read(&path).unwrap_err().to_string().contains(&path.display().to_string()));
        fs::write(&path, "too short\n").unwrap();
        assert!(Secret::read(&path).unwrap_err().to_string().ends_with("is shorter than 16 bytes"));
        fs::write(&path, "exactly 16 bytes\n\n").unwrap();
        assert_eq!(Secret::read(&path).unwrap(), Secret::from_bytes(b"exactly 16 bytes"));
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn never_printed() {
        assert!(!format!("{:?}", Secret::from_bytes(b"exactly 16 bytes")).contains("16"));
    }
}
