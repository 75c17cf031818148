#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| clawkeep::fuzzing::own_settings(data));
