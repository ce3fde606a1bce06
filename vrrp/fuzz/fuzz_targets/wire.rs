//! libFuzzer's entry; what it does is in [`vrrp_fuzz::wire`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vrrp_fuzz::wire(data));
