#![forbid(unsafe_code)]
//! The routing proxy.
