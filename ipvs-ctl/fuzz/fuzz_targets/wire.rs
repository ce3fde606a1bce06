//! libFuzzer's entry; what it does is in [`ipvs_ctl_fuzz::wire`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ipvs_ctl_fuzz::wire(data));
