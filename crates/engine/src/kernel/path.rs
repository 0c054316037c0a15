//! Which arithmetic is in use: the same inputs give the same bytes along the same path only.
//!
//! The path is named after the kernel of the matrix product.

/// Names the path that 32-bit arithmetic takes on this machine, for records and keys.
///
/// Kernels are chosen at run time by what the processor offers, in the order of `matrixmultiply`'s
/// `sgemm_kernel::detect`, repeated here; our own keep its order of sums. Those with fused
/// multiplication and addition round once where others round twice.
pub fn path() -> &'static str {
    #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
    {
        if std::arch::is_x86_feature_detected!("avx512f") {
            return "f32-avx512";
        }
        if std::arch::is_x86_feature_detected!("fma") && std::arch::is_x86_feature_detected!("avx2")
        {
            return "f32-avx2-fma";
        }
        if std::arch::is_x86_feature_detected!("avx") {
            return "f32-avx";
        }
    }
    #[cfg(target_arch = "aarch64")]
    {
        if std::arch::is_aarch64_feature_detected!("neon") {
            return "f32-neon";
        }
    }
    "f32-portable"
}
