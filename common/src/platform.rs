//! Everything that is taken from the operating system: network, clock, randomness, files and
//! threads. Nothing else in the workspace reaches for them directly, so that this one module can be
//! exchanged for a deterministic simulation.

pub mod clock;
pub mod files;
pub mod net;
pub mod process;
pub mod random;
#[cfg(feature = "simulation")]
pub mod simulation;
pub mod threads;
