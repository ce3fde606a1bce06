//! libFuzzer's entry; what it does is in [`vrrp_fuzz::receive`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vrrp_fuzz::receive(data));
