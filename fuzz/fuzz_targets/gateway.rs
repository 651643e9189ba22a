#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| orgcast::fuzzing::gateway(input));
