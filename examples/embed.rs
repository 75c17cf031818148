//! Opens the user's vault, or creates it, and prints a token of a provider: refreshed if it is due,
//! and recorded before it is here. Run it with: `cargo run --example embed -- openai`
#![allow(clippy::print_stdout, reason = "the token is this example's answer")]

use std::env;
use std::error::Error;

use clawkeep::Client;
use clawkeep::secrecy::ExposeSecret as _;

fn main() -> Result<(), Box<dyn Error>> {
    let provider = env::args().nth(1).ok_or("usage: embed PROVIDER")?;
    let client = Client::builder("embed")
        .environment(env::vars_os())
        .open_or_create()?;
    let token = client
        .token(&provider)
        .map_err(|error| format!("{}: {error}", error.kind().as_str()))?;
    println!("{}", token.secret().expose_secret());
    Ok(())
}
