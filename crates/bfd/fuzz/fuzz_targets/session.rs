//! libFuzzer's entry; what it does is in [`holdfast_bfd_fuzz::session`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| holdfast_bfd_fuzz::session(data));
