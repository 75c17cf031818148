#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| clawkeep::fuzzing::sealed_blob(data));
