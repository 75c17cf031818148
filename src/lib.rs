//! wip
pub mod audit;
pub mod crypto;
pub mod domain;
pub mod platform;
pub mod vault;
