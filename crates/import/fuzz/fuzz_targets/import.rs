//! libFuzzer's entry; what it does is in [`holdfast_import_fuzz::convert`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| holdfast_import_fuzz::convert(data));
