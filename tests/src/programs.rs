//! The programs under test and those that tests run against them.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

/// Says where the programs are, so that they need not be built. `make test` sets it.
const GIVEN: &str = "SLOTWAY_BINARIES";

/// The path of `slotway`, `slotway-shard` or `slotway-proxy`, built from the present sources.
///
/// # Panics
/// When they do not build.
pub fn binary(name: &str) -> PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(folder).join(name)
}

fn folder() -> PathBuf {
    if let Some(given) = std::env::var_os(GIVEN) {
        return given.into();
    }
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--quiet", "--workspace", "--bins", "--manifest-path"]);
    build.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml"));
    let built = build.status().expect("cargo runs");
    assert!(built.success(), "the programs under test do not build");
    profile_folder()
}

/// `target/debug`, seen from `target/debug/deps/<test>`.
fn profile_folder() -> PathBuf {
    let own = std::env::current_exe().expect("a path of this test");
    own.ancestors().nth(2).expect("a folder of the profile").to_owned()
}

/// Where `tests/setup.sh` puts client libraries, if it did.
///
/// # Panics
/// When it has not run.
pub fn client_libraries() -> PathBuf {
    let own = std::env::current_exe().expect("a path of this program");
    let found = own.ancestors().map(|folder| folder.join("clients")).find(|folder| folder.is_dir());
    found.expect("client libraries are missing, run: make setup")
}
